"""What is kept between runs may be damaged: training, or what it needs, starts over."""

import hashlib
import os
import re
import shutil
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from foldwise.features.kept import _features_intact
from foldwise.training.checkpoint import AtomicCheckpoints, checkpoint_folder
from tests.fitting import fit, recipe, same
from tests.planted import disguises


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def empty(path: Path) -> None:
    path.write_bytes(b"")


def flip(path: Path) -> None:
    """One bit in the middle of the largest tensor, which torch would not notice."""
    with zipfile.ZipFile(path) as archive:
        tensors = [each for each in archive.infolist() if "/data/" in each.filename]
        largest = max(tensors, key=lambda each: each.file_size)
        before = archive.read(largest)
    content = bytearray(path.read_bytes())
    content[content.index(before) + len(before) // 2] ^= 1
    path.write_bytes(content)


def foreign(path: Path) -> None:
    torch.save({"epoch": 1}, path)


@pytest.mark.parametrize("name", ["last.ckpt", "best-*.ckpt"])
@pytest.mark.parametrize("damage", [cut, empty, flip, foreign, Path.unlink])
def test_a_damaged_checkpoint_is_dropped_and_training_starts_over(
    images: Any,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    name: str,
    damage: Callable[[Path], None],
) -> None:
    made = recipe(epochs=3, keep="best", monitor="train_loss")
    data = images(made)
    straight, rows = fit(made, data, tmp_path / "straight")
    capsys.readouterr()

    def harm(kept: Path) -> None:
        for path in kept.glob(name):
            damage(path)
        capsys.readouterr()

    resumed, again = fit(made, data, tmp_path / "resumed", until=2, meanwhile=harm)
    assert same(straight, resumed)
    assert again == rows
    said = capsys.readouterr().err
    # What was never there is missed by nobody.
    gone = damage is Path.unlink and name == "last.ckpt"
    assert said.count("is damaged; training starts over") == (0 if gone else 1)
    assert "resumed after" not in said


@pytest.mark.parametrize("monitor", ["valid_loss", "train_loss"])
def test_a_project_may_be_moved_before_training_goes_on(
    images: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str], monitor: str
) -> None:
    made = recipe(epochs=3, keep="best", monitor=monitor)
    straight, _ = fit(made, images(made), tmp_path / "straight")

    def moved(kept: Path) -> None:
        content = torch.load(kept / "last.ckpt", weights_only=True)
        text = repr(content["callbacks"]).replace(str(kept.resolve()), "/elsewhere/kept")
        content["callbacks"] = eval(text, {"tensor": torch.tensor, "inf": torch.inf})
        assert "/elsewhere/kept/best-" in text
        torch.save(content, kept / "last.ckpt")

    resumed, _ = fit(made, images(made), tmp_path / "resumed", until=2, meanwhile=moved)
    assert same(straight, resumed)
    assert "damaged" not in capsys.readouterr().err


SOUP: dict[str, Any] = {"averaging": {"method": "soup", "of": "best", "epochs": 2}}


@pytest.mark.parametrize("damage", [flip, Path.unlink])
def test_a_damaged_checkpoint_of_a_soup_is_as_bad_as_any(
    images: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str], damage: Callable[[Path], None]
) -> None:
    made = recipe(epochs=4, **SOUP)
    straight, _ = fit(made, images(made), tmp_path / "straight")

    def harm(kept: Path) -> None:
        state = torch.load(kept / "last.ckpt", weights_only=True)["callbacks"].values()
        (names,) = [each["best_k_models"] for each in state if each.get("best_k_models")]
        best = sorted(names, key=names.__getitem__)
        damage(Path(best[1]))
        capsys.readouterr()

    resumed, _ = fit(made, images(made), tmp_path / "resumed", until=3, meanwhile=harm)
    assert same(straight, resumed)
    assert capsys.readouterr().err.count("is damaged; training starts over") == 1


