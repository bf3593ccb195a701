"""Greedy soups, against their definition."""

from pathlib import Path
from typing import Any

import pytest
import torch

from foldwise.model.classifier import Classifier
from foldwise.training.curves import Curves
from foldwise.training.fit import fit_member
from foldwise.training.losses import Loss
from foldwise.training.settings import Recipe
from foldwise.training.soup import Ingredient, greedy_soup
from tests.fitting import fit, recipe, training_run

State = dict[str, torch.Tensor]


def every_epoch(made: Recipe, data: Any, folder: Path) -> tuple[Classifier, list[State]]:
    """The network of a training without a soup, and its weights after every epoch."""
    states: list[State] = []
    note = Curves.on_train_epoch_end

    def noted(self: Curves, trainer: Any, module: Any) -> None:
        note(self, trainer, module)
        states.append({name: each.clone() for name, each in module.network.state_dict().items()})

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Curves, "on_train_epoch_end", noted)
        network, _ = fit(made, data, folder)
    return network, states


@pytest.mark.parametrize(("of", "lr", "momentum"), [("last", 0.15, 0.9), ("best", 0.6, 0.5)])
def test_a_soup_is_what_greedy_averaging_by_the_held_out_loss_gives(
    of: str,
    lr: float,
    momentum: float,
    images: Any,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    def made_with(**averaging: Any) -> Recipe:
        made = recipe(epochs=8, momentum=momentum, **averaging)
        return made.model_copy(update={"lr": lr})

    plain = made_with()
    train, _ = images(plain)
    data = train, train.only(range(5), augmented=False)
    network, states = every_epoch(plain, data, tmp_path / "plain")
    pixels = torch.stack([data[1][index][0] for index in range(5)])
    loss = Loss("multilabel_soft_margin", plain.train.loss_options, data[0].labels)

    def judged(state: State) -> float:
        network.load_state_dict(state)
        with torch.inference_mode():
            logits = network.eval()((pixels.float() / 255 - 0.449) / 0.226)
        return float(loss(logits, data[1].labels))

    scores = [judged(state) for state in states]
    candidates = [4, 5, 6, 7] if of == "last" else sorted(range(8), key=scores.__getitem__)[:4]
    inside: list[int] = []
    score = float("inf")
    for epoch in sorted(candidates, key=scores.__getitem__):
        trial = [*inside, epoch]
        means = {
            name: torch.stack([states[each][name] for each in trial]).double().mean(0)
            if value.is_floating_point()
            else states[trial[0]][name]
            for name, value in states[0].items()
        }
        found = judged({name: each.to(states[0][name].dtype) for name, each in means.items()})
        if found <= score:
            inside, score, wanted = trial, found, means
    # Neither all nor one of them: else the test would see less.
    assert 1 < len(inside) < 4
    made = made_with(averaging={"method": "soup", "of": of, "epochs": 4})
    capsys.readouterr()
    curves = Curves(tmp_path / "curves", "m", made)
    soup, epoch = fit_member(made, *data, training_run(tmp_path / "soup", curves))
    assert epoch == max(inside) + 1
    for name, value in soup.state_dict().items():
        assert torch.allclose(value.double(), wanted[name].double(), atol=1e-6), name
    said = capsys.readouterr().err.splitlines()[-1]
    listed = ", ".join(str(each + 1) for each in inside)
    assert said.startswith(f"m: a soup of {len(inside)} of the {of} 4 epochs ({listed}): valid_los")
    assert (
        f"valid_loss {score:.4f}, of the best of them {min(scores[c] for c in candidates):.4f}"
        in said
    )


def kept_weights(folder: Path, values: list[float]) -> list[Ingredient]:
    """Epochs whose one weight has these values."""
    found = []
    for epoch, value in enumerate(values, 1):
        path = folder / f"{epoch}.ckpt"
        torch.save({"state_dict": {"w": torch.tensor(value), "n": torch.tensor(epoch)}}, path)
        found.append(Ingredient(epoch, path, abs(value)))
    return found


def test_what_makes_the_score_fall_stays_out_and_what_leaves_it_stays_in(tmp_path: Path) -> None:
    """The score is how far the mean is from 0; 1 and 1 make 1, with -2.5 that is -1/6."""
    ingredients = kept_weights(tmp_path, [1.0, 1.0, 5.0, -2.5])
    soup, epochs, score = greedy_soup(ingredients, True, lambda each: abs(float(each["w"])))
    assert epochs == [1, 2, 4]
    assert float(soup["w"]) == pytest.approx(-1 / 6)
    assert score == pytest.approx(1 / 6)
    assert int(soup["n"]) == 1
    _, epochs, score = greedy_soup(ingredients, False, lambda each: abs(float(each["w"])))
    assert epochs == [1, 2, 3]
    assert score == pytest.approx(7 / 3)
    _, epochs, _ = greedy_soup(ingredients, True, lambda _: float("nan"))
    assert epochs == [1]
