"""One process's way to a cluster, shared by the stages that it starts.

A process that connects to a cluster costs seconds: Ray is imported, and every node that it uses
starts a worker of its own for it. So `folds-parallel` connects once. Its stages ask it, through a
socket of this machine that takes a key, and hear their lines from it.
"""

import os
import secrets
import socket
import sys
import tempfile
import threading
import traceback
from contextlib import suppress
from dataclasses import replace
from multiprocessing import AuthenticationError
from multiprocessing.connection import Client, Connection, Listener
from pathlib import Path
from typing import Self

from foldwise.cluster.client import LOOK, Remote, Supplies, to_stderr
from foldwise.cluster.connection import code_digest
from foldwise.cluster.job import CLUSTER, Job
from foldwise.cluster.tasks import Needs
from foldwise.core.errors import UserError

PREFIX = "unix:"
KEY = "FOLDWISE_CLUSTER_KEY"
"""Variable of the environment: what a stage proves with that it may ask."""
SAID, DONE, REFUSED, FAILED = "said", "done", "refused", "failed"


class Exchange:
    """Runs the jobs of other processes; a context manager, while this process is connected."""

    def __init__(self, gpus: float, places: int) -> None:
        """
        Args:
            gpus: that each job takes.
            places: how many jobs run at once; others wait, though the cluster had room.
        """
        self._gpus = gpus
        self._places = threading.Semaphore(places)
        self._key = secrets.token_hex(32)
        self._supplies = Supplies()
        self._code = code_digest()
        self._closing = False

    def __enter__(self) -> Self:
        self._folder = tempfile.TemporaryDirectory(prefix="foldwise-")
        self._path = str(Path(self._folder.name) / "exchange")
        self._listener = Listener(self._path, "AF_UNIX", authkey=bytes.fromhex(self._key))
        self._thread = threading.Thread(target=self._accept, daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._closing = True
        # Closing alone would not wake who waits for somebody to come.
        with socket.socket(socket.AF_UNIX) as last:
            last.connect(self._path)
        self._thread.join()
        self._listener.close()
        self._folder.cleanup()

    @property
    def environment(self) -> dict[str, str]:
        """For the stages."""
        return {CLUSTER: f"{PREFIX}{self._path}", KEY: self._key}

    def _accept(self) -> None:
        while not self._closing:
            try:
                connection = self._listener.accept()
            except (AuthenticationError, EOFError, OSError):
                # Whoever came went again, or has no key.
                continue
            threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection: Connection) -> None:
        def say(line: str) -> None:
            try:
                connection.send((SAID, line))
            except OSError:
                raise KeyboardInterrupt from None

        # Whoever asked and is gone was interrupted.
        with connection, suppress(KeyboardInterrupt, OSError):
            job, title, needs, state = connection.recv()
            needs = replace(needs, gpus=self._gpus)
            while not self._places.acquire(timeout=LOOK):
                if connection.poll(0):
                    return
            try:
                self._check_code()
                Remote(
                    job, title, needs, state, self._supplies, say, lambda: connection.poll(0)
                ).run()
            except UserError as error:
                connection.send((REFUSED, error.args))
            except Exception:
                connection.send((FAILED, traceback.format_exc()))
            else:
                connection.send((DONE, None))
            finally:
                self._places.release()

    def _check_code(self) -> None:
        """DVC would take what older code gave for what the code of today gives."""
        if code_digest() != self._code:
            raise UserError(
                "foldwise/ or stages/ changed since `folds-parallel` was started, whose code nodes "
                "have; run it again"
            )


def ask(address: str, job: Job, title: str, needs: Needs, state: Path) -> None:
    """Let an exchange run a job; its lines go to stderr.

    Args:
        address: as `Exchange.environment` has it.
        job: what is run.
        title: for people.
        needs: what it takes, but for GPUs.
        state: as `Remote` has it.

    Raises:
        UserError: the job failed; the exchange is gone.
    """
    gone = UserError(f"{title}: `folds-parallel`, which ran this, is gone; run it again to go on")
    key = bytes.fromhex(os.environ.get(KEY, ""))
    try:
        connection = Client(address.removeprefix(PREFIX), "AF_UNIX", authkey=key)
    except (OSError, EOFError, AuthenticationError):
        raise gone from None
    with connection:
        connection.send((job, title, needs, state))
        while True:
            try:
                kind, what = connection.recv()
            except (OSError, EOFError):
                raise gone from None
            if kind == SAID:
                to_stderr(what)
            elif kind == REFUSED:
                raise UserError(*what)
            elif kind == FAILED:
                print(what, file=sys.stderr)
                raise RuntimeError("the job failed in the process that is connected")
            else:
                return
