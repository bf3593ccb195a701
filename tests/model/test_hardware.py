"""How many processes feed a network, and what it computes in."""

import os

import numpy as np
import pytest
import torch

from foldwise.model import hardware
from foldwise.model.dataset import LabelledDataset
from foldwise.model.hardware import choose_precision, worker_count
from foldwise.model.loader import Batches, make_loader, plain_loader

CPU, GPU = torch.device("cpu"), torch.device("cuda")


@pytest.mark.parametrize(("cores", "processes", "wanted"), [(16, 1, 16), (16, 3, 5), (2, 8, 1)])
def test_workers_are_one_per_core_beside_a_gpu(
    cores: int, processes: int, wanted: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("joblib.cpu_count", lambda: cores)
    assert worker_count("auto", GPU, processes) == wanted
    assert worker_count("auto", CPU, processes) == 0
    assert worker_count(3, GPU, processes) == worker_count(3, CPU, processes) == 3


def test_cores_that_others_have_do_not_count(monkeypatch: pytest.MonkeyPatch) -> None:
    allowed = os.sched_getaffinity(0)
    assert worker_count("auto", GPU) <= len(allowed)
    monkeypatch.setenv("LOKY_MAX_CPU_COUNT", "1")
    assert worker_count("auto", GPU) == 1


def test_no_worker_is_without_a_batch() -> None:
    data = LabelledDataset([str(each) for each in range(10)], np.zeros((10, 2)), 0)
    assert plain_loader(data, 4, 64).num_workers == 3
    assert plain_loader(data, 4, 2).num_workers == 2
    assert plain_loader(data, 4, 0).num_workers == 0


@pytest.mark.parametrize(("images", "wanted"), [(4, 1), (64, 6), (200, 10), (4000, 16)])
def test_workers_for_one_pass_are_no_more_than_their_start_is_worth(
    images: int, wanted: int
) -> None:
    data = LabelledDataset([str(each) for each in range(images)], np.zeros((images, 2)), 0)
    assert plain_loader(data, 4, 16).num_workers == wanted
    lasting = make_loader(data, Batches(images, 4), 16, persistent=True)
    assert lasting.num_workers == min(16, images // 4)


@pytest.mark.parametrize(
    ("found", "wanted"),
    [
        ({"avx512_bf16": True}, "bf16-mixed"),
        ({"amx_bf16": True, "avx2": True}, "bf16-mixed"),
        ({"avx2": True, "avx512_bf16": False}, "32-true"),
    ],
)
def test_a_cpus_instructions_say_whether_it_has_bf16(
    found: dict[str, bool], wanted: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: found)
    assert choose_precision("auto", CPU) == wanted
    assert hardware.computes_bf16(CPU) == (wanted == "bf16-mixed")
    assert choose_precision("16-mixed", CPU) == "16-mixed"
