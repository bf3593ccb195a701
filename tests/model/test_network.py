"""Backbones, losses, and images as the network gets them."""

import json
from pathlib import Path
from typing import Any, get_args

import cv2
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from timm.layers import SelectAdaptivePool2d
from timm.optim import create_optimizer_v2

from foldwise.core.errors import UserError
from foldwise.images.store import ImageStore
from foldwise.model.bottleneck_resnet import BottleneckResnet
from foldwise.model.classifier import Normalizer, build_network
from foldwise.model.dataset import ImageDataset
from foldwise.model.loader import Batches, make_loader
from foldwise.model.pooling import GlobalPool
from foldwise.model.saved import load_member, save_member
from foldwise.model.settings import Model, Pooling
from foldwise.training.augment import make_augment
from foldwise.training.losses import Loss
from foldwise.training.optimizer import TORCHS, make_optimizer, make_schedules
from foldwise.training.settings import LossName, LossOptions, Recipe, Train
from tests.pictures import stored


def model(**settings: Any) -> Model:
    return Model.model_validate({"backbone": "foldwise/plain_cnn", "image_size": 32} | settings)


def recipe(**train: Any) -> Recipe:
    return Recipe(
        member="m",
        model=model(channels=1, options={"widths": [4, 8], "pools": [0]}),
        lr=0.1,
        epochs=2,
        seed=3,
        train=Train(**train),
    )


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize(
    ("backbone", "head"),
    [
        ("foldwise/plain_cnn", "replace"),
        ("foldwise/bottleneck_resnet", "replace"),
        ("torchvision/resnet18", "replace"),
        ("torchvision/resnet18", "append"),
        ("torchvision/squeezenet1_0", "replace"),
        ("torchvision/mobilenet_v3_small", "append"),
        ("timm/test_resnet.r160_in1k", "replace"),
        ("timm/test_resnet.r160_in1k", "append"),
        ("efficientnet_pytorch/efficientnet-b0", "append"),
        ("efficientnet_pytorch/efficientnet-b0", "replace"),
    ],
)
def test_every_library_gives_logits(backbone: str, head: str, channels: int) -> None:
    network = build_network(model(backbone=backbone, head=head, channels=channels), 7).eval()
    with torch.inference_mode():
        assert network(torch.zeros(2, channels, 64, 64)).shape == (2, 7)
    appended = [each for each in network.modules() if isinstance(each, torch.nn.Linear)]
    if head == "append":
        assert (appended[-1].in_features, appended[-1].out_features) == (1000, 7)


@pytest.mark.parametrize(
    ("backbone", "head", "classes", "parameters"),
    [
        # Both of DACON's dirty-MNIST systems, the PASCAL VOC system, and the course project.
        ("torchvision/resnet50", "append", 26, 25_583_058),
        ("efficientnet_pytorch/efficientnet-b5", "append", 26, 30_415_810),
        ("torchvision/resnet50", "replace", 20, 23_549_012),
        ("foldwise/bottleneck_resnet", "replace", 80, 15_699_088),
    ],
)
def test_published_networks_have_their_number_of_parameters(
    backbone: str, head: str, classes: int, parameters: int
) -> None:
    with torch.device("meta"):
        network = build_network(model(backbone=backbone, head=head), classes)
    assert sum(each.numel() for each in network.parameters()) == parameters


def test_a_bottleneck_resnet_of_other_widths_and_depths() -> None:
    options = {"widths": [8, 16], "depths": [1, 2]}
    made = model(backbone="foldwise/bottleneck_resnet", options=options)
    network = build_network(made, 5).eval()
    backbone = network.backbone
    assert isinstance(backbone, BottleneckResnet)
    assert [type(each).__name__ for each in backbone.blocks] == ["Bottleneck"] * 3
    with torch.inference_mode():
        features = backbone.blocks(backbone.stem(torch.zeros(1, 3, 64, 64)))
        assert features.shape == (1, 32, 8, 8)
    uneven = model(backbone="foldwise/bottleneck_resnet", options={"widths": [8], "depths": [1, 2]})
    with pytest.raises(UserError, match="one number per stage"):
        build_network(uneven, 5)


