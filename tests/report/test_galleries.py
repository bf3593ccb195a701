"""Which images a report shows, and how they are made to fit."""

import base64
from dataclasses import replace

import cv2
import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from foldwise.evaluation.predictions import Part
from foldwise.images.decode import decode
from foldwise.report.budget import as_json, picture_keys, pictured
from foldwise.report.galleries import (
    MOST_LABELS,
    Gallery,
    class_gallery,
    confident_errors,
    lowest,
    suspects_gallery,
)
from foldwise.report.thumbnails import SIDES, encode, fitting, small
from foldwise.scoring.probability import sigmoid
from tests.pictures import picture


@pytest.fixture
def part() -> Part:
    rng = np.random.default_rng(0)
    logits = rng.normal(0, 2, (60, 12)).astype(np.float32)
    labels = (logits + rng.normal(0, 2, logits.shape) > 1).astype(np.int8)
    labels[rng.random(labels.shape) < 0.1] = -1
    ids = np.array([f"image {row}" for row in range(60)])
    return Part(ids, labels, -logits, logits, (logits > 0).astype(np.int8))


@given(
    arrays(np.float32, st.integers(0, 30), elements=st.sampled_from([0.0, 1, 2])), st.integers(0, 9)
)
def test_lowest_is_a_stable_sort_cut_off(scores: np.ndarray, count: int) -> None:
    wanted = sorted(range(len(scores)), key=lambda row: (scores[row], row))[:count]
    assert lowest(scores, count).tolist() == wanted


def test_a_class_shows_its_highest_and_lowest(part: Part) -> None:
    rows = class_gallery(part, 3, "AP 0.5").rows
    order = sorted(range(60), key=lambda row: (part.calibrated[row, 3], row))
    highest, low = rows["Highest scores"], rows["Lowest scores"]
    assert [card.id for card in low] == [part.ids[row] for row in order[:5]]
    assert [card.id for card in highest] == [part.ids[row] for row in order[::-1][:5]]
    for card in [*highest, *low]:
        row = part.ids.tolist().index(card.id)
        truth, guess = part.labels[row, 3], part.predicted[row, 3]
        assert card.probability == pytest.approx(sigmoid(part.calibrated[row, 3]), abs=1e-4)
        wanted = {(1, 1): "right", (0, 0): "right", (1, 0): "missed", (0, 1): "added"}
        assert card.kind == wanted.get((truth, guess), "ignored")
        named = {
            index
            for index in range(12)
            if part.labels[row, index] == 1 or part.predicted[row, index]
        }
        assert {label[0] for label in card.labels} <= named
        assert len(card.labels) + card.more == len(named)
        assert len(card.labels) <= MOST_LABELS


def test_errors_are_the_most_confident_and_none_else(part: Part) -> None:
    rows = confident_errors(part, each=7).rows
    worst: dict[tuple[str, int], float] = {}
    for row in range(60):
        for index in range(12):
            truth, guess = part.labels[row, index], part.predicted[row, index]
            if truth == 1 and not guess:
                worst["Missed", row] = min(
                    worst.get(("Missed", row), 9.0), part.calibrated[row, index]
                )
            if truth == 0 and guess:
                key = "Wrongly added", row
                worst[key] = min(worst.get(key, 9.0), -part.calibrated[row, index])
    for name, cards in rows.items():
        wanted = sorted((score, row) for (kind, row), score in worst.items() if kind == name)
        assert [card.id for card in cards] == [part.ids[row] for _, row in wanted[:7]]
        assert {card.kind for card in cards} == {"missed" if name == "Missed" else "added"}
        for card in cards:
            assert card.labels[0][0] == card.class_index


def test_no_errors_no_cards(part: Part) -> None:
    right = replace(part, labels=part.predicted)
    assert not confident_errors(right).cards
    empty = part.of(slice(0))
    assert not confident_errors(empty).cards
    assert not class_gallery(empty, 0, "").cards


