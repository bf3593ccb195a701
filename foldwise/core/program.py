"""How a program of ours ends: what its user can mend is one line each, and the exit code tells."""

import atexit
import errno
import os
import signal
import sys
import threading
from collections.abc import Callable
from types import FrameType
from typing import NoReturn

from foldwise.core.errors import Terminated, UserError
from foldwise.core.receipts import receipt

# What the disk or its owner refuses is no bug of ours. Without a file to name, it may be one.
REFUSED = {
    errno.EACCES: "may not be read or written; change its permissions, or whose it is",
    errno.EPERM: "may not be changed; change its permissions, or whose it is",
    errno.EROFS: "lies on a file system that may only be read; work in a copy elsewhere",
}
FULL = {
    errno.ENOSPC: "no space left; free some, and run again",
    errno.EDQUOT: "the disk quota is used up; free some space, and run again",
}


ENDED = "ended by SIGTERM; run again to go on"
INTERRUPTED = "interrupted"


def run(main: Callable[[], None]) -> NoReturn:
    """Run a stage or a command, and end the process.

    Each problem of a `UserError`, and what the disk refuses, is printed as one line on stderr; the
    exit code is 1 then, 130 after Ctrl-C, 143 after SIGTERM, else 0. Any other exception is a bug
    of ours and keeps its traceback.
    """
    if threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGTERM, _terminate)
    try:
        with receipt():
            main()
        # What is still to be written may not fit either.
        sys.stdout.flush()
    except UserError as error:
        for problem in error.args:
            _say("error: " + " ".join(problem.split()))
        _leave(1)
    except KeyboardInterrupt:
        _say(INTERRUPTED)
        _leave(130)
    except Terminated as end:
        _end_by_signal(str(end))
    except BrokenPipeError:
        # Who read our output has seen enough, as `head` has.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        _leave(141)
    except Exception as error:
        if Terminated.came:
            _end_by_signal()
        line = refusal(error)
        if line is None:
            raise
        _say(f"error: {line}")
        _leave(1)
    _leave(0)


def refusal(error: BaseException) -> str | None:
    """The line for what the operating system refused, or None for any other error.

    Libraries bury it: closing a half-written archive fails in its own way after the disk is full.
    """
    found: BaseException | None = error
    while found is not None:
        if isinstance(found, OSError):
            if found.errno in FULL:
                return f"{found.filename or 'disk'}: {FULL[found.errno]}"
            if found.errno in REFUSED and found.filename:
                return f"{found.filename}: {REFUSED[found.errno]}"
        found = found.__cause__ or found.__context__
    return None


def _terminate(number: int, _: FrameType | None) -> NoReturn:
    note_signal(number)
    raise Terminated


def note_signal(number: int) -> None:
    """Take note of SIGTERM or Ctrl-C without raising, for those who will at a better moment."""
    Terminated.came = signal.Signals(number)
    # A second one must not interrupt what cleans up after the first.
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    # Nor must torch, which raises wherever it hears of a worker's end: a scheduler's signal goes to
    # workers too, and so does a terminal's.
    signal.signal(signal.SIGCHLD, lambda *_: None)


def _end_by_signal(line: str = "") -> NoReturn:
    by = Terminated.came or signal.SIGTERM
    _say(line or (INTERRUPTED if by == signal.SIGINT else ENDED))
    # As a shell counts: 130 and 143.
    _leave(128 + by)


def _say(line: str) -> None:
    try:
        print(line, file=sys.stderr)
    except OSError:
        # Nobody is there to read it; the exit code tells.
        return


def _leave(code: int) -> NoReturn:
    """End the process at once.

    The interpreter would take every module apart first: a second for what torch and Lightning
    import, at every one of a run's many stages.
    """
    # What else happens at an exit: worker processes are ended, logs are closed.
    atexit._run_exitfuncs()
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except OSError:
            code = code or 1
    os._exit(code)