def test_no_activation_is_left_behind_squeezenets_last_layer() -> None:
    torch.manual_seed(0)
    network = build_network(model(backbone="torchvision/squeezenet1_0"), 7).eval()
    with torch.inference_mode():
        logits = network(torch.randn(8, 3, 64, 64))
    assert logits.min() < 0 < logits.max()


@pytest.mark.parametrize(
    ("settings_", "said"),
    [
        ({"backbone": "foldwise/resnet"}, "plain_cnn"),
        ({"backbone": "torchvision/resnet5000"}, "no such classification network"),
        ({"backbone": "torchvision/raft_small"}, "no such classification network"),
        ({"backbone": "timm/no_such_net"}, "timm has no such network"),
        ({"backbone": "efficientnet_pytorch/efficientnet-b99"}, "efficientnet"),
        ({"backbone": "foldwise/plain_cnn", "pretrained": True}, "pretrained: false"),
        ({"backbone": "foldwise/plain_cnn", "options": {"depth": 3}}, "depth"),
    ],
)
def test_a_network_that_does_not_exist_is_refused(settings_: dict[str, Any], said: str) -> None:
    with pytest.raises(UserError, match=said):
        build_network(model(**settings_), 7)


@pytest.mark.parametrize(
    "backbone", ["torchvision/resnet18", "efficientnet_pytorch/efficientnet-b0"]
)
def test_grey_input_sums_the_first_convolution(backbone: str) -> None:
    torch.manual_seed(0)
    colour = build_network(model(backbone=backbone), 7).eval()
    torch.manual_seed(0)
    grey = build_network(model(backbone=backbone, channels=1), 7).eval()
    images = torch.randn(2, 1, 32, 32)
    with torch.inference_mode():
        assert torch.allclose(grey(images), colour(images.expand(2, 3, 32, 32)), atol=1e-4)


def loss(name: LossName, labels: torch.Tensor | None = None, **options: Any) -> Loss:
    given = torch.zeros(1, 4) if labels is None else labels
    return Loss(name, LossOptions.model_validate(options), given)


@pytest.fixture
def batch() -> tuple[torch.Tensor, torch.Tensor]:
    """Logits, and targets of 0 and 1."""
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn(6, 4, generator=generator, requires_grad=True)
    return logits, torch.randint(0, 2, (6, 4), generator=generator).float()


def test_losses_are_what_their_names_say(batch: tuple[torch.Tensor, torch.Tensor]) -> None:
    """Against torch's own, and the formulas of the papers."""
    logits, targets = batch
    assert torch.allclose(
        loss("multilabel_soft_margin")(logits, targets),
        torch.nn.MultiLabelSoftMarginLoss()(logits, targets),
    )
    weight = torch.tensor([1.0, 2.0, 3.0, 4.0])
    assert torch.allclose(
        loss("bce", pos_weight=[1.0, 2.0, 3.0, 4.0])(logits, targets),
        torch.nn.BCEWithLogitsLoss(pos_weight=weight)(logits, targets),
    )
    p = logits.sigmoid()
    plain = torch.where(targets == 1, -p.log(), -(1 - p).log())
    of_truth = torch.where(targets == 1, p, 1 - p)
    share = torch.where(targets == 1, 0.25, 0.75)
    for alpha, by in ((0.25, share), (None, torch.ones(()))):
        assert torch.allclose(
            loss("focal", gamma=1.5, alpha=alpha)(logits, targets),
            (by * (1 - of_truth) ** 1.5 * plain).mean(),
        )
    shifted = (p - 0.1).clamp(min=0)
    wanted = torch.where(
        targets == 1, -((1 - p) ** 2) * p.log(), -(shifted**3) * (1 - shifted).log()
    )
    given = loss("asymmetric", gamma_negative=3.0, gamma_positive=2.0, clip=0.1)
    assert torch.allclose(given(logits, targets), wanted.sum() / 6, atol=1e-5)


