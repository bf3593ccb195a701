"""Runs to review, made up, and a server for each that runs beside the test."""

import threading
from argparse import Namespace
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pandas as pd
import pytest

from foldwise.commands import review
from foldwise.review.server import ReviewServer
from foldwise.review.session import ReviewSession
from tests.runs import write_run

CLASSES = ["cat", "dog, or wolf", "<b>fox</b>", "007"]


def made_run(folder: Path, single: bool, images: int = 40) -> Path:
    """A run without predictions of members; two of its images are said to look the same."""
    write_run(folder, CLASSES, images, single)
    pairs = {"picture": [0, 0], "id": ["train/0.png", "train/1.png"], "part": "train"}
    pd.DataFrame(pairs | {"bytes": [0, 1]}).to_csv(folder / "data/duplicates.csv", index=False)
    return folder


def session_of(folder: Path, **arguments: object) -> ReviewSession:
    """What the command would serve there; answers go to corrections.csv beside."""
    given = {"out": folder / "corrections.csv", "again": False, "test": False, "most": 5000}
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        made = review.make_session(Namespace(**(given | arguments)))
    # A test that looks on has another working folder.
    made.store.folder = folder / made.store.folder
    return made


@contextmanager
def serving(session: ReviewSession) -> Iterator[ReviewServer]:
    """Its server, until it is no longer needed."""
    with ReviewServer(session) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        try:
            yield server
        finally:
            server.shutdown()
            thread.join()
