"""What a recipe can say of training, each seen in what it does."""

import shutil
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from foldwise.core.errors import UserError
from foldwise.model.classifier import Classifier, build_network
from foldwise.model.dataset import ImageDataset
from foldwise.model.saved import copy_weights, load_member, save_member
from foldwise.model.settings import Compute
from foldwise.training.curves import METRICS, Curves
from foldwise.training.fit import fit_member
from foldwise.training.settings import Recipe
from tests.fitting import COMPUTE, fit, recipe, same, training_run


@pytest.mark.parametrize(
    "train",
    [
        {"averaging": {"method": "ema", "decay": 0.9}, "scheduler": "cosine"},
        {"averaging": {"method": "swa", "start": 0.3}},
        {"scheduler": "plateau", "scheduler_options": {"patience": 1, "warmup": 0.2}},
        {"optimizer": "lookahead_adam", "accumulate": 2, "gradient_clip": 0.1},
        {"mixup": 0.4, "cutmix": 1.0, "loss": "bce", "scheduler": "onecycle"},
        {"freeze": {"epochs": 2, "views": ["identity", "hflip"]}, "head_lr_scale": 5.0},
        {"loss": "cross_entropy", "loss_options": {"label_smoothing": 0.1}},
        {
            "resize": {16: 2, 24: 2},
            "averaging": {"method": "soup", "epochs": 2},
            "sampler": "balanced",
            "layer_decay": 0.5,
            "model": {"image_size": 24},
        },
    ],
    ids=lambda train: "-".join(train),
)
def test_an_interrupted_training_ends_with_the_same_bytes(
    train: dict[str, Any], images: Any, tmp_path: Path
) -> None:
    model = {"dropout": 0.2} | train.pop("model", {})
    made = recipe(epochs=4, model=model, **train)
    straight, rows = fit(made, images(made), tmp_path / "straight")
    resumed, again = fit(made, images(made), tmp_path / "resumed", until=3)
    assert same(straight, resumed)
    assert again == rows
    assert all(set(METRICS) <= set(row) for row in rows)


@pytest.mark.parametrize(
    "model",
    [
        {"head": "query", "query": {"embedding": 16}, "dropout": 0.2},
        {"head": "places", "dropout": 0.2},
        {
            "backbone": "foldwise/bottleneck_resnet",
            "options": {"widths": [4], "depths": [2]},
            "pooling": "gem",
            "drop_path": 0.5,
        },
    ],
    ids=["query", "places", "gem"],
)
def test_heads_and_pooling_that_learn_end_with_the_same_bytes_too(
    model: dict[str, Any], images: Any, tmp_path: Path
) -> None:
    average = {"method": "ema", "decay": 0.9}
    made = recipe(epochs=3, model=model, averaging=average, head_lr_scale=5.0, optimizer="adamw")
    straight, rows = fit(made, images(made), tmp_path / "straight")
    resumed, again = fit(made, images(made), tmp_path / "resumed", until=2)
    assert same(straight, resumed)
    assert again == rows
    torch.manual_seed(1)
    start = build_network(made.model, 3).state_dict()
    learned = {n for n, each in straight.state_dict().items() if not torch.equal(each, start[n])}
    assert set(start) - learned <= {"fc.decoder.query_embed.weight"}
    # What is saved is what starts a training again.
    folder = tmp_path / "saved"
    folder.mkdir()
    save_member(folder, straight, made.model, ["a", "b", "c"], False, {"unseen": "digest"})
    assert same(straight, load_member(folder).network)
    copy_weights(again_built := build_network(made.model, 3), folder)
    assert same(straight, again_built)