@pytest.mark.parametrize("name", [each for each in get_args(LossName) if each != "cross_entropy"])
def test_ignored_targets_take_no_part(
    batch: tuple[torch.Tensor, torch.Tensor], name: LossName
) -> None:
    logits, targets = batch
    targets[0, 1] = -1
    loss(name)(logits, targets).backward()
    assert logits.grad is not None
    assert logits.grad[0, 1] == 0
    assert (logits.grad != 0).sum() > 12
    assert loss(name)(logits, torch.full((6, 4), -1.0)) == 0
    halves = torch.where(targets == 1, 0.9, torch.where(targets == 0, 0.1, -1.0))
    smoothed = loss(name, label_smoothing=0.2)(logits, targets)
    assert torch.allclose(smoothed, loss(name)(logits, halves))


def test_cross_entropy_is_torchs_and_for_single_labels(
    batch: tuple[torch.Tensor, torch.Tensor],
) -> None:
    logits, _ = batch
    classes = torch.tensor([0, 1, 2, 3, 0, 1])
    targets = torch.nn.functional.one_hot(classes, 4).float()
    for smoothing in (0.0, 0.3):
        torchs = torch.nn.CrossEntropyLoss(label_smoothing=smoothing)
        made = loss("cross_entropy", targets, label_smoothing=smoothing)
        assert torch.allclose(made(logits, targets), torchs(logits, classes))
        assert torch.allclose(
            made(logits, targets * 0.7 + 0.075), torchs(logits, targets * 0.7 + 0.075)
        )
        unknown = torch.cat([targets[:5], torch.full((1, 4), -1.0)])
        assert torch.allclose(made(logits, unknown), torchs(logits[:5], classes[:5]))
    with pytest.raises(UserError, match="one class each"):
        loss("cross_entropy", torch.tensor([[1, 1, 0], [0, 1, 0]]))


def test_a_class_that_is_often_ignored_counts_as_much(
    batch: tuple[torch.Tensor, torch.Tensor],
) -> None:
    logits, targets = batch
    targets[1:, 0] = -1
    targets[:, 1] = -1
    each = torch.nn.BCEWithLogitsLoss(reduction="none")(logits, targets)
    wanted = (each[0, 0] + each[:, 2].mean() + each[:, 3].mean()) / 3
    assert torch.allclose(loss("bce")(logits, targets), wanted)


def test_positive_weights_come_from_prevalence_or_are_given() -> None:
    labels = torch.tensor([[1, 0, 0], [1, 1, 0], [0, -1, 0], [1, 0, 0]]).float()
    made = loss("bce", labels, pos_weight="prevalence")
    assert made.pos_weight is not None
    assert made.pos_weight.tolist() == pytest.approx([1 / 3, 2, 4])
    with pytest.raises(UserError, match="pos_weight: has 2 values for 3 classes"):
        loss("bce", labels, pos_weight=[1.0, 2.0])


def test_options_of_another_loss_are_refused() -> None:
    with pytest.raises(ValueError, match=r"gamma: belongs to loss focal, not to bce"):
        Train.model_validate({"loss": "bce", "loss_options": {"gamma": 3.0}})


