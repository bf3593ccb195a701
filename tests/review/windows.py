"""Windows of the review page in a real browser, and what is pressed in them."""

from collections.abc import Iterator
from contextlib import contextmanager

from playwright.sync_api import Browser, Page, Request

from foldwise.review.answer_file import AnswerRow
from foldwise.review.server import ReviewServer


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
