"""The pipeline's stages in a project of a benchmark's own, in this process."""

import importlib
import os
import subprocess
import sys
from collections.abc import Iterable, Iterator
from contextlib import chdir, contextmanager, redirect_stderr
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np
import yaml

from foldwise.core import files
from foldwise.decision.decision import Decision

ROOT = Path(__file__).parents[1]


def default_params() -> dict[str, Any]:
    """The default's, whose bf16 trial would make runs differ."""
    made: dict[str, Any] = yaml.safe_load((ROOT / "params.yaml").read_text())
    made["compute"] |= {"workers": 0, "precision": "32-true"}
    return made


def stages_of(member: str, folds: Iterable[int]) -> list[str]:
    """Names and arguments of all stages from `train` on."""
    each = [f"--member {member} --fold {fold}" for fold in folds]
    trained = [f"{name} {arguments}" for name in ("train", "predict") for arguments in each]
    return [*trained, "ensemble", "threshold", "evaluate", "present"]


def run_stage(line: str) -> None:
    """Run a stage here, silently."""
    name, *arguments = line.split()
    main = importlib.import_module(f"stages.{name}").main
    with (
        patch.object(sys, "argv", [name, *arguments]),
        Path(os.devnull).open("w") as nothing,
        redirect_stderr(nothing),
    ):
        main()


@contextmanager
def cloned(folder: Path) -> Iterator[None]:
    """A clone of this repository, as the current folder."""
    subprocess.run(["git", "clone", "-q", str(ROOT), str(folder)], check=True)
    with chdir(folder):
        yield


def committed(message: str) -> str:
    """Commit what was run, its outs in DVC's cache; the commit's hash."""
    quiet: dict[str, Any] = {"check": True, "capture_output": True, "text": True}
    subprocess.run(["dvc", "commit", "-f", "-q"], **quiet)
    subprocess.run(["git", "add", "-A"], **quiet)
    name = ("-c", "user.name=benchmark", "-c", "user.email=benchmark@example.com")
    subprocess.run(["git", *name, "commit", "-qm", message], **quiet)
    return str(subprocess.run(["git", "rev-parse", "HEAD"], **quiet).stdout.strip())


def of_one_fold() -> float:
    """On the test part, the mean over folds of how right what one fold's models decide alone is."""
    ensemble = files.read_arrays(files.ENSEMBLE, "ensemble")
    decision = files.read_json(files.DECISION, "threshold", Decision.from_json)
    labels = files.labels_of(ensemble["test_id"], files.read_dataset()["classes"]).to_numpy()
    return float(np.mean([(decision(each) == labels).mean() for each in ensemble["test_by_fold"]]))
