"""The map in a real browser: by pointer, finger and keyboard, in the light and in the dark."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from playwright.sync_api import Browser, Page

from stages import present
from tests.chromium import needs_chromium
from tests.report.test_browser import CONTRAST
from tests.runs import write_run

pytestmark = needs_chromium
NAMES = ["cat", "<img src=x onerror=alert(1)>", 'a & "b"', "007"]


@pytest.fixture(scope="module")
def reports(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Pages of images with several labels, and with one of few or of many."""
    found = {}
    many = [f"class {each}" for each in range(12)]
    for kind, names in (("several", NAMES), ("one", NAMES), ("many", many)):
        folder = tmp_path_factory.mktemp(kind) / "run"
        write_run(folder, names, 60, single=kind != "several")
        with pytest.MonkeyPatch.context() as patch:
            patch.chdir(folder)
            present.main()
        found[kind] = folder / "plots/report.html"
    return found


class Mapped:
    """A page whose map is drawn, and nothing complained of."""

    def __init__(
        self, browser: Browser, report: Path, width: int = 1280, dark: bool = False
    ) -> None:
        self.context = browser.new_context(
            viewport={"width": width, "height": 900},
            color_scheme="dark" if dark else "light",
            has_touch=width < 500,
        )
        self.complaints: list[str] = []
        self.page: Page = self.context.new_page()
        self.page.on("console", lambda each: self.complaints.append(each.text))
        self.page.on("pageerror", lambda each: self.complaints.append(str(each)))
        self.page.goto(report.as_uri())
        self.page.wait_for_selector("#map-canvas[data-drawn]")
        self.map: dict[str, Any] = self.page.evaluate(
            "JSON.parse(document.getElementById('data').textContent).map"
        )
        self.canvas = self.page.locator("#map-canvas")

    def drawn(self) -> np.ndarray:
        """(images, 2): where each is drawn on the screen, as the whole map is shown."""
        self.canvas.scroll_into_view_if_needed()
        box = self.canvas.bounding_box()
        assert box
        places = np.stack([self.map["x"], self.map["y"]], 1) / self.map["scale"]
        return np.array([box["x"], box["y"]]) + places * (box["width"] - 28) + 14

    def at(self, number: int) -> tuple[float, float]:
        """Where one is drawn."""
        x, y = self.drawn()[number].tolist()
        return x, y

    def lonely(self) -> int:
        """The image that is farthest from any other."""
        points = np.stack([self.map["x"], self.map["y"]], 1)
        far = np.linalg.norm(points[:, None] - points, axis=2)
        np.fill_diagonal(far, np.inf)
        return int(far.min(1).argmax())

    def beside(self, number: int, pixels: float) -> tuple[float, float]:
        """So far from an image, on the side where the next one is farthest: by a loop."""
        points = self.drawn()
        others = np.delete(points, number, axis=0)
        angles = np.linspace(0, 2 * np.pi, 16, endpoint=False)
        around = points[number] + pixels * np.stack([np.cos(angles), np.sin(angles)], 1)
        free = [np.linalg.norm(others - each, axis=1).min() for each in around]
        assert max(free) > pixels + 1, "no layout of so many images leaves none alone"
        x, y = around[int(np.argmax(free))]
        return float(x), float(y)

    def chosen(self) -> str:
        return self.page.text_content("#map-id") or ""

    def done(self) -> None:
        assert self.complaints == []
        self.context.close()


@pytest.fixture(params=["several", "one", "many"])
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def test_the_pointer_shows_an_image(browser: Browser, reports: dict[str, Path], kind: str) -> None:
    mapped = Mapped(browser, reports[kind])
    number = mapped.lonely()
    mapped.page.mouse.move(*mapped.at(number))
    mapped.page.wait_for_selector("#map-id")
    assert mapped.chosen() == mapped.map["ids"][number]
    names = NAMES if kind != "many" else [f"class {each}" for each in range(12)]
    shown = mapped.page.locator("#map-shown .label").all_text_contents()
    both = {*mapped.map["labels"][number], *mapped.map["predicted"][number]}
    assert sorted(shown) == sorted(names[each] for each in both)
    # Its picture is drawn, and not an empty one.
    painted = mapped.page.evaluate(
        """() => { const c = document.querySelector("#map-shown canvas");
        const d = c.getContext("2d").getImageData(0, 0, c.width, c.height).data;
        return [new Set(d).size, d[3]]; }"""
    )
    assert painted[0] > 20
    assert painted[1] == 255
    # A pointer that passes says nothing aloud; a click does, and stays with the image.
    assert mapped.page.text_content("#map-said") == ""
    mapped.page.mouse.click(*mapped.at(number))
    assert mapped.map["ids"][number] in (mapped.page.text_content("#map-said") or "")
    points = mapped.drawn()
    other = int(np.argmax(np.linalg.norm(points - points[number], axis=1) > 60))
    mapped.page.mouse.move(*mapped.at(other))
    assert mapped.chosen() == mapped.map["ids"][number]
    mapped.done()


