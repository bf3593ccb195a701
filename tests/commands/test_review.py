"""The command in a small project, its page in a real browser: the file holds what was answered."""

import os
import re
import signal
import subprocess
import sys
import threading
from argparse import Namespace
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import yaml
from playwright.sync_api import Browser, Dialog, Page, Request

from foldwise.commands.review import add, corrections_path, refuse_odd
from foldwise.core.errors import UserError
from foldwise.review.answer_file import AnswerFile, AnswerRow, as_csv, read_answers
from foldwise.review.server import ReviewServer
from tests.chromium import launched, needs_chromium
from tests.conftest import Project, environment
from tests.report.test_browser import CONTRAST
from tests.review.made import CLASSES, made_run, serving, session_of


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with launched() as opened:
        yield opened


@pytest.fixture(params=[False, True], ids=["several labels", "one label"])
def server(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[ReviewServer]:
    with serving(session_of(made_run(tmp_path / "run", request.param))) as made:
        yield made


@contextmanager
def opened(
    browser: Browser,
    url: str,
    width: int = 1200,
    scheme: str = "light",
    touch: bool = False,
    quiet: bool = True,
) -> Iterator[Page]:
    """A window of the page; nothing may be complained of, or asked for elsewhere."""
    # As a debugger may do, and no page: tests look into this one.
    context = browser.new_context(
        viewport={"width": width, "height": 800},
        color_scheme="dark" if scheme == "dark" else "light",
        has_touch=touch,
        bypass_csp=True,
    )
    complaints: list[str] = []
    page = context.new_page()
    page.on("console", lambda each: complaints.append(f"{each.type}: {each.text}"))
    page.on("pageerror", lambda each: complaints.append(str(each)))

    def asked(request: Request) -> None:
        if not request.url.startswith((url, "data:", "blob:")):
            complaints.append(f"asked {request.url}")

    page.on("request", asked)
    page.goto(url)
    page.wait_for_selector("html[data-shown]")
    yield page
    assert complaints == [] or not quiet
    context.close()


def shown(page: Page) -> int:
    return int(page.get_attribute("html", "data-shown") or -1)


def wait_for(page: Page, number: int) -> None:
    page.wait_for_selector(f"html[data-shown='{number}']")


def rows_of(server: ReviewServer, count: int, page: Page) -> list[AnswerRow]:
    """The file's rows, once there are so many."""
    for _ in range(400):
        rows = server.session.file.rows()
        if len(rows) == count:
            return rows
        page.wait_for_timeout(25)
    raise AssertionError(server.session.file.rows())


def answer_by_key(page: Page, server: ReviewServer, number: int, key: str) -> int:
    """Answer all that is asked of an image; how many rows that makes."""
    wait_for(page, number)
    asked = server.session.suspects[number].asked
    if server.session.single:
        page.keyboard.press(key)
        if key == "w":
            page.keyboard.press("w")
        return 2 if key == "w" else 1
    for _ in asked:
        page.keyboard.press(key)
    return len(asked)


@needs_chromium
def test_the_keyboard_answers(browser: Browser, server: ReviewServer) -> None:
    session = server.session
    suspects = session.suspects
    with opened(browser, server.url) as page:
        assert page.text_content("#id") == suspects[0].id
        count = 0
        for number, key in enumerate("rwu"):
            count += answer_by_key(page, server, number, key)
        wait_for(page, 3)
        rows = rows_of(server, count, page)
        expected = [(suspects[n].id, key) for n, key in enumerate("rwu")]
        for id, key in expected:
            own = [each for each in rows if each.id == id]
            assert {each.why for each in own} == {{"r": "right", "w": "wrong", "u": "unsure"}[key]}
            assert all((each.was != each.label) == (key == "w") for each in own)
        assert page.text_content("#counted") == f"3 of {len(suspects)} answered"
        # Skipped: nothing is written, and it comes again when all else is done.
        page.keyboard.press("s")
        wait_for(page, 4)
        page.keyboard.press("ArrowLeft")
        wait_for(page, 3)
        page.keyboard.press("ArrowRight")
        wait_for(page, 4)
        assert len(session.file.rows()) == count
        assert read_answers(session.file.path) == rows


@needs_chromium
def test_undo_shows_the_image_again(browser: Browser, server: ReviewServer) -> None:
    with opened(browser, server.url) as page:
        first = answer_by_key(page, server, 0, "w")
        second = answer_by_key(page, server, 1, "r")
        wait_for(page, 2)
        before = rows_of(server, first + second, page)
        left = len(before)
        # One answer after the other, the last one first.
        while left:
            page.keyboard.press("z")
            left -= 2 if server.session.single and left == first else 1
            assert rows_of(server, left, page) == before[:left]
            page.wait_for_selector(f"#counted:text-matches('^{int(left >= first)} of ')")
        wait_for(page, 0)
        page.wait_for_selector("#said:text-matches('^Undone')", state="attached")


@needs_chromium
def test_a_class_of_many_is_chosen(browser: Browser, server: ReviewServer) -> None:
    """By its digit, or by its name; of several labels it is one that nobody asked about."""
    session = server.session
    with opened(browser, server.url) as page:
        rows = session.item(0)["classes"]
        place = next(n for n, each in enumerate(rows) if not each["asked"])
        if session.single:
            place = next(n for n, each in enumerate(rows) if each["label"] != 1)
        page.keyboard.press(str(place + 1))
        found = rows_of(server, 2 if session.single else 1, page)
        assert found[-1].class_name == rows[place]["name"]
        assert found[-1].label == str(1 - max(0, rows[place]["label"]))
        if session.single:
            wait_for(page, 1)
            page.keyboard.press("ArrowLeft")
            wait_for(page, 0)
        else:
            # What is asked about is still to be answered.
            assert shown(page) == 0
        page.keyboard.press("/")
        page.keyboard.type(CLASSES[2])
        page.keyboard.press("Enter")
        page.wait_for_selector(f"#classes button[aria-current=true] .name:text-is('{CLASSES[2]}')")
        assert page.locator("#classes b").count() == 0


@needs_chromium
def test_a_note_goes_with_the_answer(browser: Browser, server: ReviewServer) -> None:
    with opened(browser, server.url) as page:
        page.keyboard.press("n")
        # Letters of a note are no answers.
        page.keyboard.type("wrong, surely")
        page.keyboard.press("Enter")
        page.keyboard.press("u")
        (row,) = rows_of(server, 1, page)
        assert row.why == "unsure: wrong, surely"


@needs_chromium
def test_a_key_that_is_held_down_answers_once(browser: Browser, server: ReviewServer) -> None:
    with opened(browser, server.url) as page:
        for _ in range(6):
            page.keyboard.down("r")
        page.keyboard.up("r")
        page.wait_for_timeout(300)
        assert len(server.session.file.rows()) == 1


@needs_chromium
def test_two_windows_do_no_harm(browser: Browser, server: ReviewServer) -> None:
    """Of two servers, even, on one file."""
    folder = server.session.file.path.parent
    with (
        serving(session_of(folder)) as second,
        opened(browser, server.url) as one,
        opened(browser, second.url) as other,
    ):
        count = answer_by_key(one, server, 0, "r")
        rows_of(server, count, one)
        # The other window had it on its screen, and answers the next one as well.
        count += answer_by_key(other, second, 0, "u")
        count += answer_by_key(other, second, 1, "u")
        rows = rows_of(server, count, other)
        # With its next answer the first window learns what the other one did.
        wait_for(one, 1)
        count += answer_by_key(one, server, 1, "r")
        count += answer_by_key(one, server, 2, "r")
        found = rows_of(server, count, one)
        assert found[: len(rows)] == rows
        one.wait_for_selector("#counted:text-matches('^3 of ')")
        assert read_answers(server.session.file.path) == found


@needs_chromium
@pytest.mark.parametrize("key", ["w", "r", "u"])
def test_what_was_answered_of_another_label_does_not_count(
    browser: Browser, server: ReviewServer, key: str
) -> None:
    """Two windows show the same: when one has answered, the other's key was about that no more."""
    folder = server.session.file.path.parent
    with (
        serving(session_of(folder)) as second,
        opened(browser, server.url) as one,
        opened(browser, second.url, quiet=False) as other,
    ):
        answer_by_key(one, server, 0, "w")
        count = 2 if server.session.single else len(server.session.suspects[0].asked)
        rows = rows_of(server, count, one)
        answer_by_key(other, second, 0, key)
        other.wait_for_selector("#alert:text-matches('answered in another window')")
        # It is shown anew, as it is by now, and nothing was written.
        wait_for(other, 0)
        other.wait_for_selector(".chip:text-is('answered: wrong')")
        other.wait_for_selector(".chip.changed")
        assert server.session.file.rows() == rows
        # Now it is known what is meant.
        other.keyboard.press("r")
        more = rows_of(server, count + 1, other)
        assert more[-1].label == rows[-1 if server.session.single else 0].label
        other.wait_for_selector("#alert", state="hidden")


@needs_chromium
def test_asked_again_a_key_goes_on(browser: Browser, server: ReviewServer) -> None:
    session = server.session
    for number in (0, 1):
        for index in session.suspects[number].asked:
            session.answer(number, "right", index)
    before = len(session.file.rows())
    with (
        serving(session_of(session.file.path.parent, again=True)) as again,
        opened(browser, again.url) as page,
    ):
        count = answer_by_key(page, again, 0, "r")
        wait_for(page, 1)
        count += answer_by_key(page, again, 1, "u")
        wait_for(page, 2)
        rows_of(again, before + count, page)


@needs_chromium
def test_unsure_after_wrong_is_shown_as_it_is_written(
    browser: Browser, server: ReviewServer
) -> None:
    with opened(browser, server.url) as page:
        # Of several labels one that nobody asked about would do; the first of those asked does.
        count = answer_by_key(page, server, 0, "w")
        rows_of(server, count, page)
        wait_for(page, 1)
        page.keyboard.press("ArrowLeft")
        wait_for(page, 0)
        assert page.locator(".chip.changed").count() == count
        page.keyboard.press("u")
        more = 2 if server.session.single else 1
        rows = rows_of(server, count + more, page)[count:]
        assert {(each.was == each.label, each.why) for each in rows} == {(True, "unsure")}
        wait_for(page, 0 if not server.session.single else 1)
        if server.session.single:
            page.keyboard.press("ArrowLeft")
            wait_for(page, 0)
        assert page.locator(".chip.changed").count() == count - more
        assert page.locator(".chip:text-is('answered: unsure')").count() == 1


@needs_chromium
def test_why_there_is_no_heat_map_is_told(browser: Browser, server: ReviewServer) -> None:
    def failing(id: str, index: int) -> bytes:
        raise UserError("models: are missing")

    server.session.heated = True
    server.heat_map = failing
    with opened(browser, server.url, quiet=False) as page:
        page.keyboard.press("h")
        page.wait_for_selector(".waiting:text-is('no heat map: models: are missing')")


@needs_chromium
def test_what_is_not_saved_is_told(browser: Browser, server: ReviewServer) -> None:
    path = server.session.file.path
    with opened(browser, server.url, quiet=False) as page:
        path.write_text("something else\n")
        answer_by_key(page, server, 0, "r")
        page.wait_for_selector("#alert:text-matches('^Not saved: .*its first line must be')")
        assert path.read_text() == "something else\n"
        assert page.text_content("#counted") == f"0 of {len(server.session.suspects)} answered"
        path.unlink()
        page.reload()
        count = answer_by_key(page, server, 0, "r")
        rows_of(server, count, page)
        page.wait_for_selector("#alert", state="hidden")


@needs_chromium
@pytest.mark.parametrize("width", [360, 768])
def test_by_touch_at_a_phones_width(browser: Browser, server: ReviewServer, width: int) -> None:
    with opened(browser, server.url, width, "dark", touch=True) as page:
        assert page.evaluate("document.documentElement.scrollWidth - innerWidth") <= 0
        for name in ("right", "wrong", "unsure", "skip", "undo", "back", "forward"):
            box = page.locator(f"#{name}").bounding_box()
            assert box
            assert min(box["width"], box["height"]) >= 44, (name, box)
            assert box["y"] + box["height"] <= 800, name
        page.tap("#wrong")
        if server.session.single:
            page.locator("#classes button:not([aria-current=true])").last.tap()
        rows = rows_of(server, 2 if server.session.single else 1, page)
        assert rows[-1].why == "wrong"
        page.tap("#undo")
        rows_of(server, 0, page)


@needs_chromium
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_letters_stand_out_and_buttons_have_names(
    browser: Browser, server: ReviewServer, scheme: str
) -> None:
    with opened(browser, server.url, scheme=scheme) as page:
        page.click("summary")
        answer_by_key(page, server, 0, "w")
        wait_for(page, 1)
        page.keyboard.press("ArrowLeft")
        wait_for(page, 0)
        assert page.evaluate(CONTRAST) == []
        more = CONTRAST.replace(
            '"h1,', '"button:not(:disabled),kbd,.chip,.why,.by,.name,figcaption,h1,'
        )
        assert page.evaluate(more) == []
        nameless = page.evaluate(
            """[...document.querySelectorAll("button,input,img")].filter((each) => !(
                each.getAttribute("aria-label") || each.alt || each.textContent.trim()
                || each.labels?.length)).length"""
        )
        assert nameless == 0
        # What a screen reader is told: which image, which class, how it is labelled.
        said = page.text_content("#said") or ""
        assert re.match(rf"Image 1 of {len(server.session.suspects)}\. ", said)
        assert any(name in said for name in CLASSES)
        assert page.get_attribute("#said", "aria-live") == "polite"


@needs_chromium
def test_another_page_of_the_browser_may_write_nothing(
    browser: Browser, server: ReviewServer
) -> None:
    """It knows the address, and is of this machine as well."""
    folder = server.session.file.path.parent
    with serving(session_of(folder)) as foreign:
        page = browser.new_page(bypass_csp=True)
        page.goto(foreign.url)
        body = '{"number": 0, "answer": "right", "index": 0}'
        for kind in ("application/json", "text/plain"):
            for mode in ("cors", "no-cors"):
                page.evaluate(
                    """([url, body, kind, mode]) => fetch(url, {
                        method: "POST", body, mode, headers: {"Content-Type": kind},
                    }).catch(() => null)""",
                    [f"{server.url}answer", body, kind, mode],
                )
        page.close()
    assert not server.session.file.path.exists()


@contextmanager
def started(project: Project, *arguments: str) -> Iterator[str]:
    """The command, as a user starts and ends it; gives its address."""
    command = [sys.executable, "-m", "foldwise", "review", *arguments]
    process = subprocess.Popen(
        command, cwd=project.path, env=environment(), text=True, start_new_session=True,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )  # fmt: skip
    try:
        assert process.stdout
        assert process.stderr
        assert re.fullmatch(r"[\d,]+ images to review, [\d,]+ of them answered; .*\n",
                            process.stdout.readline())  # fmt: skip
        yield process.stdout.readline().strip()
        # As a terminal sends Ctrl-C: to all of its processes.
        os.killpg(process.pid, signal.SIGINT)
        assert "images answered" in process.stdout.read()
        assert "Traceback" not in process.stderr.read()
        assert process.wait() == 0
    finally:
        process.kill()
        process.wait()


@needs_chromium
def test_a_page_with_answers_on_their_way_asks_before_it_is_closed(
    browser: Browser, server: ReviewServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    may, answer = threading.Event(), server.session.answer

    def late(*given: Any, **named: Any) -> Any:
        may.wait(30)
        return answer(*given, **named)

    monkeypatch.setattr(server.session, "answer", late)
    asked: list[str] = []

    def stay(dialog: Dialog) -> None:
        asked.append(dialog.type)
        dialog.dismiss()

    with opened(browser, server.url) as page:
        count = answer_by_key(page, server, 0, "r")
        page.on("dialog", stay)
        page.close(run_before_unload=True)
        page.wait_for_timeout(500)
        assert asked == ["beforeunload"]
        may.set()
        rows_of(server, count, page)
        page.wait_for_timeout(200)
        page.close(run_before_unload=True)
        assert asked == ["beforeunload"]


@needs_chromium
def test_the_command_in_a_project(
    copied: Project, browser: Browser, capsys: pytest.CaptureFixture[str]
) -> None:
    """Answered, ended, started again: what was answered is not asked again."""
    path = copied.path / "corrections.csv"
    with started(copied) as url, opened(browser, url) as page:
        first = page.text_content("#id")
        assert page.locator("#classes .by").first.text_content()
        while page.text_content("#id") == first:
            page.keyboard.press("r")
            page.wait_for_timeout(100)
        page.keyboard.press("h")
        page.wait_for_selector(".picture .heat", timeout=120_000)
        page.wait_for_function("document.querySelector('.heat').naturalWidth > 0")
    rows = read_answers(path)
    assert {each.id for each in rows} == {first}
    assert {each.why for each in rows} == {"right"}
    with started(copied) as url, opened(browser, url) as page:
        assert page.text_content("#id") != first
    with started(copied, "--again") as url, opened(browser, url) as page:
        assert page.text_content("#id") == first
    assert read_answers(path) == rows
    other = copied.path / "colleague.csv"
    path.rename(other)
    copied.command("review", "--add", str(other))
    assert f"{len(rows)} rows of {other} are new, 0 answers left out" in capsys.readouterr().out
    assert read_answers(path) == rows


def test_what_the_command_refuses(copied: Project) -> None:
    params = yaml.safe_load((copied.path / "params.yaml").read_text())
    copied.write_params(params | {"evaluate": params["evaluate"] | {"test": False}})
    assert "evaluate.test: false" in copied.command("review", "--test", code=1)
    assert "--most: 0: must be 1 or more" in copied.command("review", "--most", "0", code=1)
    (copied.path / "corrections.csv").write_text("id\n")
    assert "its first line must be" in copied.command("review", code=1)
    labels = copied.path / "data/labels.parquet"
    content = labels.read_bytes()
    labels.unlink()
    labels.write_bytes(content[:-1])
    assert "labels.parquet: is not what dvc.lock has on record" in copied.command("review", code=1)


@pytest.mark.parametrize(
    ("most", "port", "said"),
    [(0, 0, "--most: 0: "), (-1, 0, "--most: -1: "), (1, -1, "--port: -1: "),
     (1, 65536, "--port: 65536: ")],
)  # fmt: skip
def test_numbers_that_mean_nothing(most: int, port: int, said: str) -> None:
    with pytest.raises(UserError, match=f"^{re.escape(said)}must be"):
        refuse_odd(Namespace(most=most, port=port))
    refuse_odd(Namespace(most=1, port=65535))


def test_what_is_added_and_what_is_left_out_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = made_run(tmp_path / "run", False)
    monkeypatch.chdir(folder)
    labels = pd.read_parquet("data/labels.parquet").set_index("id")
    was = str(labels.at["train/0.png", "cat"])
    first, other = AnswerFile(Path("corrections.csv")), Path("theirs.csv")
    ours = AnswerRow("train/0.png", "cat", was, str(1 - int(was)), "2026-11-26T18:00:00Z", "wrong")
    # Of an image of the test part, whose label was corrected meanwhile: `was` is the source's.
    now = str(labels.at["test/0.png", "007"])
    source = str(1 - int(now))
    Path("data/corrected.csv").write_text(
        f"id,class,was,is,why\ntest/0.png,007,{source},{now},wrong\n"
    )
    new = AnswerRow("test/0.png", "007", source, source, "2026-11-26T18:00:01Z", "right")
    with first.held() as rows:
        rows.append(ours)
    theirs = [ours._replace(label=was, why="right", when="2026-11-26T17:00:00Z"), new]
    other.write_text(as_csv([*theirs, new._replace(class_name="owl")]), encoding="utf-8")
    add(first.path, other)
    assert first.rows() == [ours, new]
    assert capsys.readouterr().out.splitlines() == [
        "left out: test/0.png, owl: there is no such class",
        f"left out: train/0.png, cat: is {was} there; ours, {1 - int(was)}, stays",
        "corrections.csv: 1 rows of theirs.csv are new, 2 answers left out",
    ]


def test_where_answers_go() -> None:
    assert corrections_path({"data": {"corrections": "a/b.csv"}}) == Path("a/b.csv")
    others: list[dict[str, Any]] = [{}, {"data": {}}, {"data": {"corrections": None}}]
    for params in others:
        assert corrections_path(params) == Path("corrections.csv")