@pytest.mark.parametrize("of", ["last", "best"])
def test_a_kill_between_a_soups_checkpoint_and_the_last_one(
    of: str, images: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """One that is not needed any more is gone by then; the last one still names it."""
    averaging = SOUP["averaging"] | {"of": of}
    made = recipe(epochs=6, averaging=averaging)
    straight, rows = fit(made, images(made), tmp_path / "straight")
    save = AtomicCheckpoints.save_checkpoint

    def killed(self: AtomicCheckpoints, content: Any, path: Any, **options: Any) -> None:
        if Path(path).name == "last.ckpt" and content["epoch"] == 4:
            raise KeyboardInterrupt
        save(self, content, path, **options)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(AtomicCheckpoints, "save_checkpoint", killed)
        with pytest.raises((KeyboardInterrupt, SystemExit)):
            fit(made, images(made), tmp_path / "resumed")
    kept = sorted(each.name for each in (tmp_path / "resumed/kept").glob("soup-*"))
    assert len(kept) == 3
    if of == "last":
        assert kept == [f"soup-epoch={epoch}.ckpt" for epoch in (2, 3, 4)]
    capsys.readouterr()
    resumed, again = fit(made, images(made), tmp_path / "resumed")
    assert same(straight, resumed)
    assert again == rows
    said = capsys.readouterr().err
    assert "damaged" not in said
    assert "resumed after epoch 4/6" in said


def test_a_finished_training_is_not_trained_on_and_its_soup_made_again(
    images: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for freeze in ({}, {"freeze": {"epochs": 1}}, {"freeze": {"epochs": "all"}}):
        made = recipe(epochs=3, **SOUP, **freeze)
        folder = tmp_path / str(freeze.get("freeze"))
        first, rows = fit(made, images(made), folder)
        told = capsys.readouterr().err.splitlines()[-1]
        again, same_rows = fit(made, images(made), folder)
        assert same(first, again)
        assert same_rows == rows
        assert capsys.readouterr().err.splitlines()[-1] == told
        assert len(list((folder / "features").glob("*.npy"))) == bool(freeze)


def test_a_lock_may_hold_anything(tmp_path: Path) -> None:
    (tmp_path / "run").mkdir()
    (tmp_path / "run/lock").write_bytes(b"\xff\xfe\0")
    with checkpoint_folder(tmp_path / "run"):
        assert (tmp_path / "run/lock").read_text() == str(os.getpid())
    assert not (tmp_path / "run").exists()


def test_a_full_disk_names_the_checkpoint_and_leaves_the_one_before(tmp_path: Path) -> None:
    path = tmp_path / "last.ckpt"
    path.write_bytes(b"before")
    # Every write fails there.
    (tmp_path / "last.ckpt.partial").symlink_to("/dev/full")
    with pytest.raises(OSError, match=r"\[Errno 28\] .*last.ckpt.partial"):
        AtomicCheckpoints().save_checkpoint({"state_dict": torch.zeros(10_000)}, path)
    assert [each.name for each in tmp_path.iterdir()] == ["last.ckpt"]
    assert path.read_bytes() == b"before"


def features(folder: Path) -> Path:
    (path,) = (folder / "features").glob("*.npy")
    return path


@pytest.mark.parametrize("suffix", ["", ".sha256"])
@pytest.mark.parametrize("damage", [cut, empty, Path.unlink])
def test_damaged_features_are_computed_anew(
    images: Any,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    suffix: str,
    damage: Callable[[Path], None],
) -> None:
    made = recipe(epochs=1, freeze={"epochs": "all"})
    data = images(made)
    first, _ = fit(made, data, tmp_path)
    path = features(tmp_path)
    whole = path.read_bytes()
    damage(path.with_name(path.name + suffix))
    for said in (1, 0):
        capsys.readouterr()
        shutil.rmtree(tmp_path / "kept")
        again, _ = fit(made, data, tmp_path)
        assert same(first, again)
        assert path.read_bytes() == whole
        gone = damage is Path.unlink and not suffix
        wanted = said and not gone
        assert capsys.readouterr().err.count(f"{path}: is damaged; computed") == wanted


def test_a_flipped_bit_of_features_is_seen(images: Any, tmp_path: Path) -> None:
    made = recipe(epochs=1, freeze={"epochs": "all"})
    fit(made, images(made), tmp_path)
    path = features(tmp_path)
    whole = path.read_bytes()
    for place in np.random.default_rng(0).integers(0, len(whole), 50):
        broken = bytearray(whole)
        broken[place] ^= 4
        path.write_bytes(broken)
        assert not _features_intact(path)
    path.write_bytes(whole)
    assert _features_intact(path)


def test_a_disk_without_space_for_features_is_an_error_with_a_name(
    images: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = []

    def full(_: int, start: int, size: int) -> None:
        asked.append((start, size))
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.posix_fallocate", full)
    made = recipe(epochs=1, freeze={"epochs": "all"})
    with pytest.raises(OSError, match=r"Errno 28.*-\w{8}.partial.npy"):
        fit(made, images(made), tmp_path)
    # A header, and 15 images of one view with 8 features in float16.
    assert asked == [(0, 128 + 15 * 8 * 2)]
    (lock,) = (tmp_path / "features").iterdir()
    assert re.fullmatch(r"lock-\d\d", lock.name)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["last.ckpt", "best-*.ckpt"])
def test_nothing_in_a_checkpoint_is_run(images: Any, tmp_path: Path, name: str) -> None:
    mark = tmp_path / "mark"
    made = recipe(epochs=2, keep="best", monitor="train_loss")
    straight, _ = fit(made, images(made), tmp_path / "straight")
    for number, content in enumerate(disguises(mark).values()):

        def plant(kept: Path, content: bytes = content) -> None:
            for path in kept.glob(name):
                path.write_bytes(content)

        again, _ = fit(made, images(made), tmp_path / str(number), until=1, meanwhile=plant)
        assert same(straight, again)
        assert not mark.exists()


def test_nothing_in_kept_features_is_run(images: Any, tmp_path: Path) -> None:
    mark = tmp_path / "mark"
    made = recipe(epochs=1, freeze={"epochs": "all"})
    straight, _ = fit(made, images(made), tmp_path)
    path = features(tmp_path)
    for content in disguises(mark).values():
        path.write_bytes(content)
        # Who plants a file can plant its sum.
        path.with_name(f"{path.name}.sha256").write_text(hashlib.sha256(content).hexdigest())
        shutil.rmtree(tmp_path / "kept")
        again, _ = fit(made, images(made), tmp_path)
        assert same(straight, again)
        assert not mark.exists()