def nearest_right(found: dict[str, Any], number: int) -> int:
    """By a loop: within 45 degrees of the right, the nearest; itself if there is none."""
    best, least = number, np.inf
    for other in range(len(found["ids"])):
        right = found["x"][other] - found["x"][number]
        down = found["y"][other] - found["y"][number]
        if right > 0 and abs(down) <= right and np.hypot(right, down) < least:
            best, least = other, np.hypot(right, down)
    return best


def test_the_keyboard_walks_and_is_read_out(browser: Browser, reports: dict[str, Path]) -> None:
    mapped = Mapped(browser, reports["several"])
    page = mapped.page
    assert mapped.canvas.get_attribute("role") == "application"
    assert "90 images" in (mapped.canvas.get_attribute("aria-label") or "")
    assert page.locator("#map-said").get_attribute("aria-live") == "polite"
    # By Tab: the button before it, then the map.
    page.focus("#map-whole")
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.id") == "map-canvas"
    page.keyboard.press("ArrowLeft")
    for _ in range(5):
        before = mapped.map["ids"].index(mapped.chosen())
        page.keyboard.press("ArrowRight")
        assert mapped.chosen() == mapped.map["ids"][nearest_right(mapped.map, before)]
    number = mapped.map["ids"].index(mapped.chosen())
    said = page.text_content("#map-said") or ""
    assert said.startswith(f"Image {mapped.chosen()}, ")
    named = ", ".join(NAMES[each] for each in mapped.map["labels"][number]) or "none"
    assert f"Labels: {named}. Predicted: " in said
    page.keyboard.press("PageDown")
    assert mapped.chosen() == mapped.map["ids"][(number + 1) % 90]
    page.keyboard.press("PageUp")
    assert mapped.chosen() == mapped.map["ids"][number]
    # There and back.
    page.keyboard.press("ArrowUp")
    page.keyboard.press("+")
    page.keyboard.press("+")
    inside = page.evaluate("document.getElementById('map-canvas').dataset.drawn")
    assert inside == "90"
    page.keyboard.press("0")
    mapped.done()


def test_enter_leads_to_the_galleries_and_a_card_back(
    browser: Browser, reports: dict[str, Path]
) -> None:
    mapped = Mapped(browser, reports["several"])
    page = mapped.page
    cards = page.evaluate(
        """JSON.parse(document.getElementById("data").textContent).galleries.filter(
            (each) => each.class !== null).at(-1).rows.at(-1).cards.map((each) => each.id)"""
    )
    first = page.locator(".shot .to-map").first
    id = page.locator(".shot:has(.to-map)").first.get_attribute("data-image")
    first.click()
    assert mapped.chosen() == id
    assert page.evaluate("document.activeElement.id") == "map-canvas"
    page.keyboard.press("Enter")
    assert page.evaluate("document.activeElement.dataset.image") == id
    assert page.locator(".shot.sought").count() == 1
    # Of a gallery that was not open as well, through the button.
    page.click("#close-all")
    page.focus("#map-canvas")
    for _ in range(90):
        if mapped.chosen() == cards[-1]:
            break
        page.keyboard.press("PageDown")
    page.click("#map-open")
    assert page.evaluate("document.activeElement.dataset.image") == cards[-1]
    box = page.locator(".shot.sought").bounding_box()
    assert box
    assert -box["height"] < box["y"] < 900
    mapped.done()


def colours(page: Page) -> dict[str, int]:
    """The legend: a name and how many images."""
    texts = page.locator("#map-legend li").all_text_contents()
    return {each.rpartition(" (")[0]: int(each.rpartition(" (")[2][:-1]) for each in texts}


