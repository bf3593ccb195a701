"""Which cluster, and who may join it."""

import os
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from foldwise.cluster.connection import check_address, chosen, engine, gpus_of
from foldwise.core.errors import UserError
from foldwise.model.settings import Compute

CPUS, GPUS = {"CPU": 16.0}, {"CPU": 16.0, "GPU": 4.0}


@pytest.fixture(autouse=True)
def no_token(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in ("RAY_AUTH_MODE", "RAY_AUTH_TOKEN", "RAY_AUTH_TOKEN_PATH", "FOLDWISE_CLUSTER"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))


@pytest.fixture
def port() -> Iterator[int]:
    with socket.create_server(("", 0)) as server:
        yield server.getsockname()[1]


def test_the_environment_takes_the_place_of_params(monkeypatch: pytest.MonkeyPatch) -> None:
    assert chosen(None) is None
    assert chosen("head:6379") == "head:6379"
    monkeypatch.setenv("FOLDWISE_CLUSTER", "other:1")
    assert chosen("head:6379") == "other:1"
    # So a stage that a node runs does not look for another node.
    monkeypatch.setenv("FOLDWISE_CLUSTER", "null")
    assert chosen("head:6379") is None


@pytest.mark.parametrize("address", ["head", "head:", ":6379", "head:port", "head:6379x"])
def test_what_is_no_address_is_refused(address: str) -> None:
    with pytest.raises(UserError, match="is no address; write <host>:<port>"):
        check_address(address)


def test_only_this_machine_needs_no_token(
    port: int, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    assert check_address(f"127.0.0.1:{port}")
    # An address of this machine that others reach too.
    monkeypatch.setattr(
        socket, "getaddrinfo", lambda *_, **__: [(0, 0, 0, "", ("192.0.2.7", port))]
    )
    monkeypatch.setattr(socket, "create_connection", lambda *_: socket.socket())
    with pytest.raises(UserError, match="no token protects it"):
        check_address(f"head:{port}")
    monkeypatch.setenv("RAY_AUTH_TOKEN", "x" * 64)
    with pytest.raises(UserError, match="RAY_AUTH_MODE=token"):
        check_address(f"head:{port}")
    monkeypatch.setenv("RAY_AUTH_MODE", "token")
    assert not check_address(f"head:{port}")
    monkeypatch.delenv("RAY_AUTH_TOKEN")
    with pytest.raises(UserError, match="no token protects it"):
        check_address(f"head:{port}")
    (tmp_path / ".ray").mkdir()
    (tmp_path / ".ray/auth_token").write_text("x" * 64)
    assert not check_address(f"head:{port}")


def test_an_address_where_nothing_listens_is_refused() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    with pytest.raises(UserError, match=f"nothing listens at 127.0.0.1:{port}"):
        check_address(f"127.0.0.1:{port}")
    with pytest.raises(UserError, match="write a host that can be reached"):
        check_address("no such host:1")


@pytest.mark.parametrize(
    ("compute", "there", "wanted"),
    [
        ({}, CPUS, 0),
        ({}, GPUS, 1),
        ({"devices": 2}, GPUS, 2),
        ({"num_gpus": 0.5}, GPUS, 0.5),
        ({"accelerator": "cpu"}, GPUS, 0),
        ({"accelerator": "gpu"}, CPUS, 1),
    ],
)
def test_gpus_that_a_job_takes(
    compute: dict[str, object], there: dict[str, float], wanted: float
) -> None:
    assert gpus_of(Compute.model_validate(compute), there) == wanted


@pytest.mark.parametrize(
    ("cluster", "jobs", "compute", "there", "places"),
    [
        ("local", None, {}, CPUS, 1),
        ("local", None, {}, GPUS, 4),
        ("local", 2, {}, GPUS, 2),
        ("local", 8, {"num_gpus": 0.5}, GPUS, 8),
        ("head:1", None, {}, CPUS, 16),
        ("head:1", None, {"num_cpus": 5}, CPUS, 3),
        ("head:1", None, {"num_cpus": 8}, GPUS, 2),
        ("head:1", 3, {}, GPUS, 3),
        ("head:1", None, {"num_cpus": 32}, CPUS, 1),
    ],
)
def test_places_are_as_many_as_there_is_room(
    monkeypatch: pytest.MonkeyPatch,
    cluster: str,
    jobs: int | None,
    compute: dict[str, object],
    there: dict[str, float],
    places: int,
) -> None:
    ray = pytest.importorskip("ray")
    asked = {}

    def init(**options: object) -> None:
        asked.update(options)

    monkeypatch.setattr(ray, "init", init)
    monkeypatch.setattr(ray, "shutdown", lambda: None)
    monkeypatch.setattr(ray, "cluster_resources", lambda: there)
    monkeypatch.setattr("foldwise.cluster.connection.check_address", lambda *_: False)
    monkeypatch.setattr(os, "environ", dict(os.environ))
    with engine(cluster, jobs, Compute.model_validate(compute)) as (gpus, found):
        assert found == places
        assert gpus == gpus_of(Compute.model_validate(compute), there)
        # A Ray of our own has a token of its own.
        assert ("RAY_AUTH_TOKEN" in os.environ) == (cluster == "local")
    if cluster == "local" and jobs is not None:
        assert asked["num_cpus"] == jobs
