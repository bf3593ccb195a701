"""Search for better params, by trials that are DVC experiments, and say what the choice is worth.

`python -m foldwise tune space.yaml --trials 40` draws values for the keys that the file names, runs
each draw in a clone of the repository from the last commit on, ends early what does not promise,
and chooses by the out-of-fold score. Nothing in the workspace changes; the winner's run is the
experiment <study>-best, the only one whose test part is looked at.
"""

import argparse
import json
import os
import re
import subprocess
import threading
from pathlib import Path
from typing import Any

import joblib
import numpy as np
import yaml
from dvc.repo.experiments.refs import ExpRefInfo

from foldwise.checks import check_params
from foldwise.core import files
from foldwise.core.errors import UserError
from foldwise.core.receipts import only_dvc
from foldwise.core.settings import PARAMS, read_file
from foldwise.params import Params, checked_params
from foldwise.tuning.conclusion import Conclusion, conclude
from foldwise.tuning.processes import end_all, git, last_error
from foldwise.tuning.search import Judge, Search, experiment_name, run_base, say
from foldwise.tuning.space import RECIPE, Space, read_space
from foldwise.tuning.study import Study
from foldwise.tuning.workspace import StageError, StoppedError, Workspace

FOLDER = Path(".tune")
SUMMARY = files.METRICS / "summary.json"
CHANGED = ("'modified'", "'new'", "changed command", "always changed")
"""What `dvc status` says of a stage that is to be run."""
NAME = re.compile(r"[a-z0-9][a-z0-9-]*")


def main() -> None:
    arguments = read_arguments()
    check_params()
    content = read_file()
    space = read_space(arguments.space, content)
    name = arguments.name or re.sub("[^a-z0-9]+", "-", arguments.space.stem.lower()).strip("-")
    if not NAME.fullmatch(name):
        raise UserError(f"--name: got '{name}'; write small letters, digits and hyphens")
    base = committed()
    params = checked_params(content)
    folder = FOLDER / name
    with only_dvc(folder / "running") as own:
        if not own:
            raise UserError(f"{folder}: another process runs this study; wait for it")
        seed = params.seed if arguments.seed is None else arguments.seed
        study = Study(folder, space, {"base": base, "space": identity_of(space)}, seed)
        if not study.trials:
            refuse_former(name, base)
        interrupted = threading.Event()
        workspaces = make_workspaces(folder, base, arguments.jobs, interrupted)
        try:
            found = search(study, workspaces, space, params, name, base, arguments, interrupted)
        except (KeyboardInterrupt, StoppedError):
            say("the same command goes on with this study")
            raise KeyboardInterrupt from None
        finally:
            interrupted.set()
    base_summary = yaml.safe_load(git(Path(), "show", f"{base}:./{SUMMARY}"))
    summary = files.read_json(workspaces[0].folder / SUMMARY, "evaluate")
    print(told(found, name, [base_summary, summary]))


def read_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("space", type=Path, help="YAML file of what is searched")
    parser.add_argument("--trials", type=int, default=30, help="how many, those before included")
    parser.add_argument("--jobs", type=int, default=1, help="trials at once (one GPU each)")
    parser.add_argument("--name", help="of the study; left out: the file's")
    parser.add_argument("--seed", type=int, help="of what is drawn; left out: params.yaml's")
    arguments = parser.parse_args()
    for key in ("trials", "jobs"):
        if getattr(arguments, key) < 1:
            raise UserError(f"--{key}: got {getattr(arguments, key)}; write 1 or more")
    return arguments


def committed() -> str:
    """The last commit's hash.

    Raises:
        UserError: what is tracked differs from it, or its data is not what it says.
    """
    changed = git(Path(), "status", "--porcelain", "--untracked-files=no")
    if changed:
        first = changed.splitlines()[0].split(maxsplit=1)[1]
        raise UserError(
            f"{first}: differs from the last commit, which trials start from; commit it, or take "
            "it back"
        )
    said = subprocess.run(["dvc", "status", "--json"], capture_output=True, text=True, check=False)
    if said.returncode:
        raise UserError(f"dvc status: {last_error(said.stderr)}")
    # Files may be gone, as raw data is where it was fetched once; DVC's cache has what came of it.
    stale = [
        stage
        for stage, found in json.loads(said.stdout).items()
        if stage != "present" and any(word in repr(found) for word in CHANGED)
    ]
    if stale:
        raise UserError(
            f"dvc.lock: {stale[0]} is out of date, and trials start from its run; run `dvc "
            "repro`, commit, then this again"
        )
    return git(Path(), "rev-parse", "HEAD")


def identity_of(space: Space) -> dict[str, Any]:
    """What may not change while a study goes on: the keys, and what is in recipes."""
    found: dict[str, Any] = {
        key: each.model_dump(exclude_none=True) for key, each in space.dimensions.items()
    }
    if RECIPE in space.dimensions:
        found["recipes"] = [read_file(Path(each)) for each in space.dimensions[RECIPE].samples]
    return found


def refuse_former(name: str, base: str) -> None:
    """Refuse to begin where experiments of a study of this name are that is no more."""
    refs = git(Path(), "for-each-ref", "--format=%(refname:lstrip=4)", str(ExpRefInfo(base)))
    former = [each for each in refs.split() if re.fullmatch(rf"{name}-(\d+|best)(-pruned)?", each)]
    if former:
        raise UserError(
            f"{former[0]}: is an experiment of a former study of this name; give another --name, "
            f"or remove them (`dvc exp remove {' '.join(former[:3])}`{' ...' * (len(former) > 3)})"
        )