def test_colours_by_class_error_fold_and_part(
    browser: Browser, reports: dict[str, Path], kind: str
) -> None:
    mapped = Mapped(browser, reports[kind])
    page, found = mapped.page, mapped.map
    many = kind != "one"
    assert page.is_visible("#map-class") == many
    names = [f"class {each}" for each in range(12)] if kind == "many" else NAMES
    before = page.evaluate("document.getElementById('map-canvas').toDataURL()")
    if many:
        page.select_option("#map-class", "2")
        given = np.array([2 in each for each in found["labels"]])
        said = np.array([2 in each for each in found["predicted"]])
        expected = {
            f"{names[2]}, found": (given & said).sum(),
            f"{names[2]}, missed": (given & ~said).sum(),
            f"{names[2]}, wrongly added": (~given & said).sum(),
            "without it": (~given & ~said).sum(),
        }
    else:
        expected = {
            name: sum(each == [index] for each in found["labels"])
            for index, name in enumerate(names)
        }
    assert colours(page) == {name: count for name, count in expected.items() if count}
    page.select_option("#map-colour", "error")
    wrong = sum(each > 0 for each in found["wrong"])
    assert colours(page) == {"a label is wrongly predicted": wrong, "all as labelled": 90 - wrong}
    page.select_option("#map-colour", "fold")
    assert colours(page) == {"test part, no fold": 30, "fold 0": 30, "fold 1": 30}
    page.select_option("#map-colour", "part")
    assert colours(page) == {"out-of-fold": 60, "test": 30}
    assert page.evaluate("document.getElementById('map-canvas').toDataURL()") != before
    assert not page.is_visible("#map-class")
    mapped.done()


def test_a_finger_on_a_narrow_screen_in_the_dark(
    browser: Browser, reports: dict[str, Path]
) -> None:
    mapped = Mapped(browser, reports["several"], width=360, dark=True)
    page = mapped.page
    assert page.evaluate("document.documentElement.scrollWidth - innerWidth") <= 0
    box = mapped.canvas.bounding_box()
    assert box
    assert 300 < box["width"] <= 360
    number = mapped.lonely()
    # A finger is no pointer: beside it is near enough.
    page.touchscreen.tap(*mapped.beside(number, 5.5))
    page.wait_for_selector("#map-id")
    assert mapped.chosen() == mapped.map["ids"][number]
    assert mapped.chosen() in (page.text_content("#map-said") or "")
    assert page.evaluate(CONTRAST) == []
    assert page.evaluate("document.documentElement.scrollWidth - innerWidth") <= 0
    targets = page.evaluate(
        """[...document.querySelectorAll("#map button, #map select")].filter((e) => e.offsetParent)
        .map((e) => e.getBoundingClientRect().height)"""
    )
    assert min(targets) >= 32
    mapped.done()


LOOKS = """() => {
  const canvas = document.getElementById("map-canvas");
  const paper = getComputedStyle(canvas).backgroundColor.match(/\\d+/g).map(Number);
  const copy = document.createElement("canvas");
  [copy.width, copy.height] = [canvas.width, canvas.height];
  const pen = copy.getContext("2d", { willReadFrequently: true });
  pen.drawImage(canvas, 0, 0);
  const data = pen.getImageData(0, 0, canvas.width, canvas.height).data;
  const light = (rgb) => {
    const [r, g, b] = rgb.map((v) => v / 255)
      .map((v) => (v <= 0.03928 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4));
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  let least = Infinity;
  let count = 0;
  for (let at = 0; at < data.length; at += 4) {
    if (data[at + 3] < 255) continue;
    count++;
    const [x, y] = [light([...data.slice(at, at + 3)]), light(paper)].sort((p, q) => q - p);
    least = Math.min(least, (x + 0.05) / (y + 0.05));
  }
  return [least, count];
}"""


def test_points_stand_out_in_the_light_and_in_the_dark(
    browser: Browser, reports: dict[str, Path]
) -> None:
    """Contrast of 3 to 1, as WCAG 2.1 asks of graphics, and colours that follow the theme."""
    mapped = Mapped(browser, reports["several"])
    seen: list[str] = []
    for scheme in ("light", "dark"):
        mapped.page.emulate_media(color_scheme="dark" if scheme == "dark" else "light")
        # At once, before another colour is asked for.
        mapped.page.wait_for_function(
            "(seen) => !seen.includes(document.getElementById('map-canvas').toDataURL())",
            arg=seen,
        )
        for colour in ("class", "error", "part"):
            mapped.page.select_option("#map-colour", colour)
            least, count = mapped.page.evaluate(LOOKS)
            assert count > 90
            assert least >= 3, (scheme, colour)
        seen.append(mapped.page.evaluate("document.getElementById('map-canvas').toDataURL()"))
    assert seen[0] != seen[1]
    mapped.done()
