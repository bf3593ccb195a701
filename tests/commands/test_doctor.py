"""What a killed run left broken is put right, and no finished stage is lost."""

import json
import logging
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest
import yaml

from foldwise.commands.doctor import is_whole_lock, mend, mend_rwlock, running_dvc
from tests.conftest import Project

RWLOCK = Path(".dvc/tmp/rwlock")
COPY = Path(".dvc/tmp/foldwise/dvc.lock")
LOCK = Path("dvc.lock")


@pytest.fixture
def here(copied: Project, monkeypatch: pytest.MonkeyPatch) -> Project:
    """As if all stages had just been run here: a copied file is younger than what it is of."""
    monkeypatch.chdir(copied.path)
    now = time.time_ns() + 10**6
    for path in COPY.parent.glob("*.began"):
        path.write_text(str(now))
        late = path.name == "present.began"
        os.utime(path, ns=(now, COPY.stat().st_mtime_ns + (10**9 if late else -(10**9))))
    return copied


@pytest.fixture(autouse=True)
def _no_streams_of_other_tests(monkeypatch: pytest.MonkeyPatch) -> None:
    """DVC's handlers hold those of the test in which it was first set up, which are closed."""
    monkeypatch.setattr(logging.getLogger("dvc"), "handlers", [])


def test_nothing_is_done_where_nothing_is_broken(here: Project) -> None:
    before = LOCK.read_bytes()
    assert is_whole_lock(before)
    assert mend() == []
    assert LOCK.read_bytes() == before
    assert "nothing is broken" in here.command("doctor")
    assert here.command("doctor", "--quiet") == ""


@pytest.mark.slow
@pytest.mark.parametrize("share", [0.0, 0.2, 0.5, 0.999])
def test_a_lock_that_was_cut_off_is_put_back(here: Project, share: float) -> None:
    """As it was before the last stage, which DVC then takes note of: nothing runs again."""
    whole = LOCK.read_bytes()
    # Cut to as many blocks as a kill leaves, not to a line's end.
    LOCK.write_bytes(whole[: int(len(whole) * share)])
    lines = mend()
    assert lines[0].startswith("dvc.lock: was cut off; it is again")
    assert lines[1:] == ["present: had ended well; dvc.lock takes note of it"]
    assert yaml.safe_load(LOCK.read_bytes()) == yaml.safe_load(whole)
    assert "Data and pipelines are up to date" in here.run("dvc", "status").stdout


def test_a_stage_whose_inputs_changed_since_is_not_vouched_for(here: Project) -> None:
    whole = LOCK.read_bytes()
    LOCK.write_bytes(whole[:100])
    os.utime("params.yaml")
    assert [line.partition(":")[0] for line in mend()] == ["dvc.lock"]
    assert "present" not in yaml.safe_load(LOCK.read_bytes())["stages"]
    assert yaml.safe_load(COPY.read_bytes()) == yaml.safe_load(LOCK.read_bytes())


@pytest.mark.slow
def test_without_a_copy_every_stage_is_vouched_for_by_its_receipt(here: Project) -> None:
    """All but those whose inputs later stages wrote anew, or that lie in another folder now."""
    whole = LOCK.read_bytes()
    COPY.unlink()
    LOCK.write_bytes(b"")
    lines = mend()
    assert lines[0].startswith("dvc.lock: was cut off, and there is no copy")
    found = yaml.safe_load(LOCK.read_bytes())["stages"]
    assert found == yaml.safe_load(whole)["stages"]


def test_a_shorter_lock_of_another_commit_stays(here: Project) -> None:
    """It ends where a stage ends."""
    stages = yaml.safe_load(LOCK.read_bytes())
    del stages["stages"]["present"], stages["stages"]["evaluate"]
    text = COPY.read_text()
    shorter = text[: text.index("  evaluate:\n")]
    LOCK.write_text(shorter)
    assert mend() == []
    assert LOCK.read_text() == shorter


@pytest.mark.parametrize(
    "content",
    [
        "schema: '2.0'\nstages:\n  a:\n    cmd: echo\n    deps:\n    - path: b\n      etag: c\n",
        "schema: '2.0'\nstages: {}\n",
        "<<<<<<< HEAD\nstages:\n=======\n>>>>>>> other\n",
    ],
)
def test_what_is_no_cut_is_left_alone(here: Project, content: str) -> None:
    """Stages without outputs, dependencies with other sums, a merge that is not finished."""
    LOCK.write_text(content)
    assert mend() == []
    assert LOCK.read_text() == content


@pytest.mark.parametrize(
    "content",
    [
        "[" * 5000,
        "",
        '{"write": {"a": {"pid": 1',
        "[]",
        "3",
        '{"read": {"a": [3]}}',
        '{"write": 7}',
        "\x00",
    ],
)
def test_a_list_of_readers_that_was_cut_off_goes(here: Project, content: str) -> None:
    RWLOCK.write_text(content)
    assert mend() == [f"{RWLOCK}: was cut off; removed, as no process needs it"]
    assert not RWLOCK.exists()


def test_who_is_no_more_is_taken_off_the_list(here: Project, tmp_path: Path) -> None:
    """Also one whose number another program has by now; a DVC that runs stays."""
    program = tmp_path / "dvc"
    program.write_text("import time; time.sleep(60)")
    with subprocess.Popen([sys.executable, str(program)]) as running:
        gone = {"pid": 2**22 + 1, "cmd": "dvc repro"}
        reused = {"pid": os.getppid(), "cmd": "dvc repro"}
        alive = {"pid": running.pid, "cmd": "dvc repro"}
        content = {"write": {"a": gone, "b": alive}, "read": {"c": [gone, alive], "d": [reused]}}
        RWLOCK.write_text(json.dumps(content))
        try:
            assert len(list(mend_rwlock())) == 1
            found = json.loads(RWLOCK.read_text())
            assert found["write"] == {"b": alive}
            assert found["read"]["c"] == [alive]
            assert list(mend_rwlock()) == []
            assert running_dvc() == {running.pid}
        finally:
            running.kill()
            running.wait()
    assert running_dvc() == set()


@pytest.mark.slow
def test_dvc_goes_on_after_a_kill_in_the_worst_moment(here: Project) -> None:
    """Both files cut off; what is trained is not trained again."""
    whole = yaml.safe_load(LOCK.read_bytes())
    RWLOCK.write_text("")
    LOCK.write_bytes(b"")
    assert "validation failed" in here.run("dvc", "repro", "split", code=None).stderr
    here.run("python", "-m", "foldwise", "doctor")
    said = here.run("dvc", "repro").stdout
    assert "Running stage" not in said
    assert yaml.safe_load(LOCK.read_bytes()) == whole
