"""Stage 3: train one member on all folds but one.

`python -m stages.train --member cnn --fold 0` reads images, labels and folds; writes
data/models/<member>/<fold>/ and the learning curves in plots/train/<member>/<fold>/. Where
`compute.cluster` names a cluster, one of its nodes does.
"""

from foldwise.checks import check_data, check_networks, check_params
from foldwise.cluster.stage import runs_elsewhere
from foldwise.core import files
from foldwise.core.arguments import member_and_fold
from foldwise.core.program import run
from foldwise.core.settings import Count, Positive, Seed, read
from foldwise.model.settings import Compute, Model
from foldwise.training.settings import Train, make_recipe


def main() -> None:
    member, fold = member_and_fold(__doc__)
    recipe = make_recipe(
        member,
        read(f"models.{member}", Model),
        read("train", Train),
        read("lr", Positive),
        read("epochs", Count),
        read("seed", Seed),
    )
    compute = read("compute", Compute, Compute())
    # What a later stage, or another member, would refuse is refused before long work.
    check_params(augment=True)
    if runs_elsewhere("train", member, fold, compute, recipe):
        return
    # Only here: who lets a node train needs no torch.
    from foldwise.training.fold import datasets, fit_fold, learning

    images = datasets(recipe, fold)
    dataset = files.read_dataset()
    classes = dataset["classes"]
    check_data(dataset["task"] == "multiclass", len(classes))
    # Other members' steps are tried once per run: every member's own is before its training.
    many = len(images[0]) if fold == 0 else None
    check_networks(len(classes), built=member, images=many)
    fit_fold(recipe, fold, learning(recipe, fold, classes, images), classes, compute)


if __name__ == "__main__":
    run(main)
