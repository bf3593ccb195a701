"""Runs that are killed again and again: `python -m benchmarks.kills [KILLS [FROM]]`.

Whole runs of a tiny project, each killed twelve times at random moments and in turn by all ways:
the whole group, DVC alone, the stage alone, twice in a row, as DVC says that it writes dvc.lock;
after some kills dvc.lock or DVC's rwlock is cut off as well, as a kill in the wrong moment leaves
it. Nobody repairs anything: what `make repro` does is done again until it succeeds. Prints, as
Markdown, how many runs succeeded, how many wrote the bytes of a run that nobody killed, and what
was put right.
"""

import contextlib
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

import psutil

from benchmarks.machine import machine
from tests.conftest import TINY, Project, environment, make_project

KILLS = 200
PER_RUN = 12
WAYS = ("group", "dvc", "stage", "twice", "writing")
LAST = 20.0
"""Seconds after its start until which a run is killed."""
MOST = 6
"""Attempts after the last kill until a run counts as failed."""
COMMAND = "python -m foldwise doctor --quiet && dvc repro"


def start(project: Project) -> "subprocess.Popen[str]":
    """What `make repro` does, in a process group of its own."""
    return subprocess.Popen(
        ["sh", "-c", COMMAND],
        cwd=project.path,
        env=environment() | {"PYTHONUNBUFFERED": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )


def kill(process: "subprocess.Popen[str]", way: str, rng: random.Random) -> None:
    """End a run, or a part of it, at a random moment."""
    assert process.stdout is not None
    if way == "writing":
        times = rng.randrange(1, 5)
        for line in process.stdout:
            times -= "lock file" in line
            if not times:
                time.sleep(rng.random() * 0.02)
                break
    else:
        time.sleep(rng.random() * LAST)
    family = psutil.Process(process.pid).children(recursive=True) if process.poll() is None else []
    named = {
        "dvc": [each for each in family if _runs(each, "dvc")],
        "stage": [each for each in family if _runs(each, "stages.")],
    }
    for each in named.get(way, []):
        os.kill(each.pid, signal.SIGKILL)
    if way not in named:
        _end(process)
    # A part that is left may go on for a moment, or to its end.
    until = time.monotonic() + (2 if way in named else 0)
    while process.poll() is None and time.monotonic() < until:
        time.sleep(0.05)
    _end(process)


def _runs(process: psutil.Process, word: str) -> bool:
    try:
        return any(word in Path(each).name for each in process.cmdline())
    except psutil.Error:
        return False


def _end(process: "subprocess.Popen[str]") -> None:
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    assert process.stdout is not None
    process.stdout.close()


def cut(project: Project, rng: random.Random) -> str:
    """Leave one of DVC's files as a kill may; which."""
    name = rng.choice(["dvc.lock", ".dvc/tmp/rwlock"])
    path = project.path / name
    if not path.exists():
        return "nothing"
    content = path.read_bytes()
    # What is written goes to the disk in blocks.
    path.write_bytes(content[: rng.choice([0, 0, len(content) // 8192 * 8192 // 2, 3])])
    return name


def results(project: Project) -> dict[str, bytes]:
    """All that a run writes, but what names the commit or the time."""
    found = project.bytes_of("data", "metrics", "plots")
    return {
        name: each for name, each in found.items() if not name.endswith(("README.md", ".partial"))
    }


def tried(base: Path, folder: Path, seed: int, wanted: dict[str, bytes]) -> Counter[str]:
    """One run with its kills; what happened."""
    rng = random.Random(seed)
    shutil.copytree(base, folder, symlinks=True)
    project = Project(folder)
    found: Counter[str] = Counter()
    for number in range(PER_RUN):
        way = WAYS[(seed + number) % len(WAYS)]
        kill(start(project), way, rng)
        found[f"killed: {way}"] += 1
        if way == "twice":
            time.sleep(rng.random() * 3)
            kill(start(project), "group", rng)
            found["killed: twice"] += 1
        if rng.random() < 0.25:
            found[f"cut off: {cut(project, rng)}"] += 1
    for attempt in range(1, MOST + 1):
        again = start(project)
        said, _ = again.communicate()
        found["dvc.lock put back"] += said.count("dvc.lock: was cut off")
        found["rwlock removed or cleared"] += said.count("rwlock: ")
        found["finished stages kept"] += said.count("had ended well")
        found["tracebacks"] += said.count("Traceback")
        if again.returncode == 0:
            found[f"succeeded at attempt {attempt}"] += 1
            break
        print(said[-2000:], file=sys.stderr)
    found["same bytes" if results(project) == wanted else "OTHER BYTES"] += 1
    shutil.rmtree(folder)
    return found


def main() -> None:
    kills = int(sys.argv[1]) if len(sys.argv) > 1 else KILLS
    first = int(sys.argv[2]) if len(sys.argv) > 2 else 0
    with tempfile.TemporaryDirectory() as temporary:
        base = make_project(Path(temporary) / "base")
        base.write_params(TINY | {"epochs": 3})
        base.commit("Few epochs")
        whole = Path(temporary) / "whole"
        shutil.copytree(base.path, whole, symlinks=True)
        Project(whole).run("sh", "-c", COMMAND)
        wanted = results(Project(whole))
        total: Counter[str] = Counter()
        seed = first
        while sum(total[f"killed: {way}"] for way in WAYS) < kills:
            total += tried(base.path, Path(temporary) / "tried", seed, wanted)
            seed += 1
            print(seed - first, dict(total), file=sys.stderr, flush=True)
    print(f"{seed - first} runs. {machine()}\n\n| what | times |\n|---|--:|")
    print("\n".join(f"| {name} | {count} |" for name, count in sorted(total.items())))


if __name__ == "__main__":
    main()
