"""The report in a real browser without a network."""

import json
from collections.abc import Iterator
from pathlib import Path

import pandas as pd
import pytest
from playwright.sync_api import Browser, Page, Route

from foldwise.review.answer_file import read_answers
from stages import present
from tests.chromium import needs_chromium
from tests.runs import write_run
from tests.studies import write_study

pytestmark = needs_chromium
NAMES = ["cat", "<img src=x onerror=alert(1)>", 'a & "b"', "NA", "007", "}}{{", "line\u2028end"]
DRAWN = (
    "+document.documentElement.dataset.drawn === document.querySelectorAll('[data-chart]').length"
)


@pytest.fixture(scope="module")
def reports(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Pages of images with several labels, of such with a study, and of images with one label."""
    found = {}
    one = [f"class {each}" for each in range(120)]
    for kind, names in (("several", NAMES), ("study", NAMES), ("one", one)):
        folder = tmp_path_factory.mktemp(kind) / "run"
        write_run(folder, names, 160 if kind == "one" else 40, single=kind == "one")
        if kind == "study":
            write_study(folder)
        with pytest.MonkeyPatch.context() as patch:
            patch.chdir(folder)
            present.main()
        found[kind] = folder / "plots/report.html"
    return found


class Opened:
    """A page with all that it said and asked for."""

    def __init__(self, browser: Browser, report: Path, width: int, scheme: str) -> None:
        dark = scheme == "dark"
        context = browser.new_context(
            viewport={"width": width, "height": 900}, color_scheme="dark" if dark else "light"
        )
        self.complaints: list[str] = []
        self.requests: list[str] = []
        self.page: Page = context.new_page()
        self.page.on("console", lambda each: self.complaints.append(f"{each.type}: {each.text}"))
        self.page.on("pageerror", lambda each: self.complaints.append(str(each)))
        self.page.route("**/*", self._asked)
        self.page.goto(report.as_uri())
        self.page.wait_for_function(DRAWN)

    def _asked(self, route: Route) -> None:
        self.requests.append(route.request.url)
        route.continue_() if route.request.url.startswith("file://") else route.abort()


@pytest.fixture(
    scope="module",
    params=[("several", 1280, "light"), ("study", 390, "dark"), ("one", 390, "light")],
    ids=["several labels, desktop", "a study, phone, dark", "one label, phone"],
)
def shared(
    request: pytest.FixtureRequest, browser: Browser, reports: dict[str, Path]
) -> Iterator[Opened]:
    kind, width, scheme = request.param
    found = Opened(browser, reports[kind], width, scheme)
    yield found
    found.page.context.close()


@pytest.fixture
def opened(shared: Opened) -> Iterator[Opened]:
    yield shared
    # Whatever a test did with the page.
    assert shared.complaints == []
    assert shared.requests == [shared.page.url]


def test_every_chart_is_drawn(opened: Opened) -> None:
    page = opened.page
    specs = page.evaluate(
        "Object.keys(JSON.parse(document.getElementById('data').textContent).specs)"
    )
    assert len(specs) >= 12
    for name in specs:
        chart = page.locator(f"#chart-{name} svg")
        assert chart.count() == 1, name
        box = chart.bounding_box()
        assert box
        assert box["width"] > 200, name
        assert box["height"] > 50, name
        assert page.locator(f"#chart-{name} .mark-line path, #chart-{name} .mark-symbol path, "
                            f"#chart-{name} .mark-rect path").count(), name  # fmt: skip


def test_nothing_is_wider_than_the_screen(opened: Opened) -> None:
    page = opened.page
    page.click("#open-all")
    page.click("text=All params")
    assert page.evaluate("document.documentElement.scrollWidth - innerWidth") <= 0
    # What is wide scrolls by itself, and a chart is no wider than what it stands in.
    outside = page.evaluate(
        """[...document.querySelectorAll('[data-chart]')].filter((each) =>
            each.querySelector('svg').getBoundingClientRect().width > each.clientWidth + 1
        ).map((each) => each.dataset.chart)"""
    )
    assert outside == []


def test_images_are_there(opened: Opened) -> None:
    page = opened.page
    page.click("#open-all")
    page.wait_for_function(
        "[...document.querySelectorAll('details.class')].every((each) => each.children[1])"
    )
    page.wait_for_function("[...document.images].every((each) => each.complete)")
    sizes = page.evaluate("[...document.images].map((each) => each.naturalWidth)")
    assert len(sizes) > 70
    assert min(sizes) > 0
    assert page.locator(".shot .id").first.text_content()


@pytest.mark.slow
def test_the_table_is_sorted_by_its_headers(opened: Opened) -> None:
    page = opened.page

    def column(number: int) -> list[str]:
        return page.locator(f"#class-table tbody tr > :nth-child({number + 1})").all_text_contents()

    headers = page.locator("#class-table thead th button")
    classes = column(0)
    hardest = [float(each) for each in column(3) if each != "-"]
    assert hardest == sorted(hardest)
    for number in range(1, headers.count()):
        for clicked in (1, 2):
            headers.nth(number).click()
            said = page.locator("#class-table thead th").nth(number).get_attribute("aria-sort")
            values = [float(each) for each in column(number) if each != "-"]
            assert values == sorted(values, reverse=said == "descending"), (number, clicked)
            assert "-" not in column(number)[: len(values)]
    # By keys as well.
    headers.nth(0).focus()
    page.keyboard.press("Enter")
    assert page.locator("#class-table thead th").nth(0).get_attribute("aria-sort") == "ascending"
    assert sorted(column(0)) == sorted(classes)
    assert column(0) != classes
    page.fill("#filter", classes[0][:4])
    assert column(0) == [each for each in column(0) if classes[0][:4] in each]
    assert page.locator("#counted").text_content() == f"{len(column(0))} of {len(classes)} classes"


def test_a_picked_class_is_drawn_and_stays(opened: Opened) -> None:
    page = opened.page
    lines = page.locator("#chart-class_curve .mark-line path")
    tails = page.locator("#chart-tail_accuracy .mark-line path")
    first = lines.get_attribute("d")
    names = page.locator("#picked option").all_text_contents()
    page.select_option("#picked", names[-1])
    path = "document.querySelector('#chart-class_curve .mark-line path')"
    page.wait_for_function(f"{path}.getAttribute('d') !== {json.dumps(first)}")
    second = lines.get_attribute("d")
    assert (lines.count(), tails.count()) == (1, 2)
    # Also when the reader turns the light on or off.
    dark = page.evaluate("matchMedia('(prefers-color-scheme: dark)').matches")
    for turned in (not dark, dark):
        page.evaluate("document.documentElement.dataset.drawn = '0'")
        page.emulate_media(color_scheme="dark" if turned else "light")
        page.wait_for_function(DRAWN)
        assert lines.get_attribute("d") == second


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_letters_and_lines_stand_out(
    browser: Browser, reports: dict[str, Path], scheme: str
) -> None:
    """Contrast of 4.5 to 1 for text and 3 to 1 for lines, as WCAG 2.1 asks."""
    opened = Opened(browser, reports["study"], 1280, scheme)
    assert opened.page.evaluate(CONTRAST) == []
    # The charts follow when the reader turns the light off or on.
    opened.page.evaluate("document.documentElement.dataset.drawn = '0'")
    opened.page.emulate_media(color_scheme="light" if scheme == "dark" else "dark")
    opened.page.wait_for_function(DRAWN)
    assert opened.page.evaluate(CONTRAST) == []
    assert opened.complaints == []
    opened.page.context.close()


def test_a_trial_is_followed_over_all_axes(browser: Browser, reports: dict[str, Path]) -> None:
    """The line below the pointer becomes thick, and one alone; the pointer says which it is."""
    opened = Opened(browser, reports["study"], 1280, "light")
    lines = opened.page.locator("#chart-tune_parallel .mark-line path")
    # As many as there are complete trials but the base.
    assert lines.count() == 15
    widths = "(all) => all.map((each) => Number(each.getAttribute('stroke-width')))"
    assert max(lines.evaluate_all(widths)) < 3
    lines.last.dispatch_event("pointerover", {"bubbles": True})
    thick = "[...document.querySelectorAll('#chart-tune_parallel .mark-line path')]"
    opened.page.wait_for_function(
        f"{thick}.filter((each) => Number(each.getAttribute('stroke-width')) > 4).length === 1"
    )
    assert opened.complaints == []
    opened.page.context.close()


CONTRAST = """() => {
  const parse = (text) => text.match(/[\\d.]+/g).map(Number);
  const light = (rgb) => {
    const [r, g, b] = rgb.slice(0, 3).map((v) => v / 255)
      .map((v) => (v <= 0.03928 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4));
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const paper = (element) => {
    for (let each = element; each; each = each.parentElement) {
      const colour = parse(getComputedStyle(each).backgroundColor);
      if (colour.length === 3 || colour[3] > 0.99) return colour;
    }
    throw new Error("no background");
  };
  const ratio = (a, b) => {
    const [x, y] = [light(a), light(b)].sort((p, q) => q - p);
    return (x + 0.05) / (y + 0.05);
  };
  const weak = [];
  const check = (element, colour, least) => {
    if (colour === "none") return;
    const found = ratio(parse(colour), paper(element));
    if (found < least) weak.push([element.textContent.slice(0, 40), colour, found]);
  };
  const texts = "h1,h2,h3,p,dt,dd,summary,figcaption,th button,td,label,nav a,"
    + ".label,.verdict,.part,.value,.interval";
  for (const each of document.querySelectorAll(texts)) {
    if (each.textContent.trim()) check(each, getComputedStyle(each).color, 4.5);
  }
  for (const each of document.querySelectorAll("svg text")) {
    if (each.textContent) check(each, getComputedStyle(each).fill, 4.5);
  }
  for (const each of document.querySelectorAll("svg .mark-line path")) {
    check(each, getComputedStyle(each).stroke, 3);
  }
  return weak;
}"""


@pytest.mark.parametrize("kind", ["several", "one"])
def test_suspects_are_answered_and_saved(
    browser: Browser, reports: dict[str, Path], kind: str, tmp_path: Path
) -> None:
    """The file that is saved is one that the review takes over, with the data set's own names."""
    opened = Opened(browser, reports[kind], 390, "dark")
    page = opened.page
    save = page.locator("#save-answers")
    assert save.is_disabled()
    shots = page.locator(".shot:has(.answers)")
    assert shots.count() > 3
    assert page.locator(".answers").count() == shots.count()
    ids = [shots.nth(each).locator(".id").text_content() for each in range(3)]
    for number, why in enumerate(("Right", "Wrong", "Unsure")):
        shots.nth(number).get_by_role("button", name=why, exact=True).click()
    # Said by mistake, and taken back; and one that is answered anew.
    shots.nth(3).get_by_role("button", name="Right").click()
    shots.nth(3).get_by_role("button", name="Right").click()
    shots.nth(0).get_by_role("button", name="Unsure").click()
    shots.nth(0).get_by_role("button", name="Right").click()
    with page.expect_download() as saved:
        save.click()
    assert saved.value.suggested_filename == "corrections.csv"
    saved.value.save_as(tmp_path / "corrections.csv")
    rows = read_answers(tmp_path / "corrections.csv")
    assert [(each.id, each.reason) for each in rows if each.class_name] == [
        (ids[1], "wrong"),
        *([(ids[1], "wrong")] if kind == "one" else []),
        (ids[2], "unsure"),
        (ids[0], "right"),
    ]
    table = pd.read_parquet(reports[kind].parents[1] / "data/labels.parquet").set_index("id")
    for each in rows:
        assert str(table.loc[each.id, each.class_name]) == each.was
        assert (each.was != each.label) == (each.reason == "wrong")
    assert page.evaluate(CONTRAST) == []
    assert page.evaluate("document.documentElement.scrollWidth - innerWidth") <= 0
    assert opened.complaints == []
    page.context.close()
