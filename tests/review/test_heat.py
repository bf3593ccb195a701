"""The process that makes heat maps ends without a word when the server does."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import ROOT, environment
from tests.review.made import made_run

SCRIPT = """
import time
from pathlib import Path
from foldwise.core.errors import UserError
from foldwise.images.store import ImageStore
from foldwise.review.heat import heat_maker
try:
    with heat_maker(ImageStore(Path("data/images")), "cnn", 0) as heat_map:
        try:
            heat_map("train/0.png", 0)
        except UserError as error:
            print(error, flush=True)
        time.sleep(600)
except KeyboardInterrupt:
    print("ended", flush=True)
"""


@pytest.mark.slow
def test_ctrl_c_prints_no_trace(tmp_path: Path) -> None:
    folder = made_run(tmp_path / "run", False)
    process = subprocess.Popen(
        [sys.executable, "-c", SCRIPT], cwd=folder, text=True, start_new_session=True,
        env=environment() | {"PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )  # fmt: skip
    assert process.stdout
    try:
        # What it has to say of a folder without a run comes from there.
        assert "data/folds.csv" in process.stdout.readline()
        # As a terminal sends Ctrl-C: to all of its processes.
        os.killpg(process.pid, signal.SIGINT)
        said, complained = process.communicate(timeout=120)
    finally:
        process.kill()
    assert (said, complained) == ("ended\n", "")
