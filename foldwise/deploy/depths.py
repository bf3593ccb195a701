"""Images whose samples mean other brightness than those of training."""

from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Self

from foldwise.deploy.ensemble import DeployedMember
from foldwise.images.decode import bits_of
from foldwise.images.decoding import DEPTHS


@dataclass(frozen=True)
class DeepImages:
    """How many of some images there are that members take for darker or brighter than they are."""

    dark: int = 0
    largest_dark: int = 0
    """Sample of them."""
    bright: int = 0
    depth: int = DEPTHS[-1]
    """Bits above which they are bright."""

    @classmethod
    def of(cls, largest: Iterable[int], members: Sequence[DeployedMember]) -> Self:
        """
        Args:
            largest: the largest sample of every image that does not say how many of its bits count.
            members: an image counts where it is too dark, or too bright, for one of them.
        """
        held = list(largest)
        unsettled = any(not member.depth_settled for member in members)
        dark = [each for each in held if unsettled and bits_of(each) < DEPTHS[-1]]
        depth = min(member.decoding.depth for member in members)
        bright = sum(bits_of(each) > depth for each in held)
        return cls(len(dark), max(dark, default=0), bright, depth)

    def plus(self, other: "DeepImages") -> "DeepImages":
        """Those of both."""
        return DeepImages(
            self.dark + other.dark,
            max(self.largest_dark, other.largest_dark),
            self.bright + other.bright,
            min(self.depth, other.depth),
        )

    def as_json(self) -> dict[str, Any]:
        """What makes it anew as keywords."""
        return asdict(self)

    def warning(self) -> str | None:
        """A line, None if there is nothing to say."""
        said = []
        if self.dark:
            said.append(
                f"{self.dark} with 16-bit samples of fewer bits (the largest is "
                f"{self.largest_dark}) are darker than they should be: of training no depth is on "
                "record, so 16 bits count"
            )
        if self.bright:
            said.append(
                f"{self.bright} have samples above the {self.depth} bits of training, which became "
                "white"
            )
        if not said:
            return None
        return (
            f"images: {'; '.join(said)}; convert them to 8 bits as the training images were, or "
            "train anew with data.depth"
        )
