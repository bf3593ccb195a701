"""What was run, in words: params, data set and commit for people to read."""

import subprocess
import sys
from dataclasses import dataclass
from typing import Any

import pandas as pd
import yaml

from foldwise.core.corrected import corrected_counts
from foldwise.core.settings import read_file
from foldwise.decision.settings import Threshold, decoder_of
from foldwise.params import Params
from foldwise.report.learned import ALONE

MOST_FILES = 8


@dataclass(frozen=True)
class Origin:
    """A commit, and what differs from it."""

    commit: str
    date: str
    """When it was made: ISO 8601, with its time zone."""
    subject: str
    changed: tuple[str, ...]
    """Inputs with changes that are not committed, as git names them."""


def read_origin(inputs: tuple[str, ...]) -> Origin | None:
    """The last commit that changed an input of a run; None without git, or before any such commit.

    Commits of results alone do not count, so that a run names the same commit before and after
    its results are committed.
    """
    shown = _git("log", "-1", "--format=%H%n%cI%n%s", "--", *inputs)
    if not shown:
        return None
    commit, date, subject = shown.removesuffix("\n").split("\n")
    changed = _git("status", "--porcelain", "--no-renames", "-z", "--", *inputs) or ""
    return Origin(commit, date, subject, tuple(each[3:] for each in changed.split("\0") if each))


def _git(*arguments: str) -> str | None:
    """What git prints, or None where there is no git, no repository or no commit."""
    try:
        done = subprocess.run(
            ["git", *arguments], capture_output=True, text=True, encoding="utf-8", check=False
        )
    except FileNotFoundError:
        return None
    if "safe.directory" in done.stderr:
        # git will not look at what belongs to another user; its own advice is the remedy.
        print("warning: git: " + " ".join(done.stderr.split()), file=sys.stderr)
    return done.stdout if done.returncode == 0 else None


Fact = tuple[str, list[str]]


def run_facts(
    params: Params,
    dataset: dict[str, Any],
    origin: Origin | None,
    evidence: dict[str, Any],
    learned: str,
    corrected: pd.DataFrame,
) -> list[Fact]:
    """Names and lines, the most important first.

    Args:
        params: what was asked for.
        dataset: as dataset.json has it.
        origin: of the run.
        evidence: of metrics/threshold.json, where steps of the decision were left to it.
        learned: as `learned_from` says it.
        corrected: as `read_corrected` gives it.
    """
    threshold = params.threshold
    split = params.split
    images = ", ".join(f"{count:,} {part}" for part, count in dataset["images"].items())
    source = [f"{name}: {_words(value)}" for name, value in dataset["origin"].items() if value]
    views = ", ".join(params.tta.views)
    decided = _decided(threshold, evidence, single=dataset["task"] == "multiclass")
    also = [] if learned == ALONE else [learned]
    return [
        (
            "Data set",
            [
                f"{dataset['name']}, source {params.data.source}",
                f"{images} images",
                *source,
                *_corrected(corrected),
            ],
        ),
        ("Commit", _commit(origin)),
        ("Members", [_member(params, name) for name in params.members]),
        ("Training", [*_training(params), *also, f"seed {params.seed}"]),
        ("Folds", [f"{len(params.folds)}, {split.method}"]),
        ("Views", [views, f"merged by {params.tta.merge}, {params.tta.select}"]),
        ("Ensemble", [f"weights {params.ensemble.weights}", f"folds by {params.ensemble.folds}"]),
        ("Decision", [f"objective {threshold.objective.name}", decided, *_promised(threshold)]),
        ("Submission", [params.evaluate.submission]),
    ]


