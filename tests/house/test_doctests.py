"""Every example in the rooms of numbers runs, and every public function of them has one."""

import ast
import doctest
import importlib
from pathlib import Path

import pytest

from tests.imports import MODULES, parsed

RUN = ("scoring", "ensembling", "decision", "embedding", "evaluation", "tuning", "starting")
COMPLETE = ("scoring", "decision", "evaluation")
"""Rooms whose every public name has an example."""
EXEMPT = {
    "fetch_run": "brings the files of a run",
    "paired": "compares the files of two runs",
    "read_parts": "reads the files of a run",
    "read_run": "reads the files of a run",
    "curves_table": "reads the files of a run",
}
FLAGS = doctest.NORMALIZE_WHITESPACE | doctest.ELLIPSIS


def in_rooms(rooms: tuple[str, ...]) -> list[Path]:
    """Their modules."""
    return [path for path in MODULES if path.parent in {Path("foldwise", room) for room in rooms}]


def public(path: Path) -> list[ast.FunctionDef | ast.ClassDef]:
    """A module's public functions, and classes that do something: data and settings do not."""
    return [
        node
        for node in parsed(path).body
        if isinstance(node, ast.FunctionDef)
        or (isinstance(node, ast.ClassDef) and any(map(_behaves, node.body)))
        if not node.name.startswith("_")
    ]


def _behaves(member: ast.stmt) -> bool:
    """Whether a part of a class is a public method, or one of Python's but `__init__`."""
    if not isinstance(member, ast.FunctionDef) or member.name == "__init__":
        return False
    return not member.name.startswith("_") or member.name.endswith("__")


def has_example(node: ast.FunctionDef | ast.ClassDef) -> bool:
    """Whether its docstring shows one; of a class that of a method counts too."""
    parts = [node] + [each for each in ast.walk(node) if isinstance(each, ast.FunctionDef)]
    parser = doctest.DocTestParser()
    return any(parser.get_examples(ast.get_docstring(each) or "") for each in parts)


@pytest.mark.parametrize("path", in_rooms(RUN), ids=str)
def test_examples_say_what_comes_out(path: Path) -> None:
    module = importlib.import_module(".".join(path.with_suffix("").parts))
    assert doctest.testmod(module, optionflags=FLAGS).failed == 0


@pytest.mark.parametrize("path", in_rooms(COMPLETE), ids=str)
def test_every_public_name_has_an_example(path: Path) -> None:
    without = {node.name for node in public(path) if not has_example(node)}
    assert without <= set(EXEMPT)


def test_exemptions_are_needed() -> None:
    found = [node for path in in_rooms(COMPLETE) for node in public(path)]
    assert set(EXEMPT) <= {node.name for node in found if not has_example(node)}
