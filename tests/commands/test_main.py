"""`python -m foldwise`: what there is, and what there is not."""

import sys
from pathlib import Path

import pytest

from foldwise import __main__ as program
from foldwise.core.errors import UserError
from tests.conftest import ROOT


def test_it_lists_every_command_in_a_line(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["foldwise"])
    program.main()
    lines = capsys.readouterr().out.splitlines()
    names = {path.stem.replace("_", "-") for path in (ROOT / "foldwise/commands").glob("*.py")}
    assert {line.split()[0] for line in lines[2:]} == names >= {"apply", "compare", "export"}
    assert all(len(line.split()) > 3 and line.endswith(".") for line in lines[2:])


def test_a_command_that_is_not_there_is_named_with_those_that_are(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(sys, "argv", ["foldwise", "aply", "x.png"])
    with pytest.raises(UserError, match=r"no command 'aply'; there is apply, compare"):
        program.main()


def test_a_command_gets_its_arguments(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["foldwise", "folds-parallel", "--help"])
    with pytest.raises(SystemExit) as ended:
        program.main()
    assert ended.value.code == 0
    assert capsys.readouterr().out.startswith("usage: python -m foldwise folds-parallel")
