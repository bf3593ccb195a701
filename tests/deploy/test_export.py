"""ONNX graphs against torch, and torch's merging against numpy's."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from foldwise.core.errors import UserError
from foldwise.deploy.graphs import check_network
from foldwise.deploy.merge_torch import MergedFolds, MergedViews, merge_tensors
from foldwise.ensembling.merge import merge_logits
from foldwise.ensembling.settings import MERGES
from foldwise.inference.log_odds import softmax_log_odds
from foldwise.inference.onnx import export_network
from foldwise.inference.view_logits import ThroughViews
from foldwise.model.classifier import Classifier, build_network
from foldwise.model.settings import Model
from foldwise.model.views import make_view
from foldwise.scoring.probability import log_softmax, one_vs_rest_log_odds

MERGE_NAMES = [*MERGES, "power_mean(3)", "power_mean(0.5)"]
CLASSES = 4


@given(
    arrays(np.float32, (4, 3, 2), elements=st.floats(-60, 60, width=32)),
    st.sampled_from(MERGE_NAMES),
)
@settings(max_examples=150, deadline=None)
def test_torch_merges_as_numpy_does(logits: np.ndarray, how: str) -> None:
    found = merge_tensors(torch.from_numpy(logits), how).numpy()
    assert np.allclose(found, merge_logits(logits, how), rtol=1e-5, atol=1e-5)
    assert np.array_equal(merge_tensors(torch.from_numpy(logits[:1]), how).numpy(), logits[0])


@given(arrays(np.float64, (3, 4), elements=st.floats(-60, 60)))
@settings(max_examples=100, deadline=None)
def test_torchs_log_odds_are_numpys(logits: np.ndarray) -> None:
    found = softmax_log_odds(torch.from_numpy(logits)).numpy()
    assert found == pytest.approx(one_vs_rest_log_odds(log_softmax(logits)), abs=1e-9)


def member(model: Model, fold: int) -> Classifier:
    torch.manual_seed(fold)
    network = build_network(model, CLASSES, pretrained=False).eval()
    # Logits that differ enough to be told apart.
    of_head = {"query": "decoder.duplicate_pooling", "places": "linear.weight"}
    last = network.fc.get_parameter(of_head.get(model.head, "weight"))
    last.data *= 20
    return network


def seen(model: Model, fold: int, views: list[str], softmax: bool = False) -> MergedViews:
    made = [make_view(view) for view in views]
    through = ThroughViews(member(model, fold), model, made, softmax, together=True)
    return MergedViews(through, "mean_probability").eval()


def head(module: MergedViews) -> torch.nn.Linear:
    network = module.seen.network
    assert isinstance(network, Classifier)
    return network.fc


def pixels(model: Model, count: int, crops: tuple[int, ...] = ()) -> torch.Tensor:
    generator = torch.Generator().manual_seed(0)
    shape = (count, *crops, model.channels, model.image_size, model.image_size)
    return torch.randint(0, 256, shape, dtype=torch.uint8, generator=generator)


PLAIN: dict[str, Any] = {"backbone": "foldwise/plain_cnn", "options": {"widths": [4, 8]}}
QUERY: dict[str, Any] = {"head": "query", "query": {"embedding": 16, "groups": 3}}


class EveryMerge(torch.nn.Module):
    """Folds merged in all ways, beside each other: one graph, which takes seconds to make."""

    def __init__(self, folds: list[MergedViews]) -> None:
        super().__init__()
        self.folds = torch.nn.ModuleList(folds)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        logits = torch.stack([fold(images) for fold in self.folds])
        return torch.cat([merge_tensors(logits, how) for how in MERGE_NAMES], 1)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("model", "views", "softmax", "crops"),
    [
        (PLAIN | {"channels": 1}, ["identity", "rot90", "hflip * shift(2, -1)"], False, ()),
        (PLAIN, ["rotate(10)", "scale(1.3)"], True, ()),
        (PLAIN | {"shortest_edge": 40}, ["identity", "hflip * top_left"], False, (5,)),
        (PLAIN | {"shortest_edge": 40, "views": "five_crop"}, ["hflip"], False, (5,)),
        ({"backbone": "timm/test_resnet"}, ["identity", "transpose"], False, ()),
        (PLAIN | {"pooling": "gem"}, ["identity"], False, ()),
        (PLAIN | {"head": "places"}, ["identity", "rot90"], False, ()),
        # Four classes of three queries: some of what these give is cut off.
        (
            QUERY | {"shortest_edge": 40, "views": "five_crop", "backbone": "timm/test_resnet"},
            ["hflip"],
            False,
            (5,),
        ),
    ],
    ids=["views", "softmax", "crops", "five_crop", "timm", "gem", "places", "query"],
)
def test_a_graph_gives_what_torch_gives(
    tmp_path: Path, model: dict[str, Any], views: list[str], softmax: bool, crops: tuple[int, ...]
) -> None:
    made = Model.model_validate({"image_size": 32} | model)
    folds = [seen(made, fold, views, softmax) for fold in range(2)]
    merges = MERGE_NAMES if len(views) == 3 else ["mean_logit"]
    module = EveryMerge(folds) if len(merges) > 1 else MergedFolds(folds, merges[0])
    images = pixels(made, 5, crops)
    path = tmp_path / "member.onnx"
    export_network(module.eval(), images[:2], path, {"classes": json.dumps(["a", "b"])})
    assert check_network(module, images, path) < 1e-5
    with torch.no_grad():
        each = np.stack([fold(images).numpy() for fold in folds])
        found = module(images).numpy()
    wanted = np.concatenate([merge_logits(each, how) for how in merges], 1)
    assert np.allclose(found, wanted, atol=1e-4)
    assert np.ptp(wanted) > 0.1
    runs = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    assert json.loads(runs.get_modelmeta().custom_metadata_map["classes"]) == ["a", "b"]


@pytest.mark.slow
def test_other_weights_are_noticed(tmp_path: Path) -> None:
    model = Model.model_validate(PLAIN | {"image_size": 16})
    module = seen(model, 0, ["identity"])
    path = tmp_path / "member.onnx"
    export_network(module, pixels(model, 2), path, {})
    head(module).bias.data += 0.01
    with pytest.raises(UserError, match=r"member.onnx: its logits differ from torch's by .*e-0"):
        check_network(module, pixels(model, 4), path)


@pytest.mark.slow
def test_a_graph_that_gives_no_numbers_is_noticed(tmp_path: Path) -> None:
    model = Model.model_validate(PLAIN | {"image_size": 16})
    module = seen(model, 0, ["identity"])
    for broken in (np.nan, np.inf):
        weight = head(module).bias.data.clone()
        head(module).bias.data[1] = broken
        export_network(module, pixels(model, 2), tmp_path / "a.onnx", {})
        head(module).bias.data = weight
        with pytest.raises(UserError, match=r"a.onnx: its logits differ from torch's by (nan|inf)"):
            check_network(module, pixels(model, 4), tmp_path / "a.onnx")


@pytest.mark.slow
def test_a_graph_runs_where_torch_is_not(tmp_path: Path) -> None:
    model = Model.model_validate(PLAIN | {"image_size": 16})
    module = seen(model, 0, ["identity", "rot90"])
    images = pixels(model, 3)
    export_network(module, images[:2], tmp_path / "a.onnx", {})
    np.save(tmp_path / "images.npy", images.numpy())
    code = """
import sys
sys.modules["torch"] = None
import numpy, onnxruntime
runs = onnxruntime.InferenceSession("a.onnx", providers=["CPUExecutionProvider"])
numpy.save("logits.npy", runs.run(["logits"], {"images": numpy.load("images.npy")})[0])
"""
    subprocess.run([sys.executable, "-c", code], cwd=tmp_path, check=True)
    with torch.no_grad():
        wanted = module(images).numpy()
    assert np.allclose(np.load(tmp_path / "logits.npy"), wanted, atol=1e-4)
