"""The review page by its keys: the file holds what was answered."""

from playwright.sync_api import Browser

from foldwise.review.answer_file import read_answers
from foldwise.review.server import ReviewServer
from tests.chromium import needs_chromium
from tests.review.made import CLASSES, serving, session_of
from tests.review.windows import answer_by_key, opened, rows_of, shown, wait_for


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
