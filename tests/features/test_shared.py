"""Where files lie that outlive a run."""

from pathlib import Path

import pytest

from foldwise.core.files import CHECKPOINTS, FEATURES
from foldwise.features.shared import shared


@pytest.mark.parametrize("folder", [FEATURES, CHECKPOINTS])
@pytest.mark.parametrize(
    ("here", "wanted"),
    [
        ("project", ""),
        ("project/.dvc/tmp/exps/tmp1", "project"),
        # Of a project in a sub-folder of its repository, that has a folder of its own there.
        ("repository/sub/.dvc/tmp/exps/tmp1/sub", "repository/sub"),
        # In a copy of a copy: that one is the project of this one.
        ("project/.dvc/tmp/exps/tmp1/.dvc/tmp/exps/tmp2", "project/.dvc/tmp/exps/tmp1"),
        ("project/.dvc/tmp/exps", ""),
        ("project/dvc/tmp/exps/tmp1", ""),
        ("project/.dvc/tmp/runs/tmp1", ""),
    ],
)
def test_copies_of_dvcs_queue_share_what_the_project_keeps(
    folder: Path, here: str, wanted: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / here).mkdir(parents=True)
    monkeypatch.chdir(tmp_path / here)
    assert shared(folder) == (tmp_path / wanted / folder if wanted else folder)
