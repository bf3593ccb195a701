"""`apply` on a cluster: every process of it loads the ensemble once, and takes slices of images."""

import atexit
import os
import platform
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from foldwise.cluster.apply_pool import over_actors
from foldwise.cluster.cache import NodeCache
from foldwise.cluster.client import Supplies
from foldwise.cluster.connection import engine
from foldwise.cluster.contents import Content, contents
from foldwise.cluster.history import brought, index
from foldwise.cluster.job import cache_folder, different, lay_out, other_versions, versions
from foldwise.cluster.tasks import beside_driver
from foldwise.core import files
from foldwise.core.errors import UserError
from foldwise.core.settings import PARAMS, read
from foldwise.deploy.ensemble import read_ensemble, torch_ensemble
from foldwise.deploy.items import Item
from foldwise.deploy.reading import ImageFiles
from foldwise.deploy.slices import Done, EnsembleRunner, Slice
from foldwise.deploy.stores import is_address
from foldwise.deploy.subset import Subset
from foldwise.model.settings import Compute
from foldwise.revisions import INDEX, resolve


class HeadImages:
    """Reads images that lie on the head; an actor that runs there."""

    def __init__(self, root: str) -> None:
        """
        Args:
            root: where paths begin that are not absolute.
        """
        os.chdir(root)
        self._files = ImageFiles(ThreadPoolExecutor())

    def read(self, items: Sequence[Item]) -> list[bytes | str]:
        """As `ImageSource` has it."""
        return self._files(items)


@dataclass(frozen=True)
class ShippedEnsemble:
    """Loads the ensemble on a node."""

    inputs: tuple[Content, ...]
    small: dict[str, bytes]
    """Files, by their paths."""
    subset: Subset
    versions: dict[str, str]
    """The head's."""
    cache_gb: float
    source: Any
    """The actor that gives the inputs."""
    images: Any
    """The actor that gives images of the head's disk."""

    def __call__(self) -> EnsembleRunner:
        """Raises `UserError` if this node's libraries are others."""
        import ray

        differ = different(self.versions)
        if differ:
            raise UserError(f"cluster: {other_versions(platform.node(), differ)}")

        def piece(path: str, name: str, offset: int) -> bytes:
            return ray.get(self.source.read.remote(path, name, offset))

        # For as long as this process lives, which runs nothing else.
        held = ExitStack()
        atexit.register(held.close)
        place = Path(held.enter_context(tempfile.TemporaryDirectory(prefix="foldwise-")))
        cache = NodeCache(cache_folder(), self.cache_gb)
        found = held.enter_context(cache.holding(list(self.inputs), piece))
        lay_out(place, found, self.small)
        os.chdir(place)
        pool = ThreadPoolExecutor()
        own = ImageFiles(pool)

        def images(items: Sequence[Item]) -> list[bytes | str]:
            # What lies in a store every node reads for itself.
            there = [each for each in items if not is_address(each.source)]
            far = iter(own([each for each in items if is_address(each.source)]))
            near = iter(ray.get(self.images.read.remote(there)) if there else [])
            return [next(far if is_address(each.source) else near) for each in items]

        brought_to = place / "brought"
        brought_to.mkdir()
        return EnsembleRunner(torch_ensemble(brought_to, self.subset), pool, images)


def _inputs(subset: Subset) -> tuple[tuple[Content, ...], dict[str, bytes]]:
    """What the ensemble needs of this project, and of commits that it includes."""
    ensemble = subset.of(read_ensemble())
    small = {PARAMS.as_posix(): PARAMS.read_bytes()}
    paths = [each.as_posix() for each in (files.DATASET, files.MERGING, files.DECISION)]
    named = []
    for member in ensemble["members"]:
        revision, _, name = member.rpartition("/")
        if not revision:
            paths += [(files.MODELS / name / str(fold)).as_posix() for fold in ensemble["folds"]]
            continue
        commit = resolve(revision, f"{files.MERGING}: {member}")
        named.append(revision)
        paths += [brought(commit, files.MODELS / name), brought(commit, files.DATASET)]
    if named:
        small[INDEX.as_posix()] = index(named, [])
    return tuple(contents(dict.fromkeys(paths))), small


def over_cluster(slices: Iterable[Slice], cluster: str, subset: Subset) -> Iterator[Done]:
    """What slices give, in the order in which they are done, by all of a cluster.

    Args:
        slices: to be run.
        cluster: `local`, or an address.
        subset: of the ensemble in data/.

    Raises:
        UserError: it cannot be had, a node's libraries are others, or a slice failed.
    """
    compute = read("compute", Compute, Compute())
    inputs, small = _inputs(subset)
    with engine(cluster, None, compute) as (gpus, places):
        # Held until the end: an actor that nobody holds is ended.
        source = Supplies().of(tuple(each.path for each in inputs))
        images = beside_driver(HeadImages, str(Path.cwd()))
        make = ShippedEnsemble(
            inputs, small, subset, versions(), compute.node_cache_gb, source, images
        )
        share = {"num_cpus": compute.num_cpus, "num_gpus": gpus}
        yield from over_actors(slices, make, places, share)
