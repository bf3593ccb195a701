"""Stage 4: logits of every view, by one member, for the fold it never saw and the test part.

`python -m stages.predict --member cnn --fold 0` reads data/models/<member>/<fold>/; writes
data/predictions/<member>/<fold>.npz, and the images' last features, if they are kept, into
data/features/<member>/<fold>.npz. Where `compute.cluster` names a cluster, a node does.
"""

from foldwise.checks import check_params
from foldwise.cluster.stage import runs_elsewhere
from foldwise.core.arguments import member_and_fold
from foldwise.core.program import run
from foldwise.core.settings import read
from foldwise.model.settings import Compute
from foldwise.view_names import Views


def main() -> None:
    member, fold = member_and_fold(__doc__)
    names = read("tta.views", Views)
    features = read("map.features", bool)
    compute = read("compute", Compute, Compute())
    # What the stages after this one would refuse is refused before long work.
    check_params()
    if runs_elsewhere("predict", member, fold, compute):
        return
    # Only here: who lets a node predict needs no torch.
    from foldwise.features.predicting import predict_fold

    predict_fold(member, fold, names, compute, features)


if __name__ == "__main__":
    run(main)
