"""Where folders lie that outlive a run, and that all runs of a project share."""

from pathlib import Path

COPIES = (".dvc", "tmp", "exps")
"""Where DVC makes the copies of a project in which experiments of its queue run."""


def shared(folder: Path) -> Path:
    """A folder of the project itself: in a copy of DVC's queue, too, not that of the copy.

    DVC deletes such a copy after its run, and with it all that git ignores.

    Args:
        folder: from the project's root; whose files are named by all that decides them.

    >>> shared(Path(".features"))
    PosixPath('.features')
    """
    for above in Path.cwd().parents:
        if above.parts[-len(COPIES) :] == COPIES:
            return above.parents[len(COPIES) - 1] / folder
    return folder
