"""What README.md and docs/ are made of: headings, links, fenced blocks, code in prose, commands."""

import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from tests.conftest import ROOT

README = ROOT / "README.md"
PAGES = [README, *sorted((ROOT / "docs").rglob("*.md"))]

FENCE = re.compile(r"```(.*)")
HEADING = re.compile(r"(#+) (.*)")
COMMENT = re.compile(r"<!-- (.*) -->")
CODE = re.compile(r"`([^`]+)`")
LINK = re.compile(r"\]\(([^()\s]+)\)")
COPY = re.compile(r"cp (recipes/\S+) params\.yaml")


@dataclass(frozen=True)
class Piece:
    """A heading, a comment, a fenced block, or lines of prose up to any of these."""

    page: Path
    line: int
    kind: str
    """`heading`, `comment`, `prose`, or `fence:<language>`."""
    text: str

    def __str__(self) -> str:
        return f"{self.page.relative_to(ROOT)}:{self.line}"


def pieces(page: Path, text: str | None = None) -> list[Piece]:
    """A page from its top; `text` instead of what the file holds."""
    found: list[Piece] = []
    prose: list[str] = []
    block: list[str] | None = None
    start, language = 0, ""
    lines = (page.read_text(encoding="utf-8") if text is None else text).splitlines()

    def end_prose(number: int) -> None:
        if any(map(str.strip, prose)):
            found.append(Piece(page, number - len(prose), "prose", "\n".join(prose)))
        prose.clear()

    for number, line in enumerate(lines, 1):
        fence = FENCE.fullmatch(line)
        if block is not None:
            if fence:
                found.append(Piece(page, start, f"fence:{language}", "\n".join(block)))
                block = None
            else:
                block.append(line)
        elif fence:
            end_prose(number)
            block, start, language = [], number, fence[1]
        elif match := HEADING.fullmatch(line) or COMMENT.fullmatch(line):
            end_prose(number)
            kind = "heading" if line.startswith("#") else "comment"
            found.append(Piece(page, number, kind, match[match.lastindex or 0]))
        else:
            prose.append(line)
    assert block is None, f"{page}:{start}: a fence that nothing ends"
    end_prose(len(lines) + 1)
    return found


@dataclass(frozen=True)
class Snippet:
    """A fenced block of YAML."""

    piece: Piece
    mark: str
    """The comment that stands right before it, or nothing."""


def snippets(page: Path, text: str | None = None) -> list[Snippet]:
    """All YAML of a page."""
    whole = pieces(page, text)
    before = [None, *whole]
    return [
        Snippet(each, last.text if last and last.kind == "comment" else "")
        for last, each in zip(before, whole, strict=False)
        if each.kind == "fence:yaml"
    ]


@dataclass(frozen=True)
class Command:
    """A command that a page tells its readers to run."""

    piece: Piece
    words: tuple[str, ...]
    recipe: str | None
    """The recipe that params.yaml was made a copy of, by then, in this part of the page."""
    fenced: bool
    """Of a shell block, where nothing but commands may stand."""

    def __str__(self) -> str:
        return f"{self.piece}: {shlex.join(self.words)}"


def commands(page: Path, text: str | None = None) -> Iterator[Command]:
    """All commands in shell blocks, and what may be one in prose."""
    recipe = None
    for piece in pieces(page, text):
        if piece.kind == "heading":
            recipe = None
        elif piece.kind in ("fence:sh", "prose"):
            fenced = piece.kind == "fence:sh"
            for line in piece.text.splitlines() if fenced else codes(piece):
                if match := COPY.search(line):
                    recipe = match[1] if fenced else None
                for part in line.split("&&"):
                    if words := _words(part):
                        yield Command(piece, words, recipe, fenced)


def _words(line: str) -> tuple[str, ...]:
    try:
        return tuple(shlex.split(line, comments=True))
    except ValueError:
        # An apostrophe, say: code in prose that is no command.
        return ()


def codes(piece: Piece) -> list[str]:
    """Code in prose."""
    return [" ".join(each.split()) for each in CODE.findall(piece.text)]


def links(page: Path) -> list[tuple[Piece, str]]:
    """Addresses within the repository, as they are written."""
    return [
        (piece, address)
        for piece in pieces(page)
        if piece.kind in ("prose", "heading")
        for address in LINK.findall(piece.text)
        if "://" not in address
    ]


def anchors(page: Path) -> set[str]:
    """Names of a page's headings in addresses, as GitHub makes them."""
    found: dict[str, int] = {}
    names = set()
    for piece in pieces(page):
        if piece.kind == "heading":
            plain = re.sub(r"[^\w\- ]", "", piece.text.lower()).replace(" ", "-")
            names.add(f"{plain}-{found[plain]}" if plain in found else plain)
            found[plain] = found.get(plain, 0) + 1
    return names
