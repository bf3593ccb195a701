"""The finished ensemble on any images.

`python -m foldwise apply photo.jpg folder/ --out predictions.csv` runs every image through all
members, folds and views, and decides as the pipeline does. Columns: `image`; `labels` (one CSV line
of class names); `agreement` (of the models' labels, 0 to 1); then every class's probability.
`--onnx export` runs what `python -m foldwise export` wrote, without torch and without data/;
`--members student --folds 0` takes these members and folds alone.
"""

import argparse
import csv
import io
import os
import sys
import tempfile
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd

from foldwise.core import files
from foldwise.core.errors import UserError
from foldwise.core.progress import track
from foldwise.deploy.agreement import agreement
from foldwise.deploy.ensemble import DeployedMember, FinishedEnsemble, onnx_ensemble, torch_ensemble
from foldwise.deploy.subset import Subset
from foldwise.ensembling.merge import merge_logits
from foldwise.images.decode import SUFFIXES, bits_of, check, decode
from foldwise.images.decoding import DEPTHS
from foldwise.model.geometry import as_input, resized_shape
from foldwise.model.settings import Model
from foldwise.scoring.probability import sigmoid
from foldwise.sources.archive_checks import LARGEST, too_large
from foldwise.sources.names import printable

RESIZED_PIXELS = 50_000_000
"""To how many pixels an image may be resized, whatever `data.max_pixels` says of images."""


def image_paths(named: Sequence[str]) -> tuple[list[Path], list[str]]:
    """Every file that is named, and every image in folders that are, sorted; each once.

    Hidden files and folders, and what macOS adds to archives, are passed over in folders.

    Returns:
        Paths, and a line for every folder without images.
    """
    found: list[Path] = []
    empty = []
    for name in named:
        path = Path(name)
        if not _is_folder(path):
            found.append(path)
            continue
        inside = sorted(each for each in path.rglob("*") if each.suffix.lower() in SUFFIXES)
        shown = [
            each for each in inside if not _is_folder(each) and not _hidden(each.relative_to(path))
        ]
        found += shown
        if not shown:
            empty.append(f"{printable(str(path))}: holds no images; it is left out")
    return list(dict.fromkeys(found)), empty


def _is_folder(path: Path) -> bool:
    """False too where nobody can tell; reading says why."""
    try:
        return path.is_dir()
    except OSError:
        return False


def _hidden(path: Path) -> bool:
    return any(part.startswith(".") or part == "__MACOSX" for part in path.parts)


class ReadImage(NamedTuple):
    """An image file that all members can take."""

    data: bytes
    largest: int | None
    """Its largest sample, as `Checked` has it."""


def read_image(path: Path, max_pixels: int, models: Sequence[Model]) -> ReadImage | str:
    """An image file, or what is wrong with it for these models."""
    try:
        if path.exists() and not path.is_file():
            return "is no file"
        size = path.stat().st_size
        if size > LARGEST:
            return too_large(size)
        data = path.read_bytes()
        seen = check(data, max_pixels)
    except OSError as error:
        return f"cannot be read ({error.strerror or error})"
    except ValueError as error:
        return str(error)
    for model in models:
        # Of a strip, the shorter side may be resized to what makes the longer one endless.
        rows, columns = resized_shape(seen.height, seen.width, model)
        if rows * columns > max(max_pixels, RESIZED_PIXELS):
            return f"has to be resized to {rows} x {columns} pixels, more than memory is spent on"
    return ReadImage(data, seen.largest)


def depth_warning(largest: Sequence[int], members: Sequence[DeployedMember]) -> str | None:
    """What is to be said of images whose samples mean other brightness than in training.

    Args:
        largest: the largest sample of every image that does not say how many of its bits count.
        members: an image counts where it is too dark, or too bright, for one of them.

    Returns:
        A line; None if there is nothing to say.
    """
    unsettled = any(not member.depth_settled for member in members)
    dark = [each for each in largest if unsettled and bits_of(each) < DEPTHS[-1]]
    depth = min(member.decoding.depth for member in members)
    bright = sum(bits_of(each) > depth for each in largest)
    said = []
    if dark:
        said.append(
            f"{len(dark)} with 16-bit samples of fewer bits (the largest is {max(dark)}) are "
            "darker than they should be: of training no depth is on record, so 16 bits count"
        )
    if bright:
        said.append(f"{bright} have samples above the {depth} bits of training, which became white")
    if not said:
        return None
    return (
        f"images: {'; '.join(said)}; convert them to 8 bits as the training images were, or train "
        "anew with data.depth"
    )


