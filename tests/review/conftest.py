"""What serves a made-up run, of images with several labels and of such with one."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from foldwise.review.server import ReviewServer
from tests.review.made import made_run, serving, session_of


@pytest.fixture(params=[False, True], ids=["several labels", "one label"])
def server(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[ReviewServer]:
    with serving(session_of(made_run(tmp_path / "run", request.param))) as made:
        yield made
