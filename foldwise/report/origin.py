"""Which commit a run's inputs come from."""

import subprocess
from dataclasses import dataclass


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
    return done.stdout if done.returncode == 0 else None