@pytest.mark.parametrize("name", ["sgd", "momentum", "radam", "lookahead_adam", "lamb"])
def test_optimizers_are_timms(name: str) -> None:
    made = recipe(optimizer=name, momentum=0.7, weight_decay=0.2)
    network = build_network(made.model, 3)
    optimizer = make_optimizer(network, made)
    before = network.fc.weight.detach().clone()
    network(torch.ones(2, 1, 16, 16)).sum().backward()
    optimizer.step()
    assert not torch.equal(before, network.fc.weight)
    group = optimizer.param_groups[0]
    assert (group["lr"], group["weight_decay"]) == (0.1, 0.2)
    assert group.get("momentum", 0.7) == 0.7
    with pytest.raises(UserError, match=r"train\.optimizer: timm has no 'adamm'; .*adam"):
        make_optimizer(network, recipe(optimizer="adamm"))
    with pytest.raises(UserError, match=r"train\.optimizer: sgd: "):
        make_optimizer(network, recipe(optimizer="sgd", momentum=0.0))
    plain = make_optimizer(network, recipe(optimizer="adagrad"))
    for steps in (5, 10):
        share = {"warmup": 0.2}
        made = recipe(optimizer="adagrad", scheduler="onecycle", scheduler_options=share)
        assert make_schedules(plain, made, steps)


@pytest.mark.parametrize("name", TORCHS)
def test_what_is_made_without_timm_is_what_timm_makes(name: str) -> None:
    made = recipe(optimizer=name, momentum=0.7, weight_decay=0.2)
    network = build_network(made.model, 3)
    ours = make_optimizer(network, made)
    theirs = create_optimizer_v2(
        network, name, lr=0.1, weight_decay=0.2, momentum=0.7, filter_bias_and_bn=False
    )
    assert type(ours) is type(theirs)
    own, other = ours.param_groups[0], theirs.param_groups[-1]
    assert {**own, "params": []} == {**other, "params": []}
    assert {id(each) for each in own["params"]} == {
        id(each) for group in theirs.param_groups for each in group["params"]
    }


@pytest.mark.parametrize("kind", ["avg", "max", "both"])
@pytest.mark.parametrize("flatten", [True, False])
def test_pooling_is_timms(kind: Pooling, flatten: bool) -> None:
    features = torch.randn(2, 3, 4, 5, requires_grad=True)
    names = {"avg": "fastavg", "max": "fastmax", "both": "fastcatavgmax"}
    theirs = SelectAdaptivePool2d(pool_type=names[kind], flatten=flatten)(features)
    ours = GlobalPool(kind, flatten)(features)
    assert torch.equal(ours, theirs)
    gradients = [torch.autograd.grad(each.pow(2).sum(), features)[0] for each in (ours, theirs)]
    assert torch.equal(*gradients)


def rates(scheduler: str, steps: int, epochs: int, **options: Any) -> list[float]:
    """The rate of every step."""
    made = recipe(scheduler=scheduler, scheduler_options=options).model_copy(
        update={"epochs": epochs}
    )
    optimizer = make_optimizer(build_network(made.model, 3), made)
    schedules = [each["scheduler"] for each in make_schedules(optimizer, made, steps)]
    found = []
    for _ in range(steps):
        found.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        for each in schedules:
            each.step()
    return found


def test_schedules_are_what_their_names_say() -> None:
    """Ten steps in five epochs, from a rate of 0.1."""
    assert rates("constant", 10, 5) == pytest.approx([0.1] * 10)
    warm = rates("constant", 10, 5, warmup=0.4)
    assert warm == pytest.approx([0.1 * (0.001 + 0.999 * min(1, n / 4)) for n in range(10)])
    stepped = rates("steps", 10, 5, milestones=[2, 4], factor=0.5)
    assert stepped == pytest.approx([0.1] * 4 + [0.05] * 4 + [0.025] * 2)
    cosine = rates("cosine", 10, 5)
    assert cosine == pytest.approx([0.05 * (1 + np.cos(np.pi * n / 10)) for n in range(10)])
    again = rates("cosine", 10, 5, t_max=2)
    assert again == pytest.approx([0.05 * (1 + np.cos(np.pi * n / 4)) for n in range(10)])
    both = rates("cosine", 10, 5, warmup=0.2)
    assert both[2:] == pytest.approx([0.05 * (1 + np.cos(np.pi * n / 8)) for n in range(8)])
    assert both[0] == pytest.approx(1e-4)
    one = rates("onecycle", 10, 5)
    assert one[0] == pytest.approx(0.1 / 25)
    assert np.argmax(one) == 2
    assert max(rates("onecycle", 10, 5, warmup=0.5)) == pytest.approx(0.1)
    assert np.argmax(rates("onecycle", 10, 5, warmup=0.5)) == 4


