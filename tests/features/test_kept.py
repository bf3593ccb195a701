"""Features of frozen backbones are computed once, whoever asks for them."""

import multiprocessing
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from torch import nn

from foldwise.features.kept import (
    FeatureFolder,
    image_sets,
)
from foldwise.images.store import ImageStore
from tests.features.asking import IMAGES, MODEL, Asked, network


def test_one_pass_serves_training_and_prediction_of_all_folds(asked: Asked) -> None:
    folds = pd.DataFrame({"id": asked.ids[:10], "fold": [0, 1] * 4 + [-1] * 2})
    sets = image_sets(folds, asked.ids)
    assert sorted(id for ids in sets for id in ids) == sorted(asked.ids)
    asked.folder = FeatureFolder(asked.folder.path, sets)
    views = ("identity", "hflip")
    for fold in (0, 1):
        # Training asks for what it learns from and what it holds out, prediction for two parts.
        asked(folds["id"].tolist(), views)
        asked(folds.loc[folds["fold"] == fold, "id"].tolist(), views)
        asked(asked.ids[10:], views)
    assert asked.seen == IMAGES * 2
    assert len(asked.files) == len(sets) * 2
    assert asked.passes(views=("hflip", "rot90", "identity")) == IMAGES


def test_sets_are_what_all_ask_for_alike() -> None:
    folds = pd.DataFrame({"id": list("cadb"), "fold": [1, 0, -1, 1]})
    assert image_sets(folds, "abcdef") == (("a", "b", "c"), ("d",), ("e", "f"))
    assert image_sets(folds, "abcd") == (("a", "b", "c"), ("d",))


def test_images_of_several_sets_come_in_the_order_asked_for(asked: Asked) -> None:
    whole = asked().through(0, asked.ids)
    asked.folder = FeatureFolder(asked.folder.path, (tuple(asked.ids[:4]), tuple(asked.ids[4:9])))
    mixed = np.random.default_rng(0).permutation(IMAGES)
    ids = [asked.ids[each] for each in mixed]
    assert np.array_equal(asked(ids).through(0, ids), whole[mixed])
    assert asked.passes(ids[::-1]) == 0


def change_weight(asked: Asked) -> dict[str, Any]:
    with torch.no_grad():
        next(asked.network.backbone.parameters()).view(-1)[0] += 1e-3
    return {}


def change_input(asked: Asked) -> dict[str, Any]:
    return {"model": MODEL.model_copy(update={"normalize": "half"})}


def change_size(asked: Asked) -> dict[str, Any]:
    return {"model": MODEL.model_copy(update={"image_size": 20})}


def change_view(asked: Asked) -> dict[str, Any]:
    return {"views": ("hflip",)}


def change_precision(asked: Asked) -> dict[str, Any]:
    return {"precision": "bf16-mixed"}


def change_image(asked: Asked) -> dict[str, Any]:
    asked.store.table.loc[3, "sha256"] = "0" * 64
    return {}


def leave_out_one(asked: Asked) -> dict[str, Any]:
    return {"ids": asked.ids[1:]}


@pytest.mark.parametrize(
    "change",
    [
        change_weight,
        change_input,
        change_size,
        change_view,
        change_precision,
        change_image,
        leave_out_one,
    ],
)
def test_what_decides_features_is_in_their_name(
    asked: Asked, change: Callable[[Asked], dict[str, Any]]
) -> None:
    asked()
    (before,) = asked.files
    changed = change(asked)
    assert asked.passes(**changed) == len(changed.get("ids", asked.ids))
    assert len(asked.files) == 2
    assert before in asked.files


def test_what_does_not_decide_features_is_not_in_their_name(asked: Asked) -> None:
    asked()
    with torch.no_grad():
        asked.network.fc.weight += 1
    dropping = MODEL.model_copy(update={"lr": 0.5, "epochs": 3, "feature_norm": "unit"})
    assert asked.passes(asked.ids[::-1], model=dropping) == 0
    asked.network.use_channels_last()
    assert asked.passes(channels_last=False, batch_size=7, features_gb=1.0) == 0


def _ask(folder: Path, together: Any, passes: Any) -> None:
    with pytest.MonkeyPatch.context() as patch:
        asked = Asked.__new__(Asked)
        asked.store = ImageStore(folder / "store")
        asked.ids = asked.store.ids
        asked.network = network(0)
        asked.folder = FeatureFolder(folder / "features")
        asked.seen = 0
        patch.setattr("foldwise.features.extract.ready", asked.counted)
        together.wait()
        asked()
        passes.put(asked.seen)


def test_of_two_processes_one_computes(asked: Asked, tmp_path: Path) -> None:
    context = multiprocessing.get_context("fork")
    together, passes = context.Barrier(2), context.Queue()
    both = [context.Process(target=_ask, args=(tmp_path, together, passes)) for _ in "ab"]
    for each in both:
        each.start()
    found = [passes.get(timeout=60) for _ in both]
    for each in both:
        each.join()
        assert each.exitcode == 0
    assert sorted(found) == [0, IMAGES]
    assert asked.passes() == 0


def test_damaged_features_are_computed_anew_with_a_line(
    asked: Asked, capsys: pytest.CaptureFixture[str]
) -> None:
    wanted = asked(views=("identity", "hflip")).through(0, asked.ids)
    path = asked.files[0]
    whole = path.read_bytes()
    path.write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]))
    capsys.readouterr()
    assert asked.passes(views=("identity", "hflip")) == IMAGES
    assert capsys.readouterr().err.splitlines()[0] == f"{path}: is damaged; computed anew"
    assert path.read_bytes() == whole
    assert np.array_equal(asked().through(0, asked.ids), wanted)


def test_a_full_disk_or_a_kill_leaves_no_half_of_them(
    asked: Asked, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(nn.Module, "__call__", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            asked()
    assert all(re.fullmatch(r"lock-\d\d", each.name) for each in asked.folder.path.iterdir())
    assert asked.passes() == IMAGES
