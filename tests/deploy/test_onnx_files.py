"""An export's files: their sums, and what is no export."""

import shutil
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from foldwise.core.errors import UserError
from foldwise.deploy.graphs import write_graph
from foldwise.deploy.onnx_files import (
    check_sums,
    exported_members,
    fold_file,
    graph_runner,
    member_file,
    write_sums,
)
from foldwise.deploy.torch_runner import FoldNetwork, TorchRunner, load_fold
from foldwise.inference.view_logits import view_logits
from foldwise.model.classifier import build_network
from foldwise.model.saved import save_member
from tests.small import model

MODEL = model(channels=1, image_size=16, options={"widths": [4, 8], "pools": [0]})
IMAGES = torch.arange(3 * 256, dtype=torch.int32).remainder(251).byte().reshape(3, 1, 16, 16)


def loaded(folder: Path, bias: float = 0.0) -> FoldNetwork:
    """A member that is saved with this bias, and loaded again."""
    torch.manual_seed(0)
    network = build_network(MODEL, 2)
    network.fc.bias.data[1] = bias
    folder.mkdir(parents=True, exist_ok=True)
    save_member(folder, network, MODEL, ["a", "b"], False, {})
    return load_fold(folder, ["a", "b"], ["identity", "hflip"], "mean_logit")[0]


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One member's only fold."""
    folder = tmp_path_factory.mktemp("export")
    module = loaded(folder.with_name("saved") / "m/0")
    ensemble = {"members": {"m": {"views": ["identity"], "weight": 1.0}}, "folds": [0]}
    content: dict[str, Any] = {"member": "m", "export": "x", "ensemble": ensemble}
    path = fold_file(folder, "m", 0)
    write_graph(module, IMAGES, path, content | {"fold": 0})
    shutil.copy(path, member_file(folder, "m"))
    write_sums(folder)
    return folder


@pytest.fixture
def folder(exported: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(exported, tmp_path / "export"))


def test_sums_are_what_sha256sum_checks(folder: Path) -> None:
    command = ["sha256sum", "--check", "--strict", "SHA256SUMS"]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=True)
    assert done.stdout.splitlines() == ["m/0.onnx: OK", "m.onnx: OK"]
    assert exported_members(folder)["member"] == "m"


def test_a_flipped_bit_anywhere_is_seen(folder: Path) -> None:
    rng = np.random.default_rng(0)
    for name in ("m.onnx", "m/0.onnx", "SHA256SUMS"):
        whole = (folder / name).read_bytes()
        for place in rng.integers(0, len(whole), 40).tolist():
            broken = bytearray(whole)
            broken[place] ^= 1 << int(rng.integers(8))
            (folder / name).write_bytes(broken)
            with pytest.raises(UserError, match="export anew") as error:
                exported_members(folder)
            assert "\n" not in str(error.value)
        (folder / name).write_bytes(whole)
    check_sums(folder)


def test_missing_and_foreign_graphs_are_seen(folder: Path) -> None:
    (folder / "m.onnx").rename(folder / "n.onnx")
    with pytest.raises(UserError, match=r"n.onnx: is not named in .*SHA256SUMS"):
        exported_members(folder)
    (folder / "n.onnx").unlink()
    with pytest.raises(UserError, match=r"m.onnx: no such file"):
        exported_members(folder)
    # Exports of older versions have no sums.
    (folder / "SHA256SUMS").unlink()
    assert exported_members(folder)["member"] == "m"


@pytest.mark.parametrize("broken", [np.nan, np.inf])
def test_logits_that_are_no_numbers_are_refused_wherever_they_are_made(
    tmp_path: Path, broken: float
) -> None:
    module = loaded(tmp_path / "m/0", broken)
    said = rf"m/0: \d of \d+ logits are {broken}, .* train it anew"
    with pytest.raises(UserError, match=said):
        TorchRunner(module, torch.device("cpu"))(IMAGES.numpy())
    with pytest.raises(UserError, match=said):
        view_logits(module.seen, [(IMAGES, None)], torch.device("cpu"), module.source)
    with pytest.raises(UserError, match=r"m fold 0: 3 of 6 logits"):
        write_graph(module, IMAGES, tmp_path / "m.onnx", {"member": "m", "fold": 0})
    assert not (tmp_path / "m.onnx").exists()


def test_a_graph_whose_logits_are_no_numbers_is_refused(folder: Path) -> None:
    import onnx

    path = fold_file(folder, "m", 0)
    graph = onnx.load(path)
    for weight in graph.graph.initializer:
        if weight.name.endswith("fc.bias"):
            found = onnx.numpy_helper.to_array(weight)
            weight.CopyFrom(onnx.numpy_helper.from_array(found * np.float32(np.nan), weight.name))
    onnx.save(graph, path)
    with pytest.raises(UserError, match=r"m/0.onnx: 6 of 6 logits are nan"):
        graph_runner(path)(IMAGES.numpy())
