"""The way to a Ray cluster: which one, who may join it, and what is refused in a line."""

import hashlib
import ipaddress
import logging
import os
import secrets
import shutil
import socket
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from math import ceil
from pathlib import Path
from typing import Any

from foldwise.cluster.job import CLUSTER, CODE, HERE
from foldwise.core.errors import UserError
from foldwise.model.settings import Compute

LOCAL = "local"
TOKEN_FILE = Path(".ray/auth_token")
"""Where Ray looks for a token, in the home folder."""
SECONDS = 5.0
"""For an address to answer."""
ROOT = Path(__file__).parents[2]
QUIET = {
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_NUM_REDIS_GET_RETRIES": "3",
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
}
LOOPBACK = {"RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0"}
"""Ray's way, on any system, of listening to this machine alone, and of not taking its loopback
address for the one that others see."""


def chosen(setting: str | None) -> str | None:
    """The cluster to use: `local`, an address, or None.

    Args:
        setting: `compute.cluster`; FOLDWISE_CLUSTER of the environment takes its place.
    """
    named = os.environ.get(CLUSTER)
    if named is None:
        return setting
    return None if named in ("", HERE) else named


def check_address(address: str, key: str = "params.yaml: compute.cluster") -> bool:
    """Refuse an address that is none, that needs a token, or where nothing listens.

    Returns:
        Whether it is a loopback address, which only this machine reaches.

    Raises:
        UserError: of one line.
    """
    host, _, port = address.rpartition(":")
    if not host or not port.isdecimal():
        raise UserError(
            f"{key}: '{address}' is no address; write <host>:<port>, as `ray start` says"
        )
    try:
        found = {info[4][0] for info in socket.getaddrinfo(host, int(port))}
    except (OSError, OverflowError) as error:
        raise UserError(f"{key}: {host}: {error}; write a host that can be reached") from None
    loopback = all(ipaddress.ip_address(each).is_loopback for each in found)
    if not loopback and not _has_token():
        raise UserError(
            f"{key}: {address} is not this machine's own, and no token protects it; on every node "
            "set RAY_AUTH_MODE=token and RAY_AUTH_TOKEN (`ray get-auth-token --generate` makes one)"
        )
    try:
        socket.create_connection((host, int(port)), SECONDS).close()
    except OSError as error:
        raise UserError(
            f"{key}: nothing listens at {address} ({error.strerror or error}); start it with "
            f"`ray start --head --port={port}`, or correct the address"
        ) from None
    return loopback


def _has_token() -> bool:
    if os.environ.get("RAY_AUTH_MODE") != "token":
        return False
    named = os.environ.get("RAY_AUTH_TOKEN_PATH")
    path = Path(named) if named else Path.home() / TOKEN_FILE
    return bool(os.environ.get("RAY_AUTH_TOKEN")) or path.is_file()


def _copy_code(folder: Path) -> None:
    """What nodes need of this project, and nothing else of it."""
    for name in CODE:
        ignored = shutil.ignore_patterns("__pycache__")
        shutil.copytree(ROOT / name, folder / name, ignore=ignored)


def code_digest() -> str:
    """A hash of what `connected` ships of this project."""
    found = hashlib.sha256()
    for name in CODE:
        for path in sorted((ROOT / name).rglob("*.py")):
            found.update(path.as_posix().encode() + path.read_bytes())
    return found.hexdigest()


@contextmanager
def connected(cluster: str, cpus: int | None = None, gpus: int | None = None) -> Iterator[None]:
    """Connect this process to a cluster; a local one is started, and ended.

    Args:
        cluster: `local`, or an address.
        cpus: of a local cluster; None: as many as this machine has.
        gpus: of a local cluster; None: as many as can be seen.

    Raises:
        UserError: it cannot be had.
    """
    alone = cluster == LOCAL or check_address(cluster)
    # Before Ray is imported, which reads them then. Its own lines are of no use to people.
    for name, value in (QUIET | (LOOPBACK if alone else {})).items():
        os.environ.setdefault(name, value)
    import ray

    with tempfile.TemporaryDirectory(prefix="foldwise-code-") as folder:
        _copy_code(Path(folder))
        own: dict[str, Any] = {"address": cluster}
        if cluster == LOCAL:
            own |= {"num_cpus": cpus, "num_gpus": gpus, "include_dashboard": False}
        try:
            with _silent():
                ray.init(
                    runtime_env={"working_dir": folder},
                    log_to_driver=False,
                    logging_level=logging.ERROR,
                    **own,
                )
        except (ConnectionError, RuntimeError) as error:
            first = " ".join(str(error).split("\n", 1)[0].split())
            raise UserError(
                f"cluster {cluster}: refuses this process ({first}); it needs the token and the "
                "versions of Ray and Python that the cluster has"
            ) from None
        try:
            yield
        finally:
            ray.shutdown()


@contextmanager
def _silent() -> Iterator[None]:
    """Keep what a library written in another language says of its retries from people."""
    sys.stderr.flush()
    kept = os.dup(2)
    with Path(os.devnull).open("w") as nothing:
        os.dup2(nothing.fileno(), 2)
    try:
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)


@contextmanager
def engine(cluster: str, jobs: int | None, compute: Compute) -> Iterator[tuple[float, int]]:
    """A cluster for many jobs at once.

    Args:
        cluster: `local`, or an address.
        jobs: at once, at the most; None: as many as it has GPUs for, or CPUs, if they are not of
            this machine alone.
        compute: what a job takes.

    Yields:
        The GPUs that a job takes, and how many jobs find a place in it at once.
    """
    if cluster == LOCAL and "RAY_AUTH_MODE" not in os.environ:
        # Other people of this machine can reach what listens there.
        os.environ |= {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": secrets.token_hex(32)}
    import ray

    cpus = None if jobs is None else ceil(jobs * compute.num_cpus)
    with connected(cluster, cpus=cpus):
        there = ray.cluster_resources()
        gpus = gpus_of(compute, there)
        places = int(there.get("CPU", 0) / compute.num_cpus)
        if gpus:
            places = min(places, int(there.get("GPU", 0) / gpus))
        elif jobs is None and cluster == LOCAL:
            places = 1
        yield gpus, max(1, min(places, jobs or places))


def gpus_of(compute: Compute, there: Mapping[str, float]) -> float:
    """GPUs that a job takes.

    Args:
        compute: of params.yaml.
        there: what the cluster has, by Ray's names.
    """
    if compute.num_gpus != "auto":
        return compute.num_gpus
    devices = 1 if compute.devices == "auto" else compute.devices
    if compute.accelerator in ("gpu", "cuda"):
        return devices
    return devices if compute.accelerator == "auto" and there.get("GPU", 0) > 0 else 0
