"""Slices of images over actors of a Ray cluster, each of which loads the ensemble once.

An actor may die, with its node or alone: another one takes its place, and others its slices. Which
actor runs a slice decides nothing.
"""

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, NamedTuple

from foldwise.core.errors import UserError
from foldwise.deploy.slices import Done, Slice, SliceRunner

AHEAD = 2
"""Slices at a time that an actor has: one it runs, one lest it wait."""
TRIES = 3
"""How many actors may die of a slice, or one after the other while they load the ensemble."""


class _Task(NamedTuple):
    """What an actor is asked for: a slice, or, without one, to load the ensemble."""

    actor: Any
    slice: Slice | None
    deaths: int
    """Of actors that were asked before."""


def over_actors(
    slices: Iterable[Slice],
    make: Callable[[], SliceRunner],
    workers: int,
    options: Mapping[str, Any] | None = None,
) -> Iterator[Done]:
    """What slices give, in the order in which they are done.

    No more slices are taken than actors have at a time. An actor that finds no room in the cluster
    yet takes part once it does.

    Args:
        slices: to be run.
        make: loads what runs them, once in every actor.
        workers: how many actors.
        options: of each, as Ray has them: `num_cpus`, `num_gpus`.

    Raises:
        UserError: a slice, or loading, failed for its own reason, or actors die of it again and
            again. Any other exception of theirs comes as Ray's.
    """
    pool = _Pool(iter(slices), make, options or {})
    try:
        yield from pool.run(workers)
    finally:
        pool.end()


class _Pool:
    """Actors, and what they are doing. Ray is connected."""

    def __init__(
        self,
        slices: Iterator[Slice],
        make: Callable[[], SliceRunner],
        options: Mapping[str, Any],
    ) -> None:
        import ray

        class Applier:
            """Lives in a process of its own, maybe on another node."""

            def load(self) -> None:
                self._run = make()

            def run(self, slice: Slice) -> Done:
                return self._run(slice)

        self._ray = ray
        # Never by Ray itself: an actor that it starts anew has not loaded anything.
        self._kind: Any = ray.remote(max_restarts=0, max_task_retries=0, **options)(Applier)
        self._slices = slices
        self._again: deque[tuple[Slice, int]] = deque()
        """Slices whose actors died, and how many did."""
        self._asked: dict[Any, _Task] = {}
        """By what Ray gives back at once."""
        self._held: dict[Any, list[int]] = {}
        """The slices of each actor that has loaded the ensemble: it runs the first."""
        self._ran: dict[Any, int] = {}
        """What an actor ran when it died."""

    def run(self, workers: int) -> Iterator[Done]:
        first = next(self._slices, None)
        if first is None:
            return
        self._again.append((first, 0))
        for _ in range(workers):
            self._start(0)
        while self._feed():
            (ready,), _ = self._ray.wait(list(self._asked), num_returns=1)
            task = self._asked.pop(ready)
            try:
                found = self._ray.get(ready)
            except self._ray.exceptions.RayTaskError as error:
                if isinstance(error.cause, UserError):
                    raise error.cause from None
                raise
            except self._ray.exceptions.RayError as error:
                self._lost(task, error)
                continue
            if task.slice is None:
                self._held[task.actor] = []
            else:
                if task.actor in self._held:
                    self._held[task.actor].remove(task.slice.number)
                yield found

    def _start(self, deaths: int) -> None:
        actor: Any = self._kind.remote()
        self._asked[actor.load.remote()] = _Task(actor, None, deaths)

    def _feed(self) -> bool:
        """Give slices to actors that have too few; whether there is anything left to do."""
        for most in range(1, AHEAD + 1):
            for actor, held in self._held.items():
                if len(held) < most and (found := self._next()) is not None:
                    self._asked[actor.run.remote(found[0])] = _Task(actor, *found)
                    held.append(found[0].number)
        if any(task.slice is not None for task in self._asked.values()):
            return True
        found = self._next()
        if found is not None:
            self._again.appendleft(found)
        return found is not None

    def _next(self) -> tuple[Slice, int] | None:
        if self._again:
            return self._again.popleft()
        following = next(self._slices, None)
        return None if following is None else (following, 0)

    def _lost(self, task: _Task, error: BaseException) -> None:
        """Put another actor in the place of one that died, and its slices before all others."""
        # Of an actor that had several slices, the others are yet to be told.
        anew = task.slice is None or task.actor in self._held
        if held := self._held.pop(task.actor, None):
            self._ran[task.actor] = held[0]
        # A slice that only waited for its turn did not kill anyone.
        died_of_it = task.slice is None or task.slice.number == self._ran[task.actor]
        deaths = task.deaths + died_of_it
        if deaths >= TRIES:
            what = "loaded the ensemble" if task.slice is None else f"ran slice {task.slice.number}"
            told = (str(error).strip().splitlines() or [type(error).__name__])[0]
            raise UserError(
                f"{TRIES} processes that {what} died, the last so: {told}; if memory ran out, give "
                "each more of it or start fewer"
            )
        if task.slice is not None:
            self._again.append((task.slice, deaths))
        if anew:
            # It may live, where only the way to it is lost.
            self._ray.kill(task.actor)
            self._start(deaths if task.slice is None else 0)

    def end(self) -> None:
        """End all actors."""
        for actor in {*self._held, *(task.actor for task in self._asked.values())}:
            self._ray.kill(actor)