def test_a_frozen_backbone_stays_and_its_features_are_computed_once(
    images: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = recipe(epochs=3, freeze={"epochs": "all", "views": ["identity", "rot90"]})
    data = images(made)
    passes: list[int] = []
    forward = Classifier.features

    def counted(self: Classifier, pixels: torch.Tensor) -> torch.Tensor:
        passes.append(len(pixels))
        return forward(self, pixels)

    monkeypatch.setattr(Classifier, "features", counted)
    # Only passes over images count, not the step on trial.
    monkeypatch.setattr("foldwise.training.fit.try_step", lambda *_: None)
    torch.manual_seed(0)
    network, rows = fit(made, data, tmp_path)
    # Single images are what the engine is chosen and checked by.
    assert sum(each for each in passes if each > 1) == 2 * 15
    features = [np.load(path) for path in sorted((tmp_path / "features").glob("*.npy"))]
    assert [each.shape for each in features] == [(15, 8), (15, 8)]
    assert {each.dtype for each in features} == {np.dtype(np.float16)}
    ids = sorted([*data[0].ids, *data[1].ids])
    pixels = {id: each[index][0] for each in data for index, id in enumerate(each.ids)}
    first = torch.stack([pixels[id] for id in ids]).float()
    with torch.inference_mode():
        for seen in (first, first.rot90(1, (-2, -1))):
            wanted = network.eval().features((seen / 255 - 0.449) / 0.226)
            assert sum(np.allclose(each, wanted, atol=1e-2) for each in features) == 1
    assert rows[0]["train_loss"] != rows[-1]["train_loss"]
    # Another fold finds them there.
    passes.clear()
    shutil.rmtree(tmp_path / "kept")
    other = (data[0].only(range(5), augmented=False), data[1])
    everything = (
        ImageDataset(data[0].store, [*data[1].ids, *data[0].ids[:5]], np.ones((10, 3)), made.model),
        data[0].only(range(5, 10), augmented=False),
    )
    fit(made, everything, tmp_path)
    assert sum(passes) == 0
    fit(recipe(epochs=1, freeze={"epochs": "all"}), other, tmp_path / "other")
    assert sum(each for each in passes if each > 1) == 10


def test_the_backbone_learns_once_it_is_free(images: Any, tmp_path: Path) -> None:
    found = {}
    for epochs in (2, 1, 0):
        train = {"freeze": {"epochs": epochs}} if epochs else {}
        made = recipe(epochs=2, **train)
        found[epochs], _ = fit(made, images(made), tmp_path / str(epochs))
    start = build(recipe())
    assert same(start.backbone, found[2].backbone)
    assert not torch.equal(start.fc.weight, found[2].fc.weight)
    assert not same(start.backbone, found[1].backbone)
    assert not same(found[0].backbone, found[1].backbone)


def test_a_last_batch_of_one_image_is_learned_too(images: Any, tmp_path: Path) -> None:
    for train in ({"batch_size": 9}, {"batch_size": 9, "freeze": {"epochs": "all"}}):
        made = recipe(model={"feature_norm": "unit"}, **train)
        _, rows = fit(made, images(made), tmp_path / str(len(train)))
        assert all(np.isfinite(row["train_loss"]) for row in rows)


def test_held_out_images_must_suit_the_loss(images: Any, tmp_path: Path) -> None:
    made = recipe(loss="cross_entropy")
    train, valid = images(made)
    valid.labels[0] = 0
    with pytest.raises(UserError, match="one class each"):
        fit(made, (train, valid), tmp_path)


@pytest.mark.parametrize(
    ("compute", "said"),
    [
        ({"accelerator": "gpu"}, "compute"),
        ({"strategy": "ddpp"}, "params.yaml: compute: .*ddpp"),
    ],
)
def test_what_cannot_run_here_is_one_line(
    compute: dict[str, Any],
    said: str,
    images: Any,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # As on a machine without a GPU, wherever this runs.
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    monkeypatch.setattr("torch.backends.mps.is_available", lambda: False)
    made = recipe(epochs=1)
    there = Compute.model_validate(COMPUTE.model_dump() | compute)
    curves = Curves(tmp_path / "curves", "m", made)
    train, valid = images(made)
    with pytest.raises(UserError, match=said) as error:
        fit_member(made, train, valid, training_run(tmp_path, curves, there))
    assert "\n" not in str(error.value)


def test_devices_may_be_chosen_by_lightning(images: Any, tmp_path: Path) -> None:
    made = recipe(epochs=1)
    there = COMPUTE.model_copy(update={"devices": "auto"})
    curves = Curves(tmp_path / "curves", "m", made)
    train, valid = images(made)
    fit_member(made, train, valid, training_run(tmp_path, curves, there))
    assert curves.epochs == 1


def build(made: Recipe) -> Classifier:
    """The network as `fit` starts with it."""
    torch.manual_seed(1)
    return build_network(made.model, 3)


def test_warm_weights_are_where_training_starts(images: Any, tmp_path: Path) -> None:
    first = recipe()
    network, _ = fit(first, images(first), tmp_path / "first")
    start = tmp_path / "start"
    start.mkdir()
    save_member(start, network, first.model, ["a", "b", "c"], False, {"unseen": "digest"})
    idle = recipe(epochs=1).model_copy(update={"lr": 1e-12})
    curves = Curves(tmp_path / "curves", "m", idle)
    train, valid = images(idle)
    again, _ = fit_member(idle, train, valid, training_run(tmp_path, curves, start=start))
    assert torch.allclose(again.fc.weight, network.fc.weight, atol=1e-6)
    wide = recipe(model={"options": {"widths": [4, 16], "pools": [0]}})
    with pytest.raises(UserError, match=r"does not fit this network: .* warm-start from the same"):
        fit_member(wide, train, valid, training_run(tmp_path, curves, start=start))


@pytest.mark.parametrize(
    ("train", "said"),
    [
        ({"scheduler": "cosine", "scheduler_options": {"milestones": [2]}}, "belongs to scheduler"),
        ({"scheduler": "steps"}, "milestones: is missing"),
        (
            {"scheduler": "cosine", "scheduler_options": {"t_max": 1, "warmup": 0.5}},
            "end before the warm-up",
        ),
        ({"freeze": {"epochs": "all"}, "mixup": 0.2}, "neither augmented nor mixed"),
        ({"freeze": {"epochs": "all"}, "layer_decay": 0.5}, "drop layer_decay and resize"),
        ({"freeze": {"epochs": "all"}, "resize": {16: 2}}, "drop layer_decay and resize"),
        ({"averaging": {"method": "swa", "epochs": 3}}, "averaging.epochs: belongs to method soup"),
        ({"averaging": {"method": "soup"}, "keep": "best"}, "keep: `best` keeps one epoch"),
        ({"averaging": {"method": "soup"}, "monitor": "train_loss"}, "judged by held-out images"),
        ({"resize": {16: 1}}, "resize: has 1 epochs in all, where `epochs` is 2"),
        ({"resize": {16: 1, 17: 1}}, r"17 pixels are more than image_size \(16\)"),
        ({"resize": {15: 2}}, "greater than or equal to 16"),
        ({"resize": {}}, "at least 1"),
        ({"layer_decay": 1.0}, "less than 1"),
        ({"freeze": {"epochs": 2, "views": []}}, "at least one view"),
        ({"freeze": {"epochs": 2}, "model": {"head": "query"}}, "freeze: .*takes maps"),
        ({"freeze": {"epochs": "all"}, "model": {"head": "query"}}, "freeze: .*takes maps"),
        ({"freeze": {"epochs": 2, "views": ["scale(0)"]}}, "there is no view"),
    ],
)
def test_settings_that_contradict_each_other_are_refused(train: dict[str, Any], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        recipe(**train)
    with pytest.raises(ValueError, match="take one view of an image"):
        recipe(model={"views": "five_crop", "shortest_edge": 20}, mixup=0.1)


def test_images_grow_and_are_judged_at_full_size(
    images: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[tuple[bool, int]] = []
    forward = Classifier.features

    def noted(self: Classifier, pixels: torch.Tensor) -> torch.Tensor:
        seen.append((self.training, pixels.shape[-1]))
        return forward(self, pixels)

    monkeypatch.setattr("foldwise.training.fit.try_step", lambda *_: None)
    made = recipe(epochs=4, model={"image_size": 24}, resize={20: 1, 16: 2, 24: 1}, batch_size=10)
    data = images(made)
    monkeypatch.setattr(Classifier, "features", noted)
    fit(made, data, tmp_path)
    assert [side for training, side in seen if training] == [16, 16, 20, 24]
    assert {side for training, side in seen if not training} == {24}
    assert data[0].sizes == ()


def test_a_repository_without_a_commit_is_one_line(
    images: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    subprocess.run(["git", "init", "-q", str(tmp_path)], check=True)
    monkeypatch.chdir(tmp_path)
    made = recipe(epochs=1)
    with pytest.raises(UserError, match=r"git: .* make a first commit"):
        fit(made, images(made), tmp_path)
