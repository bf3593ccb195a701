"""What was run, in words: params, data set and commit for people to read."""

from typing import Any

import yaml

from foldwise.params import PARAMS, Params
from foldwise.report.origin import Origin

MOST_FILES = 8

Fact = tuple[str, list[str]]


def described(params: Params, dataset: dict[str, Any], origin: Origin | None) -> list[Fact]:
    """Names and lines, the most important first."""
    train, threshold = params.train, params.threshold
    split = params.split
    images = ", ".join(f"{count:,} {part}" for part, count in dataset["images"].items())
    source = [f"{name}: {_words(value)}" for name, value in dataset["origin"].items() if value]
    views = ", ".join(params.tta.views)
    decided = f"{threshold.decode}, {threshold.scope}, calibration {threshold.calibration}"
    return [
        (
            "Data set",
            [f"{dataset['name']}, source {params.data.source}", f"{images} images", *source],
        ),
        ("Commit", _commit(origin)),
        ("Members", [_member(params, name) for name in params.members]),
        (
            "Training",
            [
                f"{params.epochs} epochs at lr {params.lr:g}, batches of {train.batch_size}",
                f"{train.loss}, {train.optimizer}, {train.scheduler}",
                f"seed {params.seed}",
            ],
        ),
        ("Folds", [f"{len(params.folds)}, {split.method}"]),
        ("Views", [views, f"merged by {params.tta.merge}, {params.tta.select}"]),
        ("Ensemble", [f"weights {params.ensemble.weights}", f"folds by {params.ensemble.folds}"]),
        ("Decision", [f"objective {threshold.objective.name}", decided]),
        ("Submission", [params.evaluate.submission]),
    ]


def written_params() -> str:
    """params.yaml without `compute`: where a run took place changes nothing in it."""
    content = yaml.safe_load(PARAMS.read_text(encoding="utf-8"))
    kept = {name: value for name, value in content.items() if name != "compute"}
    return yaml.safe_dump(
        kept, sort_keys=False, default_flow_style=None, allow_unicode=True, width=100
    )


def _member(params: Params, name: str) -> str:
    recipe = params.recipe(name)
    model = recipe.model
    start = "pretrained" if model.pretrained else "from scratch"
    own = f"{recipe.epochs} epochs at lr {recipe.lr:g}"
    differs = (recipe.epochs, recipe.lr) != (params.epochs, params.lr)
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