def test_the_new_layer_may_learn_faster() -> None:
    for name in ("onecycle", "constant"):
        made = recipe(optimizer="adam", scheduler=name, head_lr_scale=10.0)
        network = build_network(made.model, 3)
        optimizer = make_optimizer(network, made)
        start = [group["lr"] for group in optimizer.param_groups]
        make_schedules(optimizer, made, 10)
        body, head = optimizer.param_groups
        assert start == [0.1, 1.0]
        assert head["lr"] == pytest.approx(10 * body["lr"])
        assert {id(each) for each in head["params"]} == {
            id(each) for each in network.fc.parameters()
        }
        assert len(body["params"]) + len(head["params"]) == len(list(network.parameters()))


@pytest.fixture
def store(tmp_path: Path) -> ImageStore:
    return stored(tmp_path, [(20 + index, 30) for index in range(10)])


def augmented(store: ImageStore, ids: list[str]) -> ImageDataset:
    augment = make_augment(({"Affine": {"rotate": [-90, 90], "p": 1.0}}, "HorizontalFlip"))
    labels = np.arange(len(ids) * 2).reshape(-1, 2)
    return ImageDataset(store, ids, labels, model(image_size=16, channels=1), augment, seed=5)


def batches(dataset: ImageDataset, workers: int, epochs: int) -> list[torch.Tensor]:
    sampler = Batches(len(dataset), 4, seed=1)
    loader = make_loader(dataset, sampler, workers, persistent=True)
    found = []
    for epoch in range(epochs):
        sampler.set_epoch(epoch)
        found += [tensor for batch in loader for tensor in batch]
    return found


def test_workers_change_nothing(store: ImageStore) -> None:
    alone = batches(augmented(store, store.ids), 0, 2)
    for workers in (1, 2):
        other = batches(augmented(store, store.ids), workers, 2)
        assert all(torch.equal(a, b) for a, b in zip(alone, other, strict=True))


def test_augmentation_is_a_function_of_seed_epoch_and_image(store: ImageStore) -> None:
    dataset = augmented(store, store.ids)
    fewer = augmented(store, store.ids[5:])
    assert torch.equal(dataset[(3, 7, True)][0], fewer[(3, 2, True)][0])
    assert not torch.equal(dataset[(3, 7, True)][0], dataset[(4, 7, True)][0])
    fewer.seed = 6
    assert not torch.equal(dataset[(3, 7, True)][0], fewer[(3, 2, True)][0])


def test_transforms_of_one_image_are_drawn_independently() -> None:
    augment = make_augment(("HorizontalFlip", "VerticalFlip"))
    assert augment is not None
    image = np.arange(4, dtype=np.uint8).reshape(2, 2, 1)
    seen = [augment(image, seed).tobytes() for seed in range(400)]
    counts = [seen.count(each) for each in set(seen)]
    assert len(counts) == 4
    assert min(counts) > 60


