"""What a review of planted label errors gains: `python -m benchmarks.reviewed FOLDER [IMAGES]`

Clones this repository's HEAD to FOLDER and writes the data set of params.yaml there as a table and
image files, some labels of its train part made wrong as `benchmarks.planted` has it. The pipeline
is reproduced on that; then a script that knows the right labels goes through the first suspected
images on the review page, in headless Chromium and by its keys, and answers what it is asked; then
the pipeline is reproduced with `data.corrections`, and at last with all labels right. What is there
already of an interrupted FOLDER is kept.
"""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pandas as pd
import yaml
from playwright.sync_api import Page

from benchmarks.machine import machine
from benchmarks.planted import PLANTED, plant
from foldwise.images.store import ImageStore
from tests.chromium import launched
from tests.conftest import ROOT

ASKED = 300
"""Images that are looked at."""
RUNS = ("planted", "corrected", "right")


def environment() -> dict[str, str]:
    """Of commands in the clone."""
    places = [str(Path(sys.executable).parent), os.environ["PATH"]]
    return {**os.environ, "PATH": os.pathsep.join(places)}


def command(folder: Path, *words: str) -> None:
    subprocess.run(words, cwd=folder, env=environment(), check=True)


def write_table(folder: Path) -> None:
    """The fetched data set as a table and image files, and params.yaml that reads these."""
    labels = pd.read_parquet(folder / "data/labels.parquet")
    classes = json.loads((folder / "data/dataset.json").read_text())["classes"]
    wrong, planted = plant(labels, classes)
    incoming = folder / "data/incoming"
    (incoming / "images").mkdir()
    store = ImageStore(folder / "data/images")
    for id in labels["id"]:
        (incoming / f"images/{id}.png").write_bytes(store.data(id))
    for name, table in (("planted", wrong), ("right", labels)):
        rows = table[["id", "part", *classes]].rename(columns={"id": "file"})
        rows.to_csv(incoming / f"{name}.csv", index=False)
    planted.to_csv(folder / PLANTED, index=False)


def set_data(folder: Path, table: str, corrections: str | None) -> None:
    """Let params.yaml read one of the tables."""
    path = folder / "params.yaml"
    params = yaml.safe_load(path.read_text())
    classes = [str(each) for each in params["data"].get("classes") or range(10)]
    params["data"] = {
        "source": "table",
        "path": "data/incoming",
        "extra_path": "data/extra",
        "classes": classes,
        "table": {"file": f"{table}.csv", "images": "images", "suffix": ".png",
                  "labels": "columns", "part": "part"},
        "corrections": corrections,
    }  # fmt: skip
    path.write_text(yaml.safe_dump(params, sort_keys=False))


def reproduce(folder: Path, run: str) -> dict[str, Any]:
    """The summary of a run, which is made where it is not there yet."""
    kept = folder / f"{run}.json"
    if not kept.exists():
        table = "right" if run == "right" else "planted"
        set_data(folder, table, "corrections.csv" if run == "corrected" else None)
        command(folder, "dvc", "repro")
        kept.write_text((folder / "metrics/summary.json").read_text())
    content: dict[str, Any] = json.loads(kept.read_text())
    return content


def answer(page: Page, truth: pd.DataFrame) -> None:
    """Answer all that is asked of the image that is shown."""
    before = page.get_attribute("html", "data-shown")
    id = (page.text_content("#id") or "").removesuffix(" (test part)")
    open_ones = page.locator("#classes .asked:not(:has(.chip:text-matches('^answered')))")
    for _ in range(open_ones.count()):
        chosen = page.locator("#classes button[aria-current=true]")
        name = chosen.get_attribute("data-name") or ""
        labelled = chosen.locator(".chip.there").count()
        page.keyboard.press("r" if truth.loc[id, name] == labelled else "w")
    page.wait_for_selector(f"html:not([data-shown='{before}'])")


def review(folder: Path, images: int) -> None:
    """Look at the first so many suspected images, those apart that were looked at before."""
    truth = pd.read_csv(folder / "data/incoming/right.csv", dtype={"file": str}).set_index("file")
    script = [sys.executable, "-m", "foldwise", "review", "--most", str(images + 1)]
    server = subprocess.Popen(
        script, cwd=folder, env=environment(), text=True, stdout=subprocess.PIPE
    )
    assert server.stdout
    server.stdout.readline()
    url = server.stdout.readline().strip()
    try:
        with launched() as browser:
            page = browser.new_context(bypass_csp=True).new_page()
            page.goto(url)
            page.wait_for_selector("html[data-shown]")
            # Of an interrupted review the first are answered already.
            done = int((page.text_content("#counted") or "").split()[0])
            for _ in range(images - done):
                answer(page, truth)
            page.wait_for_timeout(1000)
    finally:
        server.terminate()
        server.wait()


def told(folder: Path) -> None:
    """What the answers were worth, by the planted errors."""
    kinds = {"id": str, "class": str}
    answers = pd.read_csv(folder / "corrections.csv", dtype=kinds)
    planted = pd.read_csv(folder / PLANTED, dtype=kinds)
    changed = answers[answers["was"] != answers["is"]]
    mended = changed.merge(planted, on=["id", "class"])
    good = (mended["is"] == mended["right"]).sum()
    print(f"\n{answers['id'].nunique()} images, {len(answers)} labels asked about;")
    print(f"{len(changed)} changed, of which {good} were planted ({len(planted)} in all).")


def main(folder: Path, images: int) -> None:
    if not folder.exists():
        subprocess.run(["git", "clone", "--quiet", str(ROOT), str(folder)], check=True)
        command(folder, "dvc", "repro", "fetch")
        write_table(folder)
    summaries = {}
    for run in RUNS:
        if run == "corrected" and not (folder / "corrected.json").exists():
            review(folder, images)
        summaries[run] = reproduce(folder, run)
    print(machine())
    told(folder)
    print("\n| labels of the train part | test macro AP | test accuracy |\n|---|--:|--:|")
    names = ("3 % wrong", f"the first {images} images corrected", "all right")
    for name, summary in zip(names, summaries.values(), strict=True):
        values = (summary["test"][key] for key in ("macro_ap", "accuracy"))
        figures = (each["value"] if isinstance(each, dict) else each for each in values)
        print(f"| {name} | {' | '.join(f'{each:.4f}' for each in figures)} |")


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]) if len(sys.argv) > 2 else ASKED)
