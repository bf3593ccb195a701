"""A stage of the pipeline that runs on a node of a cluster, its thin client here."""

import os
import re
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import yaml

from foldwise.cluster.client import Remote
from foldwise.cluster.connection import chosen, connected, gpus_of
from foldwise.cluster.contents import contents
from foldwise.cluster.exchange import PREFIX, ask
from foldwise.cluster.history import History, history_of
from foldwise.cluster.job import Job, versions
from foldwise.cluster.tasks import Needs
from foldwise.core import files
from foldwise.core.settings import PARAMS
from foldwise.model.settings import Compute
from foldwise.revisions import INDEX
from foldwise.training.settings import Recipe

PIPELINE = Path("dvc.yaml")
ALONG = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "CUBLAS_WORKSPACE_CONFIG", "LOKY_MAX_CPU_COUNT")
"""Variables of the environment that go along: the last bits of results hang on them, or the share
of the cores that a fold has."""
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
    job = Job(
        f"stages.{stage}",
        ("--member", member, "--fold", str(fold)),
        small,
        tuple(inputs),
        tuple(outs),
        versions(),
        {name: os.environ[name] for name in ALONG if name in os.environ},
        cache_gb=compute.node_cache_gb,
    )
    state = files.CHECKPOINTS / f".cluster-{stage}-{member}-{fold}"
    title = f"{member} fold {fold}"
    # Several nodes train a fold together; one predicts.
    needs = Needs(compute.num_cpus, 0, compute.num_nodes if stage == "train" else 1)
    if cluster.startswith(PREFIX):
        ask(cluster, job, title, needs, state)
        return True
    with connected(cluster):
        import ray

        gpus = gpus_of(compute, ray.cluster_resources())
        Remote(job, title, replace(needs, gpus=gpus), state).run()
    return True


def _of_pipeline(stage: str, item: Mapping[str, str]) -> tuple[list[str], list[str]]:
    """Deps and outs of a stage, as dvc.yaml has them."""

    def filled(text: str) -> str:
        return re.sub(r"\$\{item\.(\w+)\}", lambda found: item[found[1]], text)

    content = yaml.safe_load(PIPELINE.read_text(encoding="utf-8"))["stages"][stage]
    outs = [next(iter(each)) if isinstance(each, dict) else each for each in content["outs"]]
    return [filled(each) for each in content["deps"]], [filled(each) for each in outs]
