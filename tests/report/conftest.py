"""What tests of the report share."""

from pathlib import Path

import pytest

from tests.runs import write_run
from tests.studies import page_made_in, write_study


@pytest.fixture
def left(tmp_path: Path) -> Path:
    """A folder for a study's files."""
    for name in ("metrics", "plots"):
        (tmp_path / name).mkdir()
    return tmp_path


@pytest.fixture(scope="session")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What `present` reads of a run, with a study of 30 trials."""
    folder = tmp_path_factory.mktemp("study") / "run"
    write_run(folder, ["cat", "dog"], 12)
    write_study(folder)
    return folder


@pytest.fixture(scope="session")
def page(run: Path) -> str:
    return page_made_in(run)
