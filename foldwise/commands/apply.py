"""The finished ensemble on any images.

`python -m foldwise apply photo.jpg folder/ --out predictions.csv` runs every image through all
members, folds and views, and decides as the pipeline does. Columns: `image`; `labels` (one CSV line
of class names); where params.yaml has `threshold.guarantee`, likewise the `possible` and `certain`
ones, and whether to `abstain` and ask a person; `agreement` (of the models' labels, 0 to 1); then
every class's probability.
`--out predictions/` writes a Parquet file per slice of images instead, and goes on where an earlier
run ended; `--cluster head:6379` lets all of a Ray cluster label. `--onnx export` runs what
`python -m foldwise export` wrote, without torch and without data/; `--members student --folds 0`
takes these members and folds alone.
"""

import argparse
import os
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

from tqdm import tqdm

from foldwise.core.errors import UserError
from foldwise.core.progress import SECONDS_BETWEEN_LINES, track
from foldwise.core.settings import read
from foldwise.deploy.ensemble import images_at_once, onnx_ensemble, read_ensemble, torch_ensemble
from foldwise.deploy.identity import onnx_digest, torch_digest
from foldwise.deploy.listing import Listing
from foldwise.deploy.parts import PartsFolder, RunFile
from foldwise.deploy.slices import Done, EnsembleRunner, Slice, cut_up, whole_batches
from foldwise.deploy.stores import is_address
from foldwise.deploy.subset import Subset
from foldwise.deploy.table_file import TableFile
from foldwise.model.settings import Compute
from foldwise.sources.names import printable

RunsSlices = Callable[[Iterable[Slice]], Iterable[Done]]
SLICE = 1000
"""Images per part, unless `--slice` says otherwise."""


def means_folder(out: str) -> bool:
    """Whether an `--out` means a folder of parts: it is one, ends in a slash or has no suffix."""
    path = Path(out)
    return out.endswith(("/", os.sep)) or path.is_dir() or not path.suffix


def shown_slices(listing: Listing, size: int, what: str) -> Iterator[Slice]:
    """The slices of a listing, with their progress on stderr."""
    slices = cut_up(listing, size)
    count = listing.count()
    if count is not None:
        return track(slices, -(-count // size), what)
    return _counted(slices, what)


def _counted(slices: Iterator[Slice], what: str) -> Iterator[Slice]:
    """Progress where nobody knows how many there are."""
    if sys.stderr.isatty():
        yield from tqdm(slices, desc=what)
        return
    start = last = time.monotonic()
    for done, each in enumerate(slices, 1):
        yield each
        now = time.monotonic()
        if now - last >= SECONDS_BETWEEN_LINES:
            print(f"{what}: {done} ({now - start:.0f} s)", file=sys.stderr, flush=True)
            last = now


def _to_file(file: TableFile, listing: Listing, run: EnsembleRunner, size: int) -> None:
    with file:
        for done in map(run, shown_slices(listing, size, f"batches of {size} images")):
            file.write(done)


def _to_folder(parts: PartsFolder, listing: Listing, run: RunsSlices, size: int) -> None:
    with parts:
        slices = shown_slices(listing, size, f"slices of {size} images")
        for done in run(parts.missing(slices)):
            parts.write(done)
        parts.finish()


def _by_cluster(
    arguments: argparse.Namespace, listing: Listing, subset: Subset, temporary: Path
) -> PartsFolder:
    """Label all that is listed on a cluster's nodes."""
    # Only here: nobody else needs Ray.
    from foldwise.cluster.apply_cluster import over_cluster

    if arguments.onnx or not means_folder(arguments.out):
        raise UserError(
            "--cluster: runs the ensemble of data/ and writes a folder; drop --onnx, and end --out "
            "with a slash"
        )
    compute = read("compute", Compute, Compute())
    ensemble = subset.of(read_ensemble())
    size = whole_batches(arguments.slice, images_at_once(compute.batch_size, ensemble))
    about = RunFile(ensemble=torch_digest(temporary, subset), listing=listing.digest, slice=size)
    parts = PartsFolder(Path(arguments.out), about)
    _to_folder(parts, listing, lambda some: over_cluster(some, arguments.cluster, subset), size)
    return parts


def _apply(
    arguments: argparse.Namespace, listing: Listing, temporary: Path, pool: ThreadPoolExecutor
) -> list[str]:
    """Label all that is listed; a line for each thing that is left out."""
    subset = Subset.from_options(arguments.members, arguments.folds)
    out, onnx = Path(arguments.out), arguments.onnx
    file = None if means_folder(arguments.out) else TableFile(out)
    written: TableFile | PartsFolder
    if arguments.cluster:
        written = _by_cluster(arguments, listing, subset, temporary)
        return _summed_up(arguments.out, listing, written)
    ensemble = onnx_ensemble(onnx, subset) if onnx else torch_ensemble(temporary, subset)
    run = EnsembleRunner(ensemble, pool)
    if file is None:
        digest = onnx_digest(onnx, subset) if onnx else torch_digest(temporary, subset)
        size = whole_batches(arguments.slice, ensemble.batch_size)
        about = RunFile(ensemble=digest, listing=listing.digest, slice=size)
        written = parts = PartsFolder(out, about)
        _to_folder(parts, listing, partial(map, run), size)
    else:
        # A row group per slice of a Parquet file: not of a batch, which is small.
        parquet = out.suffix.lower() == ".parquet"
        size = whole_batches(SLICE if parquet else 1, ensemble.batch_size)
        written = file
        _to_file(file, listing, run, size)
    return _summed_up(arguments.out, listing, written)


def _summed_up(out: str, listing: Listing, written: TableFile | PartsFolder) -> list[str]:
    """Say what was written; a line for each thing that is left out."""
    if written.tally.images:
        print(f"{printable(out)}: {written.tally.images} images", file=sys.stderr)
    warning = written.tally.deep.warning()
    if warning is not None:
        print(f"warning: {warning}", file=sys.stderr)
    return listing.problems + written.problems()


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument(
        "images",
        nargs="*",
        help="files, folders, lists (.txt), .parquet and .tar files; paths or addresses (s3://...)",
    )
    parser.add_argument("--list", action="append", default=[], help="text file of paths")
    parser.add_argument(
        "--out",
        default="predictions.csv",
        help="file to write, .csv or .parquet; or a folder, of a Parquet file per slice",
    )
    parser.add_argument("--slice", type=int, default=SLICE, help="images per file of a folder")
    parser.add_argument("--onnx", type=Path, help="folder of exported members to run instead")
    parser.add_argument("--cluster", help="address of a Ray cluster that labels, or `local`")
    parser.add_argument("--members", help="only these, as `a,b`; left out: all")
    parser.add_argument("--folds", help="only these, as `0,1`; left out: all")
    arguments = parser.parse_args()
    if not arguments.images and not arguments.list:
        parser.error("name images to label")
    if arguments.slice < 1:
        raise UserError(f"--slice: {arguments.slice} is no number of images; give 1 or more")
    if is_address(arguments.out):
        raise UserError(f"{printable(arguments.out)}: is in a store; name a file or folder here")
    listing = Listing(arguments.images, arguments.list)
    with tempfile.TemporaryDirectory() as temporary, ThreadPoolExecutor() as pool:
        problems = _apply(arguments, listing, Path(temporary), pool)
    if problems:
        raise UserError(*problems)
