"""The way to a Ray cluster: which one, who may join it, and what is refused in a line."""

import ipaddress
import logging
import os
import shutil
import socket
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from foldwise.cluster.job import CLUSTER, HERE
from foldwise.core.errors import UserError

LOCAL = "local"
TOKEN_FILE = Path(".ray/auth_token")
"""Where Ray looks for a token, in the home folder."""
SECONDS = 5.0
"""For an address to answer."""
ROOT = Path(__file__).parents[2]
QUIET = {
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_BACKEND_LOG_LEVEL": "fatal",
    "RAY_NUM_REDIS_GET_RETRIES": "3",
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
}


def chosen(setting: str | None) -> str | None:
    """The cluster to use: `local`, an address, or None.

    Args:
        setting: `compute.cluster`; FOLDWISE_CLUSTER of the environment takes its place.
    """
    named = os.environ.get(CLUSTER)
    if named is None:
        return setting
    return None if named in ("", HERE) else named


def check_address(address: str, key: str = "params.yaml: compute.cluster") -> None:
    """Refuse an address that is none, that needs a token, or where nothing listens.

    Raises `UserError`, of one line.
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
    if not all(ipaddress.ip_address(each).is_loopback for each in found) and not _has_token():
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


def _has_token() -> bool:
    if os.environ.get("RAY_AUTH_MODE") != "token":
        return False
    named = os.environ.get("RAY_AUTH_TOKEN_PATH")
    path = Path(named) if named else Path.home() / TOKEN_FILE
    return bool(os.environ.get("RAY_AUTH_TOKEN")) or path.is_file()


def _copy_code(folder: Path) -> None:
    """What nodes need of this project, and nothing else of it."""
    for name in ("foldwise", "stages"):
        ignored = shutil.ignore_patterns("__pycache__")
        shutil.copytree(ROOT / name, folder / name, ignore=ignored)


@contextmanager
def connected(cluster: str, cpus: int | None = None, gpus: int | None = None) -> Iterator[str]:
    """Connect this process to a cluster; a local one is started, and ended.

    Args:
        cluster: `local`, or an address.
        cpus: of a local cluster; None: as many as this machine has.
        gpus: of a local cluster; None: as many as can be seen.

    Yields:
        Its address.

    Raises:
        UserError: it cannot be had.
    """
    if cluster != LOCAL:
        check_address(cluster)
    # Before Ray is imported, which reads them then. Its own lines are of no use to people.
    for name, value in QUIET.items():
        os.environ.setdefault(name, value)
    ray = imported()
    with tempfile.TemporaryDirectory(prefix="foldwise-code-") as folder:
        _copy_code(Path(folder))
        options = {
            "runtime_env": {"working_dir": folder},
            "log_to_driver": False,
            "logging_level": logging.ERROR,
            "configure_logging": True,
        }
        try:
            if cluster == LOCAL:
                context = ray.init(
                    address=LOCAL,
                    num_cpus=cpus,
                    num_gpus=gpus,
                    include_dashboard=False,
                    _node_ip_address="127.0.0.1",
                    **options,
                )
            else:
                context = ray.init(address=cluster, **options)
        except (ConnectionError, RuntimeError) as error:
            first = " ".join(str(error).split("\n", 1)[0].split())
            raise UserError(
                f"cluster {cluster}: refuses this process ({first}); it needs the token and the "
                "versions of Ray and Python that the cluster has"
            ) from None
        try:
            yield context.address_info["gcs_address"]
        finally:
            ray.shutdown()


def imported() -> Any:
    """Ray, which is installed by those alone who use it."""
    try:
        import ray
    except ModuleNotFoundError:
        raise UserError(
            "compute.cluster: needs Ray, which is not installed; run `make cluster-deps`"
        ) from None
    return ray
