"""Everything that is wrong with a data set, told in one go."""

from foldwise.core.errors import UserError
from foldwise.sources.names import printable

LISTED = 20


class Problems:
    """Collects problems; images that are bad may be left out instead."""

    def __init__(self, skip: bool = False) -> None:
        """
        Args:
            skip: leave bad images out and record them, rather than refuse the data set.
        """
        self.dropped: list[dict[str, str]] = []
        """Images left out: `image` and `reason`."""
        self._skip = skip
        self._first: list[str] = []
        self._count = 0

    def add(self, culprit: str, problem: str) -> None:
        """Note what has to be mended.

        Args:
            culprit: file, row or key.
            problem: what is wrong with it, and what to do.
        """
        self._count += 1
        if len(self._first) < LISTED:
            self._first.append(printable(f"{culprit}: {problem}"))

    def bad_image(self, culprit: str, reason: str, remedy: str) -> None:
        """Note an image that cannot be used."""
        if self._skip:
            self.dropped.append({"image": printable(culprit), "reason": printable(reason)})
        else:
            self.add(culprit, f"{reason}; {remedy}, or set data.on_error: skip")

    def check(self) -> None:
        """Raise `UserError` with the first problems, and how many more there are, if any."""
        if self._count > LISTED:
            more = f"{self._count - LISTED} more problems like these; mend them and run again"
            raise UserError(*self._first, more)
        if self._count:
            raise UserError(*self._first)
