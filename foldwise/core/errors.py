"""Errors that a user can mend, and the wrapper that prints each in one line."""

import errno
import sys
from collections.abc import Callable


class UserError(Exception):
    """Input or settings that the user can mend; several arguments are several problems.

    Each message is one line: it names the file, row or key, what is wrong with it and what to do.
    """

    def __str__(self) -> str:
        return "\n".join(self.args)


def run(main: Callable[[], None]) -> None:
    """Run a stage; print each problem of a `UserError` as one line on stderr and exit with code 1.

    Any other exception is a bug of ours and keeps its traceback.
    """
    try:
        main()
    except UserError as error:
        for problem in error.args:
            print("error: " + " ".join(problem.split()), file=sys.stderr)
        sys.exit(1)
    except OSError as error:
        if error.errno != errno.ENOSPC:
            raise
        print(f"error: {error.filename or 'disk'}: no space left; free some", file=sys.stderr)
        sys.exit(1)
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        sys.exit(130)
