"""Features of frozen backbones are computed once, whoever asks, and never beyond their limit."""

import multiprocessing
import os
import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from torch import nn

from foldwise.core.errors import UserError
from foldwise.features import kept
from foldwise.features.kept import (
    FeatureFolder,
    FrozenFeatures,
    frozen_features,
    image_sets,
    remove_oldest,
)
from foldwise.images.store import ImageStore
from foldwise.inference.runtime import Forward, ready
from foldwise.inference.view_logits import input_of
from foldwise.model.classifier import Classifier, Normalizer, build_network
from foldwise.model.dataset import ImageDataset
from foldwise.model.settings import Compute, Model
from foldwise.model.views import make_view
from tests.pictures import stored

COMPUTE = Compute(accelerator="cpu", precision="32-true", workers=0, batch_size=4)
MODEL = Model.model_validate(
    {
        "backbone": "foldwise/plain_cnn",
        "options": {"widths": [4, 8], "pools": [0]},
        "image_size": 16,
    }
)
IMAGES = 15


class Asked:
    """A folder of features, images and a network: asks, and counts what its backbone sees."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.store = stored(folder, [(20, 24)] * IMAGES)
        self.ids = self.store.ids
        self.network = network(0)
        self.folder = FeatureFolder(folder / "features")
        self.seen = 0
        monkeypatch.setattr("foldwise.features.extract.ready", self.counted)

    def counted(self, *arguments: Any, **options: Any) -> Forward:
        forward = ready(*arguments, **options)

        def counting(pixels: torch.Tensor) -> torch.Tensor:
            self.seen += len(pixels)
            return forward(pixels)

        return counting

    def images(self, ids: Sequence[str], model: Model = MODEL) -> ImageDataset:
        return ImageDataset(self.store, ids, np.empty((len(ids), 0)), model)

    def __call__(
        self,
        ids: Sequence[str] | None = None,
        views: Sequence[str] = ("identity",),
        model: Model = MODEL,
        **compute: Any,
    ) -> FrozenFeatures:
        images = self.images(self.ids if ids is None else ids, model)
        compute_ = COMPUTE.model_copy(update=compute)
        return frozen_features(self.folder, self.network, images, views, compute_)

    def passes(self, *arguments: Any, **options: Any) -> int:
        """How many images and views go through the backbone for it."""
        before = self.seen
        self(*arguments, **options)
        return self.seen - before

    @property
    def files(self) -> list[Path]:
        return sorted(self.folder.path.glob("*.npy"))

    def by_network(self, view: str, crop: int | None = None, model: Model = MODEL) -> np.ndarray:
        """The features of all images, by the network as it is."""
        images = self.images(self.ids, model)
        pixels = torch.stack([images.input(0, each) for each in range(len(images))])
        if crop is not None:
            pixels = pixels[:, crop]
        with torch.inference_mode():
            seen = make_view(view)(Normalizer(*MODEL.mean_and_std())(pixels))
            return self.network.eval().features(seen).numpy()


def network(seed: int) -> Classifier:
    torch.manual_seed(seed)
    return build_network(MODEL, 3).eval()


@pytest.fixture
def asked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Asked:
    return Asked(tmp_path, monkeypatch)


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


@pytest.mark.parametrize("engine", ["torch", "onnx"])
def test_features_are_the_networks_own(asked: Asked, engine: str) -> None:
    views = ("identity", "rot90", "shift(2, -1)")
    some = [asked.ids[each] for each in (7, 3, 11)]
    found = asked(asked.ids, views, engine=engine)
    for number, view in enumerate(views):
        wanted = asked.by_network(view)
        close = {"rtol": 1e-3, "atol": 1e-3 * np.abs(wanted).max()}
        assert np.allclose(found.through(number, asked.ids), wanted, **close)
        assert np.allclose(found.through(number, some), wanted[[7, 3, 11]], **close)
        assert found.through(number, some).dtype == np.float32
        assert np.array_equal(found.of(some[0], number), found.through(number, some)[0])
    assert {np.load(each).dtype for each in asked.files} == {np.dtype(np.float16)}


def test_images_of_several_sets_come_in_the_order_asked_for(asked: Asked) -> None:
    whole = asked().through(0, asked.ids)
    asked.folder = FeatureFolder(asked.folder.path, (tuple(asked.ids[:4]), tuple(asked.ids[4:9])))
    mixed = np.random.default_rng(0).permutation(IMAGES)
    ids = [asked.ids[each] for each in mixed]
    assert np.array_equal(asked(ids).through(0, ids), whole[mixed])
    assert asked.passes(ids[::-1]) == 0


class Scaled(nn.Module):
    def __init__(self, inner: nn.Module, factor: float) -> None:
        super().__init__()
        self.inner = inner
        self.factor = nn.Parameter(torch.tensor(factor))

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        features: torch.Tensor = self.inner(images) * self.factor
        return features


def test_what_float16_cannot_hold_is_float32(asked: Asked) -> None:
    asked.network.backbone = Scaled(asked.network.backbone, 1.0)
    factor = 70_000 / np.abs(asked.by_network("hflip")).max()
    asked.network.backbone.factor.data.fill_(float(factor))
    found = asked(views=("identity", "hflip"))
    for number, view in enumerate(("identity", "hflip")):
        assert np.allclose(found.through(number, asked.ids), asked.by_network(view), rtol=1e-5)
    assert {np.load(each).dtype for each in asked.files} == {np.dtype(np.float32)}
    assert np.abs(found.through(1, asked.ids)).max() > np.finfo(np.float16).max


@pytest.mark.parametrize("factor", [np.inf, np.nan])
def test_features_that_are_no_numbers_are_refused(asked: Asked, factor: float) -> None:
    asked.network.backbone = Scaled(asked.network.backbone, factor)
    with pytest.raises(UserError, match=r"no finite numbers: .*precision: 32-true"):
        asked()
    assert not asked.files


def test_who_takes_features_computes_in_its_own_precision(asked: Asked, tmp_path: Path) -> None:
    taken = []

    def taking(_: Any, __: int, batches: Any, ___: Any) -> None:
        for _ in batches:
            taken.append((torch.is_autocast_enabled("cpu"), torch.is_inference_mode_enabled()))

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("foldwise.features.extract._write_batches", taking)
        images, compute = asked.images(asked.ids), COMPUTE.model_copy(update={"workers": 0})
        compute = compute.model_copy(update={"precision": "bf16-mixed"})
        write = kept.write_features
        write({"identity": tmp_path / "x.npy"}, asked.network, images, compute)
    assert taken == [(False, False)] * 4


def test_features_are_computed_without_gradients(
    asked: Asked, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = []
    features = Classifier.features

    def noted(network: Classifier, pixels: torch.Tensor) -> torch.Tensor:
        found.append(torch.is_inference_mode_enabled())
        return features(network, pixels)

    asked.folder = FeatureFolder(asked.folder.path)
    monkeypatch.setattr(Classifier, "features", noted)
    asked()
    # The last four are the batches.
    assert found[-4:] == [True] * 4


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
    sums = asked.store.sha256()
    sums[asked.ids[3]] = "0" * 64
    asked.store.sha256 = lambda: sums  # type: ignore[method-assign]
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


def test_corners_are_seen_by_those_views_alone(asked: Asked) -> None:
    whole = MODEL.model_copy(update={"shortest_edge": 20})
    names = ("identity", "top_left", "hflip * bottom_right")
    cut = input_of(whole, [make_view(each) for each in names])
    for views in (names, names[1:]):
        found = asked(views=views, model=cut)
        for number, view in enumerate(views):
            crop = {"identity": 4, "top_left": 0, "hflip * bottom_right": 3}[view]
            plain = "hflip" if "hflip" in view else "identity"
            wanted = asked.by_network(plain, crop, cut)
            seen = found.through(number, asked.ids)
            assert seen.shape == wanted.shape
            assert np.allclose(seen, wanted, rtol=2e-3, atol=1e-3)
    assert asked.passes(views=names, model=cut) == 0


def test_a_centre_that_is_computed_anew_beside_its_corners_is_one(asked: Asked) -> None:
    whole = MODEL.model_copy(update={"shortest_edge": 20})
    names = ("identity", "top_left")
    cut = input_of(whole, [make_view(each) for each in names])
    before = asked(views=names, model=cut).through(0, asked.ids)
    for path in asked.files:
        path.unlink()
        again = asked(views=names, model=cut).through(0, asked.ids)
        assert again.shape == before.shape
        assert np.array_equal(again, before)


def test_a_network_of_five_crops_shares_nothing_with_views_of_corners(asked: Asked) -> None:
    whole = MODEL.model_copy(update={"shortest_edge": 20})
    five = whole.model_copy(update={"views": "five_crop"})
    joint = asked(model=five).through(0, asked.ids)
    assert joint.shape == (IMAGES, 5, 8)
    names = ("identity", "top_left")
    cut = input_of(whole, [make_view(each) for each in names])
    assert cut == five
    single = asked(views=names, model=cut)
    assert single.through(0, asked.ids).shape == (IMAGES, 8)
    assert np.allclose(single.through(0, asked.ids), joint[:, 4], atol=1e-3)
    assert np.allclose(single.through(1, asked.ids), joint[:, 0], atol=1e-3)


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


def write_kept(path: Path, size: int, used: int) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(bytes(size))
    path.with_name(f"{path.name}.sha256").write_text("sum")
    os.utime(path, (used, used))
    return path


def test_the_longest_unused_go_until_the_rest_fits(tmp_path: Path) -> None:
    made = [write_kept(tmp_path / f"{each:016x}-0.npy", 100, 10 - each) for each in range(5)]
    remove_oldest(tmp_path, 500)
    assert all(each.exists() for each in made)
    remove_oldest(tmp_path, 250)
    assert [each.exists() for each in made] == [True, True, False, False, False]
    assert len(list(tmp_path.glob("*.sha256"))) == 2
    # What is used stays, whatever it takes; the rest goes as far as is needed.
    remove_oldest(tmp_path, 50, used=[made[1]])
    assert [each.exists() for each in made] == [False, True, False, False, False]


def test_folders_of_earlier_versions_count_and_go(tmp_path: Path) -> None:
    old = write_kept(tmp_path / "0123456789abcdef" / "features.npy", 100, 1)
    new = write_kept(tmp_path / f"{1:016x}-0.npy", 100, 2)
    remove_oldest(tmp_path, 150)
    assert not old.parent.exists()
    assert new.exists()


def test_what_another_process_computes_or_opens_stays(tmp_path: Path) -> None:
    mine = write_kept(tmp_path / f"{1:016x}-0.npy", 100, 1)
    half = write_kept(tmp_path / f"{1:016x}-1.partial.npy", 100, 1)
    other = write_kept(tmp_path / f"{2:016x}-0.npy", 100, 2)
    with kept._locked(tmp_path, f"{1:016x}"):
        remove_oldest(tmp_path, 0)
        assert mine.exists()
        assert half.exists()
        assert not other.exists()
    remove_oldest(tmp_path, 0)
    assert not mine.exists()
    assert not half.exists()


def test_features_never_take_more_than_their_limit(asked: Asked) -> None:
    asked()
    (path,) = asked.files
    one = path.stat().st_size
    for views, wanted in ((1, 1), (2, 2), (3, 3), (1, 3), (2, 3)):
        names = ("identity", "hflip", "vflip")[:views]
        asked(views=names, features_gb=3.5 * one / 1e9)
        assert len(asked.files) == wanted
    os.utime(path)  # `identity` was used last
    rotated = ("rot90", "rot180", "rot270", "transpose")
    found = asked(views=rotated, features_gb=2.5 * one / 1e9)
    # Those of this call stay, beyond the limit; nothing else does.
    assert len(asked.files) == 4
    assert path not in asked.files
    asked(views=("rot90",), features_gb=2.5 * one / 1e9)
    assert len(asked.files) == 2
    # Who has opened them reads on.
    assert np.allclose(found.through(1, asked.ids), asked.by_network("rot180"), atol=1e-2)


def test_use_is_what_counts_not_age(asked: Asked) -> None:
    for view in ("identity", "hflip", "vflip"):
        asked(views=(view,))
    (path, *_) = asked.files
    one = path.stat().st_size
    for number, each in enumerate(asked.files):
        os.utime(each, (number, number))
    asked(views=("identity",))
    asked(views=("rot90",), features_gb=2.5 * one / 1e9)
    assert asked.passes(views=("identity",)) == 0
    assert asked.passes(views=("hflip", "vflip")) == IMAGES * 2