def pixels_for(data: bytes, member: DeployedMember) -> np.ndarray:
    """An image file as a member takes it."""
    return as_input(decode(data, member.model.channels, member.decoding), member.model)


def predicted(
    images: Sequence[bytes], ensemble: FinishedEnsemble, pool: ThreadPoolExecutor
) -> tuple[np.ndarray, np.ndarray]:
    """Logits of the ensemble (images, classes), and the models' agreement (images,)."""
    joined, models = [], []
    for member in ensemble.members:
        pixels = np.stack(list(pool.map(lambda data: pixels_for(data, member), images)))  # noqa: B023  # done before the next member
        folds = [runner(pixels) for runner in member.folds]
        joined.append(merge_logits(folds, ensemble.folds_merge))
        models += folds
    logits = ensemble.merged(joined)
    return logits, agreement([ensemble.decision(each) for each in models])


def rows_of(
    ensemble: FinishedEnsemble, paths: Sequence[Path], logits: np.ndarray, agreed: np.ndarray
) -> Iterator[list[object]]:
    """Rows of the table, without its header."""
    labels = ensemble.decision(logits)
    probabilities = sigmoid(ensemble.decision.calibrator(logits))
    for path, own, share, each in zip(paths, labels, agreed, probabilities, strict=True):
        line = io.StringIO()
        names = [ensemble.classes[index] for index in np.flatnonzero(own)]
        csv.writer(line, lineterminator="").writerow(names)
        # A name that is no UTF-8 must not cost the table.
        name = str(path).encode("utf-8", "backslashreplace").decode()
        yield [name, line.getvalue(), share, *each]


def _refuse_unwritable(out: Path) -> None:
    name = printable(str(out))
    if out.is_dir():
        raise UserError(f"{name}: is a folder; name the CSV file to write")
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(f"{name}: cannot be written ({error.strerror})") from None
    if not os.access(out.parent, os.W_OK):
        raise UserError(f"{name}: its folder may not be written to; name another file")


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("images", nargs="+", help="files and folders")
    parser.add_argument("--out", type=Path, default=Path("predictions.csv"), help="CSV to write")
    parser.add_argument("--onnx", type=Path, help="folder of exported members to run instead")
    parser.add_argument("--members", help="only these, as `a,b`; left out: all")
    parser.add_argument("--folds", help="only these, as `0,1`; left out: all")
    arguments = parser.parse_args()
    subset = Subset.from_options(arguments.members, arguments.folds)
    _refuse_unwritable(arguments.out)
    paths, bad = image_paths(arguments.images)
    rows: list[list[object]] = []
    largest: list[int] = []
    with tempfile.TemporaryDirectory() as temporary, ThreadPoolExecutor() as pool:
        ensemble = (
            onnx_ensemble(arguments.onnx, subset)
            if arguments.onnx
            else torch_ensemble(Path(temporary), subset)
        )
        size = ensemble.batch_size
        models = [member.model for member in ensemble.members]
        starts = range(0, len(paths), size)
        for start in track(starts, len(starts), f"batches of {size} images"):
            some = paths[start : start + size]
            read = list(pool.map(lambda path: read_image(path, ensemble.max_pixels, models), some))
            good = {path: image.data for path, image in zip(some, read, strict=True)
                    if isinstance(image, ReadImage)}  # fmt: skip
            largest += [image.largest for image in read
                        if isinstance(image, ReadImage) and image.largest is not None]  # fmt: skip
            bad += [
                f"{printable(str(path))}: {said}; it is left out"
                for path, said in zip(some, read, strict=True)
                if isinstance(said, str)
            ]
            if good:
                logits, agreed = predicted(list(good.values()), ensemble, pool)
                rows += rows_of(ensemble, list(good), logits, agreed)
    if rows:
        columns = ["image", "labels", "agreement", *ensemble.classes]
        files.write_csv(arguments.out, pd.DataFrame(rows, columns=columns))
        print(f"{printable(str(arguments.out))}: {len(rows)} images", file=sys.stderr)
    warning = depth_warning(largest, ensemble.members)
    if warning is not None:
        print(f"warning: {warning}", file=sys.stderr)
    if bad:
        raise UserError(*bad)
