"""What a stage or command prints, and exits with."""

import subprocess
import sys

import pytest

from tests.conftest import ROOT

PROGRAM = """
import sys
import threading
from foldwise.core.errors import UserError, run

def main():
    print("some output")
    {body}

run(main)
print("never comes here")
"""


def started(body: str) -> subprocess.CompletedProcess[str]:
    code = PROGRAM.format(body=body)
    return subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False
    )


@pytest.mark.parametrize(
    ("body", "code", "said"),
    [
        ("pass", 0, ""),
        ("raise UserError('a.csv: row 2: bad\\nvery; mend it')", 1,
         "error: a.csv: row 2: bad very; mend it\n"),
        ("raise UserError('one', 'two')", 1, "error: one\nerror: two\n"),
        ("raise OSError(28, 'No space left on device', 'data/x')", 1,
         "error: data/x: no space left; free some\n"),
        ("raise KeyboardInterrupt", 130, "interrupted\n"),
    ],
)  # fmt: skip
def test_what_a_user_can_mend_is_one_line_each(body: str, code: int, said: str) -> None:
    result = started(body)
    assert (result.returncode, result.stdout, result.stderr) == (code, "some output\n", said)


@pytest.mark.parametrize("body", ["1 / 0", "raise OSError(5, 'Input/output error')"])
def test_a_bug_keeps_its_traceback(body: str) -> None:
    result = started(body)
    assert result.returncode == 1
    assert "Traceback (most recent call last)" in result.stderr


def test_what_was_registered_for_the_exit_happens() -> None:
    result = started("import atexit; atexit.register(print, 'at the end')")
    assert result.stdout == "some output\nat the end\n"