def test_suspects_are_shown_by_what_they_are_labelled(part: Part) -> None:
    table = pd.DataFrame({"row": [4, 9, 2], "class_index": [1, 0, 5], "given": [1, 0, 1]})
    table = table.assign(probability=[0.1, 0.9, 0.2], quality=[0.01, 0.02, 0.03])
    table["around"] = [np.nan, 0.9, np.nan]
    gallery = suspects_gallery(part, table)
    there, absent = gallery.rows.values()
    assert [card.id for card in there] == ["image 4", "image 2"]
    assert [card.id for card in absent] == ["image 9"]
    assert there[1].says == "label quality 0.030"
    assert absent[0].says == "label quality 0.020; 90 % of the images around say otherwise"


def test_a_thumbnail_keeps_the_shape_and_takes_a_heat_map() -> None:
    pixels = np.full((300, 900, 3), (10, 200, 60), np.uint8)
    for suffix in (".png", ".jpg"):
        data = cv2.imencode(suffix, pixels)[1].tobytes()
        found = small(data, 300, 900)
        assert found.shape == (64, 192, 3)
        assert np.abs(found.astype(int) - pixels[0, 0]).max() <= 4
        heat = np.zeros((2, 6), np.float32)
        heat[:, 5] = 1
        hot = small(data, 300, 900, heat)
        assert hot.shape == found.shape
        # Inferno runs from black to pale yellow.
        assert hot[:, :60].mean() < found.mean() < hot[:, -20:].mean()
    tiny = small(picture(0, side=20), 20, 20)
    assert tiny.shape == (20, 20, 3)
    shown = decode(base64.b64decode(encode(pixels, 96)), 3)
    assert shown.shape == (32, 96, 3)


def test_pictures_are_as_large_as_fit() -> None:
    rng = np.random.default_rng(0)
    images = [rng.integers(0, 255, (192, 192, 3), np.uint8) for _ in range(6)]
    sizes = {side: sum(len(encode(each, side)) + 3 for each in images) for side in SIDES}
    for side in SIDES:
        found = fitting(images, sizes[side])
        assert (found.side, found.size) == (side, sizes[side])
    assert fitting(images, 10).side == SIDES[-1]


def test_galleries_that_do_not_fit_are_left_out_from_the_last(part: Part) -> None:
    galleries = [class_gallery(part, index, "") for index in range(12)]
    rng = np.random.default_rng(0)
    keys = picture_keys(galleries, [])
    assert len(set(keys)) == len(keys)
    images = {key: rng.integers(0, 255, (SIDES[0], 48, 3), np.uint8) for key in keys}
    whole, count = pictured(galleries, images, 10**8)
    assert count == 12
    assert len(whole.thumbnails.encoded) == len(keys)
    assert whole.thumbnails.side == SIDES[0]
    for room in (whole.size // 2, whole.size // 60, 20):
        fits, count = pictured(galleries, images, room)
        assert fits.size <= room
        assert len(fits.galleries) == count
        numbers = [
            card["picture"]
            for each in fits.galleries
            for row in each["rows"]
            for card in row["cards"]
        ]
        assert sorted(set(numbers)) == list(range(len(fits.thumbnails.encoded)))
    assert count == 0


def test_heat_maps_come_beside_their_images(part: Part) -> None:
    gallery = class_gallery(part, 3, "")
    heated = [(gallery.cards[0].id, 3), (gallery.cards[1].id, 4)]
    keys = picture_keys([gallery], heated)
    assert [key for key in keys if key[1] is not None] == heated[:1]
    images = {key: np.zeros((8, 8, 3), np.uint8) for key in keys}
    fits, _ = pictured([gallery], images, 10**6)
    cards = [card for row in fits.galleries[0]["rows"] for card in row["cards"]]
    assert [("heat" in card) for card in cards] == [True, *[False] * 9]
    assert cards[0]["heat"] == keys.index(heated[0])


def test_json_cannot_leave_its_script() -> None:
    text = as_json(Gallery("</script><!-- & \u2028", {}).title)
    assert not set("<>&\u2028") & set(text)
