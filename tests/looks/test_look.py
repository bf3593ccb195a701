"""The look of composed images, fitted to images whose settings are known."""

from typing import Any

import numpy as np
import pytest

from foldwise.composing.composer import Composer
from foldwise.composing.settings import PRESETS, Compose
from foldwise.looks import look
from foldwise.looks.look import fit_look
from foldwise.looks.statistics import looks
from foldwise.sources.glyphs.sets import digits

HANDWRITING = digits()
# Far from all that is to be found.
START = Compose(
    canvas=200,
    glyphs=(1, 1),
    size=(60.0, 61.0),
    angle=(-7.0, 8.0),
    thickness=(0.1, 0.11),
    ink=(0.3, 0.31),
    noise=(0.9, 0.91),
    noise_from=-0.5,
    distractors=(0, 1),
)
DIRTY = PRESETS["dirty_mnist"] | {"distractors": (0, 0), "glyphs": (5, 8)}
TRUE = {
    "default": Compose(),
    "few small ones on a bright ground": Compose(
        canvas=96,
        size=(10.0, 14.0),
        glyphs=(4, 7),
        thickness=(0.5, 0.6),
        ink=(0.45, 0.65),
        noise=(0.3, 0.5),
        noise_from=0.0,
    ),
    "dirty": Compose.model_validate(DIRTY | {"canvas": 128, "size": (18.0, 30.0)}),
}


def composed(settings: Compose, count: int) -> tuple[list[np.ndarray], np.ndarray]:
    composer = Composer(HANDWRITING, settings, seed=3, stream=1)
    images = [composer.paint(index) for index in range(count)]
    return images, np.stack([composer.labels(index) for index in range(count)])


def fitted(
    settings: Compose, monkeypatch: pytest.MonkeyPatch, tried: int, start: Compose = START
) -> Compose:
    monkeypatch.setattr(look, "TRIED", tried)
    images, labels = composed(settings, 60)
    return fit_look(images, labels, start, HANDWRITING)


@pytest.mark.slow
@pytest.mark.parametrize("name", TRUE)
def test_settings_are_found_again(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    true = TRUE[name]
    found = fitted(true, monkeypatch, tried=64)
    assert found.canvas == true.canvas
    assert found.glyphs == true.glyphs
    assert found.noise == pytest.approx(true.noise, abs=0.03)
    assert found.noise_from == true.noise_from
    assert np.mean(found.size) == pytest.approx(np.mean(true.size), rel=0.2)
    assert np.mean(found.thickness) == pytest.approx(np.mean(true.thickness), abs=0.12)
    assert np.mean(found.ink) == pytest.approx(np.mean(true.ink), abs=0.12)
    assert found.angle == START.angle
    assert found.distractors == START.distractors
    target = looks(composed(true, 40)[0])
    start = START.model_copy(update={"canvas": true.canvas, "glyphs": true.glyphs})
    near, far = (looks(composed(each, 40)[0]) - target for each in (found, start))
    assert np.abs(near).mean() < np.abs(far).mean() / 3


def test_a_function_of_its_arguments(monkeypatch: pytest.MonkeyPatch) -> None:
    first = fitted(Compose(), monkeypatch, tried=12)
    np.random.default_rng().random(5)
    assert fitted(Compose(), monkeypatch, tried=12) == first


def test_what_is_found_are_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    """Rounded and cut to what is possible, they pass their own checks, whatever is shown."""
    monkeypatch.setattr(look, "TRIED", 8)
    rng = np.random.default_rng(0)
    shown: dict[str, list[np.ndarray]] = {
        "black": [np.zeros((20, 30), np.uint8)],
        "white": [np.full((40, 40), 255, np.uint8)],
        "noise": [rng.integers(0, 256, (9, 50), dtype=np.uint8) for _ in range(3)],
        "sides that differ": [composed(Compose(), 1)[0][0][:40], composed(Compose(), 2)[0][1]],
    }
    for images in shown.values():
        labels = np.zeros((len(images), 10), np.int8)
        found = fit_look(images, labels, START, HANDWRITING)
        content: dict[str, Any] = found.model_dump()
        assert Compose.model_validate(content) == found
        assert found.canvas == round(np.sqrt(np.median([each.size for each in images])))


def test_numbers_of_glyphs_where_all_classes_are_known() -> None:
    labels = np.zeros((200, 10), np.int8)
    labels[:, :3] = 1
    labels[0, 3:] = 1
    labels[1:80, 3] = 1
    labels[80:90, 4:] = -1
    assert look._count(labels, (7, 8)) == (3, 4)
    labels[:, 9] = -1
    assert look._count(labels, (7, 8)) == (7, 8)


def test_noise_by_any_lower_end() -> None:
    for start_at, tolerance in ((-1.0, 0.1), (-0.5, 0.1), (0.0, 0.01)):
        true = Compose(canvas=96, noise=(0.3, 0.5), noise_from=start_at)
        found = look._noise(composed(true, 40)[0], START)
        assert found["noise"] == pytest.approx((0.3, 0.5), abs=0.03)
        assert found["noise_from"] == pytest.approx(start_at, abs=tolerance)
