"""Programs that a study runs, ends, and listens to."""

import os
import signal
import subprocess
from pathlib import Path

import psutil

from foldwise.core.errors import UserError

PATIENCE = 60.0
"""Seconds that a stage is given to keep a checkpoint after SIGTERM."""
NAMED = {
    "GIT_AUTHOR_NAME": "foldwise tune",
    "GIT_AUTHOR_EMAIL": "tune@foldwise.invalid",
    "GIT_COMMITTER_NAME": "foldwise tune",
    "GIT_COMMITTER_EMAIL": "tune@foldwise.invalid",
}
"""Whose commits experiments are: git asks for somebody."""
OURS_RUN = ("dvc", "stages.", "foldwise")
"""What the command lines of a study's processes hold."""
NOTHING = ("ERROR: failed to reproduce", "Having any troubles?")
"""Beginnings of lines of DVC's that say nothing."""


def git(folder: Path, *words: str, quiet: bool = False) -> str:
    """What a git command prints. Raises `UserError` if it fails."""
    result = subprocess.run(
        ["git", "-C", str(folder), "-c", "gc.auto=0", *words],
        env=os.environ | NAMED,
        capture_output=True,
        text=True,
        check=False,
    )
    if result.returncode and not quiet:
        lines = [line.strip() for line in result.stderr.splitlines() if line.strip()]
        said = [line for line in lines if line.startswith(("fatal:", "error:"))] or lines
        raise UserError(f"git {' '.join(words[:2])}: {(said or ['failed'])[0]}")
    return result.stdout.strip()


def end_stages(parent: int) -> None:
    """Have the stages below a process end, as a scheduler would: they keep a checkpoint."""
    try:
        below = psutil.Process(parent).children(recursive=True)
    except psutil.NoSuchProcess:
        return
    for process in below:
        try:
            if any(word.startswith("stages.") for word in process.cmdline()):
                process.send_signal(signal.SIGTERM)
        except psutil.Error:
            continue


def end_all(folder: Path) -> None:
    """End all that a study has left running in a folder; a shell of its user may stay."""
    found = []
    for process in psutil.process_iter():
        try:
            words = " ".join(process.cmdline())
            inside = Path(process.cwd()).is_relative_to(folder.resolve())
            if inside and any(word in words for word in OURS_RUN):
                process.terminate()
                found.append(process)
        except psutil.Error:
            continue
    _, alive = psutil.wait_procs(found, PATIENCE)
    for process in alive:
        process.kill()
    psutil.wait_procs(alive, PATIENCE)


def last_error(text: str) -> str:
    """The line of a stage's output that says why it failed.

    >>> last_error("Running stage\\nerror: lr: is too high; lower it\\nERROR: failed to reproduce")
    'lr: is too high; lower it'
    >>> last_error("ERROR: no such file\\n\\nHaving any troubles? ...")
    'ERROR: no such file'
    """
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    said = [line.removeprefix("error: ") for line in lines if line.startswith("error: ")]
    others = [line for line in lines if not line.startswith(NOTHING)]
    return (said or others or ["it said nothing"])[-1]