def make_workspaces(
    folder: Path, base: str, jobs: int, interrupted: threading.Event
) -> list[Workspace]:
    """A clone for each trial that runs at once, with its share of the machine."""
    gpus = visible_gpus()
    # Perhaps there were more of them before a kill.
    end_all(folder / "workspaces")
    made = []
    for job in range(jobs):
        environment: dict[str, str] = {}
        if gpus:
            environment["CUDA_VISIBLE_DEVICES"] = gpus[job % len(gpus)]
        if jobs > 1:
            # Threads of two trials that wait for each other's cores would be slower than one's.
            share = str(max(1, joblib.cpu_count() // jobs))
            environment |= {"LOKY_MAX_CPU_COUNT": share, "OMP_NUM_THREADS": share}
        path = folder / "workspaces" / str(job)
        made.append(Workspace(path, Path(), base, environment, interrupted))
        made[-1].prepare()
    return made


def visible_gpus() -> list[str]:
    """What names each GPU; without importing torch."""
    given = os.environ.get("CUDA_VISIBLE_DEVICES")
    if given is not None:
        return [each for each in given.split(",") if each]
    try:
        listed = subprocess.run(
            ["nvidia-smi", "--list-gpus"], capture_output=True, text=True, check=True
        )
    except (OSError, subprocess.CalledProcessError):
        return []
    return [str(place) for place, _ in enumerate(listed.stdout.splitlines())]


def search(
    study: Study,
    workspaces: list[Workspace],
    space: Space,
    params: Params,
    name: str,
    base: str,
    arguments: argparse.Namespace,
    interrupted: threading.Event,
) -> Conclusion:
    """Run what is missing of the study, and the winner to the end."""
    first = workspaces[0]
    if not study.trials:
        say("trial 0: the base, as it is committed")
        outcome = run_base(first, space.base)
        assert outcome.ids is not None
        assert outcome.predicted is not None
        judge = make_judge(first.folder, outcome.ids, outcome.predicted, params)
        facts = judge(outcome.ids, outcome.predicted)
        facts |= {"seconds": outcome.seconds, "epochs": outcome.epochs, "values": {}}
        epochs = params.recipe(params.members[0]).epochs
        study.add_base(outcome, facts["score"], epochs, facts)
    judge = make_judge(first.folder, *study.predicted(0), params)
    Search(study, judge, space.base, name, arguments.trials).run(workspaces, interrupted)
    found = conclude(study, judge, name, base, list(params.folds))
    finish(first, study, found, name)
    return found


def make_judge(root: Path, ids: np.ndarray, labels: np.ndarray, params: Params) -> Judge:
    """What trials are compared by, from the files below `root`, which no trial changes."""
    classes = files.read_dataset(root)["classes"]
    true = files.labels_of(ids, classes, root).to_numpy(np.int8)
    folds = files.read_folds(root / files.FOLDS).set_index("id")["fold"].loc[ids].to_numpy()
    return Judge(true, ids, folds, params.threshold.objective, labels)


def finish(workspace: Workspace, study: Study, found: Conclusion, name: str) -> None:
    """Run the winner to the end, the test part included, and keep it as an experiment."""
    winner = study.trials[found.winner]
    workspace.reset(winner.user_attrs.get("commit", workspace.base))
    content = read_file(workspace.folder / PARAMS)
    content["evaluate"] = {**study.space.base["evaluate"]}
    workspace.write_params(content)
    found.write(workspace.folder)
    try:
        workspace.repro(["evaluate", "present"])
    except StageError as error:
        raise UserError(f"the winner, trial {winner.number}: {error}") from None
    values = winner.user_attrs.get("values", {})
    workspace.record(f"{name}-best", f"The winner of {name}, trial {winner.number}: {values}")


def told(found: Conclusion, name: str, summaries: list[dict[str, Any]]) -> str:
    """What is printed at the end.

    Args:
        found: what there is to say.
        name: of the study.
        summaries: headlines of the base and of the winner.
    """
    metrics = found.metrics
    winner, gain, nested = metrics["winner"], metrics["winner"]["gain"], metrics["nested"]
    counts = metrics["trials"]
    who = "the base" if winner["trial"] == 0 else experiment_name(name, winner["trial"], "complete")
    lines = [
        f"{sum(counts.values())} trials: {counts['complete']} complete, {counts['pruned']} pruned, "
        f"{counts['failed']} failed",
        f"best out-of-fold {metrics['objective']}: {winner['score']:.4f} "
        f"[{winner['low']:.4f}, {winner['high']:.4f}], {who}",
        f"gain over the base as it looks: {shown_gain(gain)}",
        f"gain with what choosing cost taken off: {shown_gain(nested)}",
        *test_lines(metrics["objective"], summaries),
        "within noise of it: trials " + ", ".join(map(str, metrics["within_noise"]))
        + f"; the cheapest is {metrics['cheapest']['trial']}",
        f"\ndvc exp show\npython -m foldwise compare HEAD {name}-best --classes\n"
        f"dvc exp apply {name}-best",
    ]  # fmt: skip
    return "\n".join(lines)


def test_lines(objective: str, summaries: list[dict[str, Any]]) -> list[str]:
    """What headlines say of the test part, if it has labels and the objective is in them."""
    values = [each.get("test", {}).get(objective) for each in summaries]
    if None in values:
        return []
    base, winner = values
    return [f"test part, looked at for the winner alone: {winner:.4f}, the base {base:.4f}"]


def shown_gain(gain: dict[str, Any]) -> str:
    """A gain with its interval.

    >>> shown_gain({"value": 0.01, "low": -0.002, "high": 0.02, "verdict": "within noise"})
    '+0.0100 [-0.0020, +0.0200], within noise'
    """
    return f"{gain['value']:+.4f} [{gain['low']:+.4f}, {gain['high']:+.4f}], {gain['verdict']}"
