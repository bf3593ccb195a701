"""The faster precision, tried once on a CPU that has both."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from foldwise.model.classifier import Classifier, build_network
from foldwise.model.settings import Compute
from foldwise.training import precision
from foldwise.training.checkpoint import LAST, load_checkpoint
from foldwise.training.curves import Curves
from foldwise.training.fit import fit_member
from foldwise.training.precision import FULL, MIXED, step_seconds, training_precision
from foldwise.training.settings import Recipe
from tests.fitting import recipe, training_run

AUTO = Compute(accelerator="cpu", workers=0)


class Machine:
    """One that has bf16, where steps take what a test says."""

    def __init__(self, full: float, mixed: float) -> None:
        self.seconds = {FULL: full, MIXED: mixed}
        self.trials: list[torch.Size] = []

    def try_steps(self, _: Classifier, inputs: torch.Tensor) -> dict[str, float]:
        self.trials.append(inputs.shape)
        return self.seconds


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch) -> Machine:
    found = Machine(1.0, 0.5)
    monkeypatch.setattr(precision, "computes_bf16", lambda _: True)
    monkeypatch.setattr(precision, "step_seconds", found.try_steps)
    return found


def chosen(made: Recipe, folder: Path, compute: Compute = AUTO, run: str = "run") -> str:
    return training_precision(made, 10, 3, compute, folder / run, folder / "trials")


@pytest.mark.parametrize(
    ("full", "mixed", "wanted"), [(1.0, 0.9, MIXED), (1.0, 0.95, FULL), (1.0, 1.5, FULL)]
)
def test_bf16_must_be_a_tenth_faster(
    full: float, mixed: float, wanted: str, machine: Machine, tmp_path: Path
) -> None:
    machine.seconds = {FULL: full, MIXED: mixed}
    assert chosen(recipe(), tmp_path) == wanted
    assert machine.trials == [(4, 1, 16, 16)]


def test_a_choice_stays_whatever_a_second_trial_would_say(
    machine: Machine, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert chosen(recipe(), tmp_path) == MIXED
    assert "bf16-mixed; a step takes 1 s in 32-true, 0.5 s in bf16-mixed" in capsys.readouterr().err
    machine.seconds = {FULL: 1.0, MIXED: 2.0}
    assert chosen(recipe(epochs=9, loss="bce"), tmp_path, run="another fold") == MIXED
    assert len(machine.trials) == 1
    # Another network, input or batch size is another question.
    for other in (
        recipe(batch_size=8),
        recipe(model={"image_size": 32}),
        recipe(model={"options": {"widths": [4, 4], "pools": [0]}}),
    ):
        assert chosen(other, tmp_path) == FULL
    assert chosen(recipe(), tmp_path, Compute(accelerator="cpu", channels_last=False)) == FULL
    assert len(machine.trials) == 5


@pytest.mark.parametrize("damage", ["", "{", "[]", '{"precision": "64-true"}', "\udcff"])
def test_a_damaged_choice_is_dropped(
    damage: str, machine: Machine, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    chosen(recipe(), tmp_path)
    (kept,) = (tmp_path / "trials").glob("*.json")
    kept.write_bytes(damage.encode(errors="surrogateescape"))
    capsys.readouterr()
    assert chosen(recipe(), tmp_path) == MIXED
    assert f"{kept}: is damaged; tried anew" in capsys.readouterr().err
    assert json.loads(kept.read_text())["precision"] == MIXED
    assert len(machine.trials) == 2


def test_what_needs_no_trial_gets_none(
    machine: Machine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert chosen(recipe(freeze={"epochs": "all"}), tmp_path) == FULL
    assert chosen(recipe(), tmp_path, Compute(accelerator="cpu", precision="bf16-mixed")) == MIXED
    assert chosen(recipe(), tmp_path, Compute(accelerator="cpu", precision="32-true")) == FULL
    monkeypatch.setattr("foldwise.model.hardware.computes_bf16", lambda _: True)
    assert chosen(recipe(), tmp_path, Compute(accelerator="cpu", devices=2)) == MIXED
    monkeypatch.setattr(precision, "computes_bf16", lambda _: False)
    assert chosen(recipe(), tmp_path) == FULL
    assert not machine.trials
    assert not (tmp_path / "trials").exists()


@pytest.mark.parametrize("begun_in", [FULL, MIXED])
def test_a_resumed_run_keeps_what_it_began_in(
    begun_in: str, machine: Machine, images: Any, tmp_path: Path
) -> None:
    made = recipe()
    train, valid = images(made)
    here = training_run(tmp_path, Curves(tmp_path / "curves", "m", made))
    folder = here.checkpoints
    fit_member(made, train, valid, replace(here, compute=AUTO, precision=begun_in))
    assert load_checkpoint(folder / LAST)["precision"] == begun_in
    # Though the machine's choice is another, or gone.
    machine.seconds = {FULL: 1.0, MIXED: 0.1 if begun_in == FULL else 10.0}
    assert training_precision(made, 10, 3, AUTO, folder, tmp_path / "trials") == begun_in
    assert not machine.trials
    (folder / LAST).write_bytes((folder / LAST).read_bytes()[:99])
    other = training_precision(made, 10, 3, AUTO, folder, tmp_path / "trials")
    assert other == ({FULL, MIXED} - {begun_in}).pop()


def test_a_trial_leaves_the_network_and_the_random_state() -> None:
    network = build_network(recipe(model={"dropout": 0.5}).model, 3)
    before = {name: each.clone() for name, each in network.state_dict().items()}
    torch.manual_seed(0)
    wanted = torch.rand(3)
    torch.manual_seed(0)
    seconds = step_seconds(network, torch.randn(4, 1, 16, 16, generator=torch.Generator()))
    assert torch.equal(torch.rand(3), wanted)
    assert set(seconds) == {FULL, MIXED}
    assert all(each > 0 for each in seconds.values())
    assert all(torch.equal(each, before[name]) for name, each in network.state_dict().items())
    assert all(each.grad is None for each in network.parameters())


def test_a_network_that_refuses_bf16_is_trained_in_float32(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    forward = Classifier.forward

    def without_bf16(self: Classifier, images: torch.Tensor) -> torch.Tensor:
        if torch.is_autocast_enabled("cpu"):
            raise RuntimeError("not implemented for BFloat16")
        return forward(self, images)

    monkeypatch.setattr(Classifier, "forward", without_bf16)
    seconds = step_seconds(build_network(recipe().model, 3), torch.randn(4, 1, 16, 16))
    assert set(seconds) == {FULL}
    assert precision.faster(seconds) == FULL
