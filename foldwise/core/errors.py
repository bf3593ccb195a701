"""Errors that a user can mend."""

import signal
from typing import ClassVar


class UserError(Exception):
    """Input or settings that the user can mend; several arguments are several problems.

    Each message is one line: it names the file, row or key, what is wrong with it and what to do.
    """

    def __str__(self) -> str:
        return "\n".join(self.args)


class Terminated(BaseException):
    """SIGTERM came, as schedulers take a machine back, or in the midst of training Ctrl-C.

    Its text is the line that is printed.
    """

    came: ClassVar[signal.Signals | None] = None
    """Which signal came: what is raised after it, while things are cleaned up, is no error."""
