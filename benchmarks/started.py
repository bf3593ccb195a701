"""What `start` says that a run will take, beside what it takes.

`python -m benchmarks.started FOLDER TIER DATA [DATA ...]`

For each data set: clones this repository's HEAD to FOLDER, runs `python -m foldwise start`, commits
what it says to commit, and reproduces the pipeline, the seconds of each stage from DVC's own lines.
Prints Markdown.
"""

import re
import shutil
import subprocess
import sys
import time
from pathlib import Path

from benchmarks.machine import machine
from benchmarks.reviewed import environment
from tests.conftest import ROOT

UNITS = {"s": 1, "min": 60, "h": 3600}
STAGE = re.compile(r"(\w+) ([\d.]+) (s|min|h)")


def predicted(folder: Path, data: str, tier: str) -> dict[str, float]:
    """Seconds of every stage, as `start` says them; params.yaml is written and committed."""
    words = [sys.executable, "-m", "foldwise", "start", data, "--tier", tier, "--force"]
    done = subprocess.run(
        words, cwd=folder, env=environment(), check=True, capture_output=True, text=True
    )
    line = next(each for each in done.stdout.splitlines() if " on this machine (" in each)
    _, _, stages = line.partition("): ")
    found = {name: float(value) * UNITS[unit] for name, value, unit in STAGE.findall(stages)}
    commit = next(each for each in done.stdout.splitlines() if "git commit" in each)
    subprocess.run(commit.strip(), shell=True, cwd=folder, check=True, env=environment())
    return found


def taken(folder: Path) -> dict[str, float]:
    """Seconds of every stage, its start and DVC's own work among them."""
    process = subprocess.Popen(
        ["dvc", "repro"], cwd=folder, env=environment(), text=True, stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL, bufsize=1,
    )  # fmt: skip
    assert process.stdout
    found: dict[str, float] = {}
    stage, begin = "", time.perf_counter()
    for line in process.stdout:
        if match := re.search(r"Running stage '(\w+)", line):
            now = time.perf_counter()
            if stage:
                found[stage] = found.get(stage, 0.0) + now - begin
            stage, begin = match[1], now
    if process.wait():
        raise RuntimeError(f"dvc repro in {folder} failed")
    found[stage] = found.get(stage, 0.0) + time.perf_counter() - begin
    return found


def main(folder: Path, tier: str, sets: list[str]) -> None:
    rows = []
    for data in sets:
        if folder.exists():
            shutil.rmtree(folder)
        subprocess.run(["git", "clone", "--quiet", str(ROOT), str(folder)], check=True)
        said = predicted(folder, data, tier)
        seconds = taken(folder)
        rows.append((Path(data).name, said, seconds))
        print(f"{data}: {sum(said.values()):.0f} s said, {sum(seconds.values()):.0f} s taken",
              file=sys.stderr)  # fmt: skip
    print(f"{machine()} `--tier {tier}`; seconds said, and taken.\n")
    print("| data | " + " | ".join(rows[0][1]) + " | all | said / taken |")
    print("|---" + "|--:" * (len(rows[0][1]) + 2) + "|")
    for name, said, seconds in rows:
        cells = [f"{said[each]:.0f}, {seconds.get(each, 0):.0f}" for each in said]
        whole = sum(said.values()), sum(seconds.values())
        cells += [f"{whole[0]:.0f}, {whole[1]:.0f}", f"{whole[0] / whole[1]:.2f}"]
        print(f"| {name} | {' | '.join(cells)} |")


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2], sys.argv[3:])
