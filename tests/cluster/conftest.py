"""A Ray cluster of a head and two nodes, as processes of this machine, shared by all tests here."""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conftest import ROOT, environment

TOKEN = "0123456789abcdef" * 4


class Nodes:
    """The cluster's nodes, which may be added and killed."""

    def __init__(self, cache: Path) -> None:
        own = {
            "RAY_AUTH_MODE": "token",
            "RAY_AUTH_TOKEN": TOKEN,
            "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0",
            "RAY_USAGE_STATS_ENABLED": "0",
            "FOLDWISE_NODE_CACHE": str(cache),
        }
        self.cache = cache
        self.environment = environment() | own
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.cluster.nodes"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            env=self.environment,
            cwd=ROOT,
        )
        self.address = self._answer()
        self.alive: list[int] = []

    def _answer(self) -> str:
        assert self._process.stdout is not None
        return self._process.stdout.readline().strip()

    def _ask(self, line: str) -> str:
        assert self._process.stdin is not None
        self._process.stdin.write(f"{line}\n")
        self._process.stdin.flush()
        return self._answer()

    def add(self, **environment: str) -> int:
        """Start a node of one CPU; its number."""
        more = [f"{name}={value}" for name, value in environment.items()]
        self.alive.append(int(self._ask(" ".join(["add", *more]))))
        return self.alive[-1]

    def kill(self, number: int) -> None:
        """End a node without a word to it."""
        assert self._ask(f"kill {number}") == "killed"
        self.alive.remove(number)

    def named(self, **more: str) -> dict[str, str]:
        """The environment of whoever uses this cluster."""
        return self.environment | {"FOLDWISE_CLUSTER": self.address} | more

    def end(self) -> None:
        """End all of it."""
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait(60)


@pytest.fixture(scope="session")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Nodes]:
    pytest.importorskip("ray")
    nodes = Nodes(tmp_path_factory.mktemp("nodes"))
    try:
        for _ in range(2):
            nodes.add()
        yield nodes
    finally:
        nodes.end()


def running(project: Path, environment: dict[str, str], *command: str) -> subprocess.Popen[str]:
    """A command in a project, its lines to be read one by one."""
    return subprocess.Popen(
        command,
        cwd=project,
        env={**os.environ, **environment},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
