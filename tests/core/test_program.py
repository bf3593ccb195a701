"""What a stage or command prints, and exits with."""

import subprocess
import sys

import pytest

from tests.conftest import ROOT

PROGRAM = """
import sys
import threading
from foldwise.core.errors import UserError
from foldwise.core.program import run

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
         "error: data/x: no space left; free some, and run again\n"),
        ("raise OSError(13, 'Permission denied', 'data/x')", 1,
         "error: data/x: may not be read or written; change its permissions, or whose it is\n"),
        ("raise OSError(30, 'Read-only file system', 'data/x')", 1,
         "error: data/x: lies on a file system that may only be read; work in a copy elsewhere\n"),
        ("raise KeyboardInterrupt", 130, "interrupted\n"),
    ],
)  # fmt: skip
def test_what_a_user_can_mend_is_one_line_each(body: str, code: int, said: str) -> None:
    result = started(body)
    assert (result.returncode, result.stdout, result.stderr) == (code, "some output\n", said)


def test_a_full_disk_is_told_whatever_a_library_made_of_it() -> None:
    body = """
    try:
        raise OSError(28, 'No space left on device', 'data/x.npz')
    finally:
        raise ValueError("cannot close the archive")
    """
    result = started(body)
    assert result.returncode == 1
    assert result.stderr == "error: data/x.npz: no space left; free some, and run again\n"


@pytest.mark.parametrize("child", [False, True])
def test_sigterm_is_one_line_and_143(child: bool) -> None:
    """Also while it waits for something, and after what it has begun is cleaned up."""
    body = f"""
    import os, signal, time
    try:
        os.kill(os.getpid(), signal.SIGTERM)
        {"threading.Event().wait(60)" if child else "time.sleep(60)"}
    finally:
        os.kill(os.getpid(), signal.SIGTERM)
        print("cleaned up")
    """
    result = started(body)
    assert result.returncode == 143
    assert result.stdout == "some output\ncleaned up\n"
    assert result.stderr == "ended by SIGTERM; run again to go on\n"


def test_a_reader_who_has_seen_enough_is_no_error() -> None:
    body = "for _ in range(100_000): print('line')"
    code = PROGRAM.format(body=body)
    with subprocess.Popen(
        [sys.executable, "-c", code], cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.readline()
        process.stdout.close()
        assert process.stderr.read() == b""
    assert process.returncode == 141


@pytest.mark.parametrize(
    "body",
    [
        "1 / 0",
        "raise OSError(5, 'Input/output error')",
        "raise PermissionError(13, 'no file named')",
    ],
)
def test_a_bug_keeps_its_traceback(body: str) -> None:
    result = started(body)
    assert result.returncode == 1
    assert "Traceback (most recent call last)" in result.stderr


def test_what_was_registered_for_the_exit_happens() -> None:
    result = started("import atexit; atexit.register(print, 'at the end')")
    assert result.stdout == "some output\nat the end\n"
