"""Errors that a user can mend, and the wrapper that prints each in one line."""

import atexit
import errno
import os
import sys
from collections.abc import Callable
from typing import NoReturn


class UserError(Exception):
    """Input or settings that the user can mend; several arguments are several problems.

    Each message is one line: it names the file, row or key, what is wrong with it and what to do.
    """

    def __str__(self) -> str:
        return "\n".join(self.args)


def run(main: Callable[[], None]) -> NoReturn:
    """Run a stage or a command, and end the process.

    Each problem of a `UserError` is printed as one line on stderr; the exit code is 1 then, 130
    after Ctrl-C, else 0. Any other exception is a bug of ours and keeps its traceback.
    """
    try:
        main()
    except UserError as error:
        for problem in error.args:
            print("error: " + " ".join(problem.split()), file=sys.stderr)
        _leave(1)
    except OSError as error:
        if error.errno != errno.ENOSPC:
            raise
        print(f"error: {error.filename or 'disk'}: no space left; free some", file=sys.stderr)
        _leave(1)
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        _leave(130)
    _leave(0)


def _leave(code: int) -> NoReturn:
    """End the process at once.

    The interpreter would take every module apart first: a second for what torch and Lightning
    import, at every one of a run's many stages.
    """
    # What else happens at an exit: worker processes are ended, logs are closed.
    atexit._run_exitfuncs()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)
