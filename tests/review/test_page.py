"""The review page beside other windows, what it says of failures, and who can read it."""

import re
import threading
from typing import Any

import pytest
from playwright.sync_api import Browser, Dialog

from foldwise.core.errors import UserError
from foldwise.review.answer_file import read_answers
from foldwise.review.server import ReviewServer
from tests.chromium import needs_chromium
from tests.report.test_browser import CONTRAST
from tests.review.made import CLASSES, serving, session_of
from tests.review.windows import answer_by_key, opened, rows_of, wait_for


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
