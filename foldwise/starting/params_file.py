"""A params.yaml for a data set: what stands in it, its text, how it differs from the old one."""

import difflib
import json
from collections import Counter
from typing import Any

import yaml

from foldwise.core.settings import PARAMS
from foldwise.decision.settings import check_decision
from foldwise.ensembling.settings import check_weights
from foldwise.params import Params, checked_params
from foldwise.sources.names import printable
from foldwise.starting.facts import Look, class_counts
from foldwise.starting.finding import DataSet
from foldwise.starting.tiers import Fitted, recipe_for

ORDER = (
    *("lr", "epochs", "seed", "folds", "members", "data", "split", "models", "train", "tta"),
    *("ensemble", "threshold", "evaluate", "map", "compute"),
)
COMPUTE = {
    "accelerator": "auto",
    "devices": 1,
    "num_nodes": 1,
    "strategy": "auto",
    "precision": "auto",
    "workers": "auto",
    "batch_size": 64,
}


def fitted_to(found: DataSet, look: Look, gpu: bool, mirror: bool) -> Fitted:
    """What a recipe is fitted to."""
    source = found.source
    folds = None
    if found.reading.split.get("method") == "list" and source.folds is not None:
        folds = max(source.folds) + 1
    return Fitted(
        images=Counter(source.parts)["train"],
        rarest=int(class_counts(found).min()),
        side=look.side,
        single=source.task == "multiclass",
        source=str(found.data["source"]),
        gpu=gpu,
        split=found.reading.split,
        folds=folds,
        groups=len(set(source.groups)) if source.groups else None,
        mirror=mirror,
        classes=len(source.classes),
    )


def make_params(
    found: DataSet, fitted: Fitted, tier: str, old: dict[str, Any], submission: str
) -> tuple[dict[str, Any], Params]:
    """The sections in order, and as they are checked.

    Args:
        found: the data set.
        fitted: what the recipe is fitted to.
        tier: of it.
        old: params.yaml as it was, which says where a run is computed.
        submission: where the test part's labels go.

    Raises:
        UserError: they would be refused.
    """
    content = recipe_for(tier, fitted) | {
        "data": found.data,
        "evaluate": {"submission": submission, "examples": 12},
        "map": {"features": True},
        "compute": old.get("compute") or COMPUTE,
    }
    ordered = {key: content[key] for key in ORDER}
    params = checked_params(ordered)
    check_decision(params.threshold, fitted.single, len(found.source.classes))
    check_weights(params.ensemble, fitted.single)
    return ordered, params


def recipe_told(tier: str, params: Params) -> str:
    """What a recipe trains, in a line."""
    members = []
    for name in params.members:
        recipe = params.recipe(name)
        how = "a layer on frozen features" if recipe.solved else f"{recipe.epochs} epochs"
        model = recipe.model
        members.append(f"{name} ({model.backbone}, {model.image_size} pixels, {how})")
    return f"tier {tier}: {', '.join(members)}; {len(params.folds)} folds"


def params_text(content: dict[str, Any], said: list[str]) -> str:
    """The file's text, with what is said of it in front."""
    # Two keys of one list are written as two lists.
    plain = json.loads(json.dumps(content))
    head = "".join(f"# {printable(line)}\n" for line in said)
    body: str = yaml.safe_dump(
        plain, sort_keys=False, default_flow_style=None, allow_unicode=True, width=100
    )
    return head + body


def difference(old: str, new: str) -> str:
    """A unified diff of params.yaml."""
    lines = difflib.unified_diff(
        old.splitlines(), new.splitlines(), f"a/{PARAMS}", f"b/{PARAMS}", lineterm="", n=1
    )
    return "\n".join(lines)
