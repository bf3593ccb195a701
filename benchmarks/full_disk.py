"""Stages on a disk that fills up: `python -m benchmarks.full_disk [PLACES]`, as root on Linux.

A tiny project that has run lies on a small tmpfs. At each of 50 places (a stage or a command, and
how much room is left for it) it must end in one line that names the file, and leave all earlier
outputs as they were; with room again, it must write the same bytes. Prints counts as Markdown.
"""

import random
import shutil
import subprocess
import sys
import tempfile
from collections import Counter
from pathlib import Path

from benchmarks.machine import machine
from tests.conftest import TINY, Project, make_project

PLACES = 50
SIZE = 400
"""MiB."""
PROGRAMS: dict[str, tuple[str, ...]] = {
    "fetch": ("stages.fetch",),
    "split": ("stages.split",),
    "train": ("stages.train", "--member", "cnn", "--fold", "0"),
    "predict": ("stages.predict", "--member", "cnn", "--fold", "0"),
    "ensemble": ("stages.ensemble",),
    "threshold": ("stages.threshold",),
    "evaluate": ("stages.evaluate",),
    "present": ("stages.present",),
    "apply": ("foldwise", "apply", "photo.png"),
    "export": ("foldwise", "export"),
}
# The backbone is frozen at first: its features are written through a memory map.
FROZEN = TINY["train"] | {"freeze": {"epochs": 1, "views": ["identity", "hflip"]}}


def outputs(project: Project) -> dict[str, bytes]:
    found = project.bytes_of("data", "metrics", "plots")
    return {name: each for name, each in found.items() if "README" not in name}


def run(project: Project, program: str) -> "subprocess.CompletedProcess[str]":
    shutil.rmtree(project.path / ".features", ignore_errors=True)
    return project.run("python", "-m", *PROGRAMS[program], code=None)


def fill(path: Path, room: int) -> None:
    """Leave so many bytes of the disk."""
    free = shutil.disk_usage(path.parent).free
    with path.open("wb") as file:
        for start in range(0, max(0, free - room), 1 << 20):
            file.write(bytes(min(1 << 20, free - room - start)))


def written_by(project: Project, program: str) -> int:
    """How many bytes a program writes, about: where the disk may be full."""
    shutil.rmtree(project.path / ".features", ignore_errors=True)
    before = shutil.disk_usage(project.path).used
    peak = before
    process = subprocess.Popen(
        ["python", "-m", *PROGRAMS[program]],
        cwd=project.path,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    while process.poll() is None:
        peak = max(peak, shutil.disk_usage(project.path).used)
    return max(peak - before, 1 << 13)


def main() -> None:
    places = int(sys.argv[1]) if len(sys.argv) > 1 else PLACES
    rng = random.Random(0)
    total: Counter[str] = Counter()
    with tempfile.TemporaryDirectory() as mount:
        options = f"size={SIZE}m"
        subprocess.run(["mount", "-t", "tmpfs", "-o", options, "tmpfs", mount], check=True)
        try:
            project = make_project(Path(mount) / "project")
            project.write_params(TINY | {"epochs": 2, "train": FROZEN})
            project.run("dvc", "repro")
            project.commit("Run")
            (project.path / "photo.png").write_bytes(b"no image")
            for number in range(places):
                program = list(PROGRAMS)[number % len(PROGRAMS)]
                total += tried(project, program, rng)
                print(number + 1, program, dict(total), file=sys.stderr, flush=True)
        finally:
            subprocess.run(["umount", "--lazy", mount], check=True)
    print(f"{machine()}\n\n| what | times |\n|---|--:|")
    print("\n".join(f"| {name} | {count} |" for name, count in sorted(total.items())))


def tried(project: Project, program: str, rng: random.Random) -> Counter[str]:
    """One place; what happened."""
    found: Counter[str] = Counter()
    store = project.path / "photo.png"
    if program == "apply":
        from foldwise.images.store import ImageStore

        images = ImageStore(project.path / "data/images")
        store.write_bytes(images.data(images.ids[0]))
    before = outputs(project)
    room = int(written_by(project, program) * rng.random())
    kept = outputs(project)
    found["other bytes without a full disk"] += kept != before
    filler = project.path.parent / "filler"
    fill(filler, room)
    result = run(project, program)
    filler.unlink()
    errors = [line for line in result.stderr.splitlines() if line.startswith("error: ")]
    if result.returncode == 0:
        found["had room enough"] += 1
    elif result.returncode == 1 and len(errors) == 1 and "no space left" in errors[0]:
        found["one line" if "error: disk" not in errors[0] else "one line, file not named"] += 1
    else:
        found["SOMETHING ELSE"] += 1
        print(program, room, result.returncode, result.stderr[-1500:], file=sys.stderr)
    found["TRACEBACK"] += "Traceback" in result.stderr
    after = outputs(project)
    found["OUTPUTS CHANGED"] += any(after.get(name) != each for name, each in kept.items())
    found["LEFT BEHIND"] += len(set(after) - set(kept))
    again = run(project, program)
    found["next run fine" if again.returncode == 0 else "NEXT RUN FAILED"] += 1
    found["same bytes" if outputs(project) == before else "OTHER BYTES"] += 1
    return found


if __name__ == "__main__":
    main()
