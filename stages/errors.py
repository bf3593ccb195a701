"""Errors that a user can mend, and the wrapper that prints them in one line."""

import sys
from collections.abc import Callable


class UserError(Exception):
    """Input or settings that the user can mend.

    The message is one line: it names the file, row or key, what is wrong with it and what to do.
    """


def run(main: Callable[[], None]) -> None:
    """Run a stage; turn a `UserError` into one line on stderr and exit code 1.

    Any other exception is a bug of ours and keeps its traceback.
    """
    try:
        main()
    except UserError as error:
        print("error: " + " ".join(str(error).split()), file=sys.stderr)
        sys.exit(1)
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        sys.exit(130)
