"""Learning curves of trainings that run beside each other."""

import os
from pathlib import Path

import pytest

from foldwise.training.curves import SIGN, Curves
from tests import small

ROW = {"train_loss": 0.5, "valid_loss": 0.25}


@pytest.fixture
def curves(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Curves:
    """Of a training that DVC has started in a folder of no repository."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("DVC_ROOT", str(tmp_path))
    return Curves(Path("plots/cnn/0"), "cnn fold 0", small.recipe())


def test_another_training_may_take_their_sign_away_first(
    curves: Curves, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In the moment between a look for it and its removal."""
    exists = os.path.exists

    def as_seen_before(path: str) -> bool:
        if Path(path).name == SIGN and exists(path):
            Path(path).unlink()
            taken.append(Path(path))
            return True
        return exists(path)

    taken: list[Path] = []
    monkeypatch.setattr("os.path.exists", as_seen_before)
    curves.solved(ROW, seconds=1.0)
    assert taken == [tmp_path / ".dvc/tmp/exps/run" / SIGN]
    assert (tmp_path / "plots/cnn/0/metrics.json").exists()


def test_any_other_file_that_is_missing_is_told(
    curves: Curves, monkeypatch: pytest.MonkeyPatch
) -> None:
    def end(_: object) -> None:
        Path("missing").read_bytes()

    monkeypatch.setattr("dvclive.Live.end", end)
    with pytest.raises(FileNotFoundError, match="missing"):
        curves.solved(ROW, seconds=1.0)
