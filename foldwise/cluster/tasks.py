"""Ray's tasks of a job: one on a node, or one on each of several that train a fold together."""

import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from foldwise.cluster.contents import read_piece
from foldwise.cluster.job import END, LINE, OTHER, Event, Job, events

PATIENCE = 15.0
"""Seconds without a word before people are told that a job waits."""


@dataclass(frozen=True)
class Needs:
    """What a job takes of the cluster."""

    cpus: float
    """Of each node."""
    gpus: float
    """Likewise; may be a part of one."""
    nodes: int = 1

    def wait(self, nodes: list[dict[str, Any]]) -> str:
        """Why it waits, for people.

        Args:
            nodes: as `ray.nodes` lists them.

        >>> needs = Needs(2, 0.5)
        >>> needs.wait([{"Alive": True, "Resources": {"CPU": 4.0}}])
        'waits: no node of the cluster has 2 CPUs and 0.5 GPUs'
        >>> needs.wait([{"Alive": True, "Resources": {"CPU": 4.0, "GPU": 1.0}}])
        'waits for a free node'
        """
        alive = [each["Resources"] for each in nodes if each["Alive"]]
        fit = [
            each
            for each in alive
            if each.get("CPU", 0) >= self.cpus and each.get("GPU", 0) >= self.gpus
        ]
        if len(fit) >= self.nodes:
            return "waits for a free node"
        many = f"{self.nodes} nodes" if self.nodes > 1 else "node"
        return f"waits: no {many} of the cluster has {self.cpus:g} CPUs and {self.gpus:g} GPUs"


class InputSource:
    """Gives pieces of a job's inputs, from the head's disk; an actor that runs on the head."""

    def __init__(self, root: str) -> None:
        """
        Args:
            root: of the project.
        """
        self._root = Path(root)
        self._paths: set[str] = set()

    def offer(self, paths: tuple[str, ...]) -> None:
        """Let these be asked for too."""
        self._paths.update(paths)

    def read(self, path: str, name: str, offset: int) -> bytes:
        """A piece of a file, as `Reader` has it."""
        if path not in self._paths or ".." in Path(name).parts or Path(name).is_absolute():
            raise PermissionError(f"{path}/{name}: is no input of this job")
        whole = self._root / path
        return read_piece(whole / name if name else whole, offset)


def beside_driver(kind: type, *arguments: Any) -> Any:
    """An actor on the machine of this process; it lives as long as somebody holds it."""
    import ray
    from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

    here = NodeAffinitySchedulingStrategy(ray.get_runtime_context().get_node_id(), soft=False)
    return ray.remote(kind).options(num_cpus=0, scheduling_strategy=here).remote(*arguments)


def served(job: Job, source: Any) -> Iterator[Event]:
    """A job's events, on a node."""
    import ray

    def read(path: str, name: str, offset: int) -> bytes:
        data: bytes = ray.get(source.read.remote(path, name, offset))
        return data

    yield from events(job, read)


def helped(job: Job, source: Any) -> tuple[Event, str]:
    """A job of a process that helps another one: its last event, and its last line."""
    last = ""
    for event in served(job, source):
        if event[0] == LINE:
            last = event[1]
        elif event[0] in (END, OTHER):
            return event, last
    raise RuntimeError("a job ended without a word")


def meeting() -> tuple[str, int]:
    """Where processes of several nodes can meet: an address of this one, and a free port."""
    import ray

    address = ray.util.get_node_ip_address()
    with socket.socket() as free:
        free.bind((address, 0))
        return address, int(free.getsockname()[1])


@contextmanager
def started(
    job: Job, source: Any, needs: Needs, say: Callable[[str], None]
) -> Iterator[tuple[Any, list[Any]]]:
    """Start a job; whatever of it still runs at the end is ended.

    Args:
        job: which.
        source: the actor that gives its inputs.
        needs: what it takes.
        say: takes lines for people.

    Yields:
        The stream of its events; and, of several nodes, the tasks of the others.
    """
    import ray

    share = {"num_cpus": needs.cpus, "num_gpus": needs.gpus, "max_retries": 0}
    # Whoever listens is no slower than a stage, and memory is not to fill up.
    streaming = {"num_returns": "streaming", "_generator_backpressure_num_objects": 8}
    if needs.nodes == 1:
        tasks = [ray.remote(served).options(**share, **streaming).remote(job, source)]
        group = None
    else:
        group = _group(needs, say)
        places = [
            ray.util.scheduling_strategies.PlacementGroupSchedulingStrategy(group, index)
            for index in range(needs.nodes)
        ]
        asked = ray.remote(meeting).options(num_cpus=0, scheduling_strategy=places[0])
        host, port = ray.get(asked.remote())
        known = {"MASTER_ADDR": host, "MASTER_PORT": str(port)}
        tasks = []
        for rank, place in enumerate(places):
            own = dict(job.environment) | known | {"NODE_RANK": str(rank)}
            way = ray.remote(helped if rank else served)
            way = way.options(**share, **({} if rank else streaming), scheduling_strategy=place)
            tasks.append(way.remote(replace(job, environment=own), source))
    try:
        yield tasks[0], tasks[1:]
    finally:
        for task in tasks:
            ray.cancel(task)
        if group is not None:
            ray.util.remove_placement_group(group)


def _group(needs: Needs, say: Callable[[str], None]) -> Any:
    """Room on as many nodes, once there is."""
    import ray

    bundle = {"CPU": needs.cpus} | ({"GPU": needs.gpus} if needs.gpus else {})
    group = ray.util.placement_group([bundle] * needs.nodes, strategy="STRICT_SPREAD")
    told = False
    while not group.wait(PATIENCE):
        if not told:
            say(needs.wait(ray.nodes()))
            told = True
    return group
