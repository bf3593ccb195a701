"""A stage of the pipeline that runs on a node of a cluster, its thin client here."""

import re
from collections.abc import Mapping
from pathlib import Path

import yaml

from foldwise.cluster.client import Remote
from foldwise.cluster.connection import chosen, connected, imported
from foldwise.cluster.contents import contents
from foldwise.cluster.history import History, history_of
from foldwise.cluster.job import CHECKPOINTS, Job, versions
from foldwise.model.settings import Compute
from foldwise.revisions import INDEX
from foldwise.training.settings import Recipe

PIPELINE = Path("dvc.yaml")
PARAMS = Path("params.yaml")
DATA = "data/"


def runs_elsewhere(
    stage: str, member: str, fold: int, compute: Compute, recipe: Recipe | None = None
) -> bool:
    """Run a stage of one member and fold on the cluster that `compute` names, if it names one.

    Args:
        stage: `train` or `predict`.
        member: whose.
        fold: the held-out one.
        compute: of params.yaml.
        recipe: of training, which may name other commits.

    Returns:
        Whether it ran there; else it is to run here.

    Raises:
        UserError: it failed, there or on the way.
    """
    cluster = chosen(compute.cluster)
    if cluster is None:
        return False
    item = {"member": member, "fold": str(fold)}
    deps, outs = _of_pipeline(stage, item)
    history = History(None, ()) if recipe is None else history_of(recipe, fold)
    small = {PARAMS.as_posix(): PARAMS.read_bytes()}
    if history.index is not None:
        small[INDEX.as_posix()] = history.index
    inputs = contents([*(each for each in deps if each.startswith(DATA)), *history.paths])
    with connected(cluster):
        job = Job(
            f"stages.{stage}",
            ("--member", member, "--fold", str(fold)),
            small,
            tuple(inputs),
            tuple(outs),
            versions(),
            cache_gb=compute.node_cache_gb,
        )
        state = CHECKPOINTS / f".cluster-{stage}-{member}-{fold}"
        gpus = _gpus(compute)
        title = f"{member} fold {fold}"
        Remote(job, title, compute.num_cpus, gpus, state).run()
    return True


def _gpus(compute: Compute) -> float:
    """GPUs that a job takes."""
    if compute.num_gpus != "auto":
        return compute.num_gpus
    devices = 1 if compute.devices == "auto" else compute.devices
    if compute.accelerator in ("gpu", "cuda"):
        return devices
    has_some = imported().cluster_resources().get("GPU", 0) > 0
    return devices if compute.accelerator == "auto" and has_some else 0


def _of_pipeline(stage: str, item: Mapping[str, str]) -> tuple[list[str], list[str]]:
    """Deps and outs of a stage, as dvc.yaml has them."""

    def filled(text: str) -> str:
        return re.sub(r"\$\{item\.(\w+)\}", lambda found: item[found[1]], text)

    content = yaml.safe_load(PIPELINE.read_text(encoding="utf-8"))["stages"][stage]
    outs = [next(iter(each)) if isinstance(each, dict) else each for each in content["outs"]]
    return [filled(each) for each in content["deps"]], [filled(each) for each in outs]