@given(st.integers(1, 40), st.integers(1, 12), st.integers(1, 4), st.integers(0, 3))
@settings(max_examples=200, deadline=None)
def test_processes_share_every_batch(images: int, size: int, processes: int, epoch: int) -> None:
    """Together they see every image once, batch for batch as one process does."""

    def keys(rank: int, of: int) -> list[list[tuple[int, int, bool]]]:
        sampler = Batches(images, size, seed=1, rank=rank, processes=of)
        sampler.set_epoch(epoch)
        found = list(sampler)
        assert len(found) == len(sampler)
        return found

    alone = keys(0, 1)
    assert sorted(each for batch in alone for _, each, _ in batch) == list(range(images))
    assert all(key[0] == epoch and key[2] for batch in alone for key in batch)
    shares = [keys(rank, processes) for rank in range(processes)]
    for index, batch in enumerate(alone):
        together = [key for share in shares for key in share[index]]
        assert sorted(key for key in together if key[2]) == sorted(batch)
        assert min(len(share[index]) for share in shares) >= 1


def test_every_epoch_has_its_order() -> None:
    sampler = Batches(50, 7, seed=1)
    orders = []
    for epoch in (0, 1):
        sampler.set_epoch(epoch)
        orders.append([position for batch in sampler for _, position, _ in batch])
    assert orders[0] != orders[1]
    assert [key[:2] for batch in Batches(5, 2) for key in batch] == [(0, each) for each in range(5)]


@pytest.mark.parametrize("channels", [1, 3])
def test_plain_images_are_resized_pixels(store: ImageStore, channels: int) -> None:
    dataset = ImageDataset(store, ["i3"], np.zeros((1, 2)), model(image_size=16, channels=channels))
    image, _ = dataset[0]
    wanted = cv2.resize(store.pixels("i3", channels), (16, 16), interpolation=cv2.INTER_AREA)
    assert image.dtype == torch.uint8
    assert np.array_equal(image.numpy(), wanted.reshape(16, 16, channels).transpose(2, 0, 1))


@pytest.mark.parametrize(
    ("spec", "said"),
    [
        ({"Resize": {"height": 8, "width": 8}}, "makes images of 8 x 8 pixels"),
        ({"PadIfNeeded": {"min_height": 40, "min_width": 40}}, "makes images of 40 x 40"),
        ({"Normalize": {"mean": [0.5], "std": [0.5]}}, "Normalize"),
        ({"ToRGB": {}}, "let it keep the channels"),
    ],
)
def test_augmentation_that_changes_size_or_type_is_refused(
    store: ImageStore, spec: dict[str, Any], said: str
) -> None:
    made = model(image_size=16, channels=1)
    dataset = ImageDataset(store, ["i3"], np.zeros((1, 2)), made, make_augment((spec,)))
    with pytest.raises(UserError, match=said) as error:
        dataset[0]
    assert "train.augment" in str(error.value)


def test_normalizer_scales_pixels() -> None:
    images = torch.tensor([0, 255], dtype=torch.uint8).view(1, 1, 1, 2)
    assert Normalizer((0.5,), (0.25,))(images).flatten().tolist() == [-2, 2]


def test_a_member_survives_the_disk(tmp_path: Path) -> None:
    made = recipe()
    network = build_network(made.model, 3).eval()
    save_member(tmp_path, network, made.model, ["a", "b", "c"], False, {"unseen": ""})
    assert {path.name for path in tmp_path.iterdir()} == {"weights.safetensors", "model.json"}
    loaded = load_member(tmp_path)
    assert (loaded.model, loaded.classes) == (made.model, ["a", "b", "c"])
    images = torch.randn(2, 1, 32, 32)
    with torch.inference_mode():
        assert torch.equal(loaded.network(images), network(images))
    content = json.loads((tmp_path / "model.json").read_text())
    # As older commits have it: the recipe held the model, and the loss said what outputs are.
    old = {"classes": content["classes"], "recipe": {"model": content["model"]}}
    for loss, softmax in (("cross_entropy", True), ("bce", False)):
        old["recipe"]["train"] = {"loss": loss}
        (tmp_path / "model.json").write_text(json.dumps(old))
        again = load_member(tmp_path)
        assert (again.model, again.softmax) == (made.model, softmax)
    (tmp_path / "weights.safetensors").unlink()
    with pytest.raises(UserError, match="no such file"):
        load_member(tmp_path)
