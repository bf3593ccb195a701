"""What a data set holds: counts, classes, and what its images are, by a look at some of them."""

import os
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np

from foldwise.core.errors import UserError
from foldwise.images.decode import MAX_PIXELS, Inspected, bits_of, inspect
from foldwise.images.headers import plain
from foldwise.sources.problems import LISTED
from foldwise.starting.finding import DataSet

LOOKED_AT = 100
"""Images that are decoded, evenly spread over the data set."""


@dataclass(frozen=True)
class Look:
    """What a look at some images shows."""

    positions: list[int]
    """Of those that can be decoded."""
    contents: list[bytes]
    """Their files."""
    images: list[Inspected]
    failed: list[str]
    """What is wrong with the others, a line each."""
    grey: int
    """How many plain files are grey."""
    seconds: float
    """That fetch takes of an image, its threads side by side."""

    @property
    def bytes_per_image(self) -> float:
        """Mean size of a file."""
        return float(np.mean([len(each) for each in self.contents]))

    @property
    def side(self) -> int:
        """Median of the shorter sides, in pixels."""
        return int(np.median([min(each.height, each.width) for each in self.images]))


def look_at(found: DataSet) -> Look:
    """Decode some images, as `fetch` decodes all.

    Raises:
        UserError: none can be decoded.
    """
    count = len(found.source.ids)
    positions = sorted({int(each) for each in np.linspace(0, count - 1, min(count, LOOKED_AT))})

    def see(position: int) -> tuple[bytes, Inspected] | str:
        try:
            content = found.source.read(position)
            return content, inspect(content, MAX_PIXELS)
        except ValueError as error:
            return f"{found.source.label(position)}: {error}"

    # The first brings libraries with it.
    see(positions[0])
    start = time.perf_counter()
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        seen = list(pool.map(see, positions))
    seconds = (time.perf_counter() - start) / len(positions)
    good = [
        (at, *each) for at, each in zip(positions, seen, strict=True) if not isinstance(each, str)
    ]
    failed = [each for each in seen if isinstance(each, str)]
    if not good:
        raise UserError(failed[0])
    headers = [plain(content) for _, content, _ in good]
    return Look(
        [at for at, _, _ in good],
        [content for _, content, _ in good],
        [image for _, _, image in good],
        failed,
        sum(header is not None and header.grey for header in headers),
        seconds,
    )


def facts(found: DataSet, look: Look) -> list[str]:
    """What is said of a data set, a line each."""
    source = found.source
    parts = Counter(source.parts)
    groups = f", {len(set(source.groups))} groups" if source.groups else ""
    lines = [
        f"{parts['train']} images to train on, {parts['test']} of the test part{groups}",
        *_classes_told(found),
        _images_told(look),
    ]
    unreadable = [f"{each['image']}: {each['reason']}" for each in found.dropped] + look.failed
    if unreadable:
        lines.append(f"{len(unreadable)} cannot be used, so that on_error: skip leaves them out:")
        lines += [f"  {each}" for each in unreadable[:LISTED]]
        lines += [f"  and {len(unreadable) - LISTED} more"] if len(unreadable) > LISTED else []
    return lines


def class_counts(found: DataSet) -> np.ndarray:
    """(classes,): how many images of the train part show each."""
    train = np.array(found.source.parts) == "train"
    counts: np.ndarray = (found.source.labels[train] == 1).sum(0)
    return counts


def _classes_told(found: DataSet) -> list[str]:
    source = found.source
    train = np.array(source.parts) == "train"
    shown = class_counts(found)
    order = np.argsort(-shown, kind="stable")
    share = shown / max(1, train.sum())
    listed = [f"{source.classes[each]} {share[each]:.1%}" for each in order]
    if len(listed) > 10:
        listed = [*listed[:5], "...", *listed[-4:]]
    per_image = (source.labels[train] == 1).sum(1)
    kind = "one of each image"
    if source.task == "multilabel":
        kind = f"{per_image.mean():.2f} of an image ({per_image.min()} to {per_image.max()})"
    exclusive = source.task == "multilabel" and bool((per_image == 1).all())
    ignored = int((source.labels[train] == -1).sum())
    lines = [f"{len(source.classes)} classes, {kind}: {', '.join(listed)}"]
    if exclusive and len(source.classes) > 1:
        lines.append(
            "every image has exactly one of them: if no image can have two, a column of the class "
            "says so (--label-column)"
        )
    if ignored:
        lines.append(f"{ignored} labels are unknown (-1) and count for nothing")
    rarest = int(shown.min())
    if rarest < 10:
        name = source.classes[int(shown.argmin())]
        lines.append(f"'{name}' has {rarest} images to train on: little to learn or measure")
    return lines


def _images_told(look: Look) -> str:
    sizes = Counter((each.width, each.height) for each in look.images)
    (width, height), _ = sizes.most_common(1)[0]
    told = f"{width} x {height} pixels"
    if len(sizes) > 1:
        widths = [each.width for each in look.images]
        heights = [each.height for each in look.images]
        told = (
            f"{min(widths)} to {max(widths)} pixels wide, {min(heights)} to {max(heights)} high, "
            f"mostly {told}"
        )
    count = len(look.images)
    colour = "grey" if look.grey == count else "colours" if not look.grey else "grey and colours"
    largest = [each.largest for each in look.images if each.largest is not None]
    bits = f"{bits_of(max(largest))} of 16 bits" if largest else "8 bits"
    return (
        f"of {count} images that were looked at: {told}; {colour}, {bits}; "
        f"{look.bytes_per_image / 1e3:.0f} kB a file"
    )