def _corrected(corrected: pd.DataFrame) -> list[str]:
    """How many labels people looked at, and what came of it.

    >>> said = [("a", "x", 1, -1, "unsure"), ("a", "y", 0, 1, "wrong"), ("b", "x", 1, 1, "right")]
    >>> _corrected(pd.DataFrame(said, columns=["id", "class", "was", "is", "why"]))
    ['2 labels of 1 images corrected (1 made unknown), 1 confirmed']
    """
    if corrected.empty:
        return []
    counts = corrected_counts(corrected)
    line = f"{counts['labels']:,} labels of {counts['images']:,} images corrected"
    line += f" ({counts['unknown']:,} made unknown)" if counts["unknown"] else ""
    others = [f", {counts[name]:,} {name}" for name in ("confirmed", "unsure") if counts[name]]
    return [line + "".join(others)]


def written_params() -> str:
    """params.yaml without `compute`: where a run took place changes nothing in it."""
    kept = {name: value for name, value in read_file().items() if name != "compute"}
    return yaml.safe_dump(
        kept, sort_keys=False, default_flow_style=None, allow_unicode=True, width=100
    )


def _decided(threshold: Threshold, evidence: dict[str, Any], single: bool) -> str:
    """The steps that are taken, whoever chose them.

    >>> asked = Threshold(objective="accuracy", scope="auto")
    >>> _decided(asked, {"threshold": {"taken": "shrunk"}}, single=False)
    'threshold, shrunk (by evidence), calibration none'
    """

    def taken(step: str, asked: str) -> str:
        return f"{evidence[step]['taken']} (by evidence)" if step in evidence else asked

    decoder = decoder_of(threshold, single)
    scope = threshold.scope if threshold.fixed is None else f"p >= {threshold.fixed:g}"
    words = [taken("decoder", decoder)]
    if decoder != "top_k":
        words.append(taken("threshold", scope).replace("plain", "p >= 0.5"))
    return ", ".join([*words, f"calibration {taken('calibration', threshold.calibration)}"])


def _promised(threshold: Threshold) -> list[str]:
    """What holds for new images beside the best guess.

    >>> _promised(Threshold(objective="accuracy", guarantee={"recall": 0.95}))
    ['promised with confidence 0.9: recall 0.95 of possible labels']
    """
    ours = threshold.guarantee
    if ours is None:
        return []
    both = {"recall {:g} of possible labels": ours.recall,
            "precision {:g} of certain ones": ours.precision}  # fmt: skip
    said = ", ".join(text.format(share) for text, share in both.items() if share is not None)
    return [f"promised with confidence {ours.confidence:g}: {said}"]


def _training(params: Params) -> list[str]:
    """What all members share, but for those whose head is solved in no steps."""
    recipes = [params.recipe(name) for name in params.members]
    if all(recipe.solved for recipe in recipes):
        losses = ", ".join(sorted({recipe.train.loss for recipe in recipes}))
        return [f"frozen backbones, heads solved for {losses}"]
    train = params.train
    return [
        f"{params.epochs} epochs at lr {params.lr:g}, batches of {train.batch_size}",
        f"{train.loss}, {train.optimizer}, {train.scheduler}",
    ]


def _member(params: Params, name: str) -> str:
    recipe = params.recipe(name)
    model = recipe.model
    start = "pretrained" if model.pretrained else "from scratch"
    own = f"{recipe.epochs} epochs at lr {recipe.lr:g}"
    if recipe.solved:
        own = "frozen, its head solved"
    differs = recipe.solved or (recipe.epochs, recipe.lr) != (params.epochs, params.lr)
    line = f"{name}: {model.backbone}, {model.image_size} pixels, {start}"
    return f"{line}, {own}" if differs else line


def _commit(origin: Origin | None) -> list[str]:
    if origin is None:
        return ["none: not in a git repository with a commit"]
    lines = [f"{origin.commit[:10]}: {origin.subject}", origin.date]
    if origin.changed:
        shown = ", ".join(origin.changed[:MOST_FILES])
        more = len(origin.changed) - MOST_FILES
        lines.append(f"and changes since: {shown}{f' and {more} more' if more > 0 else ''}")
    return lines


def _words(value: Any) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{name} {_words(each)}" for name, each in value.items())
    return ", ".join(map(str, value)) if isinstance(value, list) else str(value)
