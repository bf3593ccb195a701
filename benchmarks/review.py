"""From a key to the next image, and what the server needs.

`python -m benchmarks.review [KEYS [RUN]]`

Makes up a run with more suspected images than are asked about, photographs' size, or takes the
one in the folder RUN; serves it as `python -m
foldwise review` does, in a process of its own; and answers so many images (all, if nothing is
said) in headless Chromium, each as soon as it is shown. The time is from the browser's own stamp of
the key to the first frame after the next image is in the page and decoded.
"""

import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
import psutil
from playwright.sync_api import Page

from benchmarks.machine import machine
from foldwise.review.answer_file import read_answers
from tests.chromium import launched
from tests.conftest import ROOT
from tests.runs import write_run

CLASSES = [f"class {each}" for each in range(20)]
SUSPECTS = 5000
IMAGES = 6500
"""Of which as many are suspected, by the labels and logits of `write_run`."""
SIDE = (480, 640)
PAUSE = 0.1
"""Seconds between an image and its answer: faster than anybody looks."""

WATCH = """() => {
  window.times = [];
  let pressed = null;
  addEventListener("keydown", (event) => (pressed = event.timeStamp), true);
  const seen = () => requestAnimationFrame(() => {
    // A message is taken after the frame that is being drawn.
    const channel = new MessageChannel();
    channel.port1.onmessage = () => {
      const picture = document.querySelector("#picture img");
      if (pressed !== null && picture?.complete) times.push(performance.now() - pressed);
      pressed = null;
    };
    channel.port2.postMessage(0);
  });
  new MutationObserver(seen).observe(document.documentElement, { attributeFilter: ["data-shown"] });
}"""


def photograph(number: int) -> bytes:
    """A JPEG file of the size of a small photograph, another for each number."""
    rng = np.random.default_rng(number)
    rough = rng.integers(0, 255, (12, 16, 3), np.uint8)
    smooth = cv2.resize(rough, SIDE[::-1], interpolation=cv2.INTER_CUBIC)
    noise = rng.integers(0, 24, (*SIDE, 3), np.uint8)
    return cv2.imencode(".jpg", cv2.add(smooth, noise))[1].tobytes()


def made_up(folder: Path) -> None:
    """A run with more suspected images than are asked about."""
    write_run(folder, CLASSES, IMAGES, single=True, data=photograph)
    logits = np.load(folder / "data/outoffold.npz")
    # Most labels are others than the models say.
    arrays = dict(logits) | {"logits": np.roll(logits["logits"], 1, axis=1)}
    np.savez(folder / "data/outoffold.npz", **arrays)
    empty = pd.DataFrame(columns=["picture", "id", "part", "bytes"])
    empty.to_csv(folder / "data/duplicates.csv", index=False)


def answer(page: Page, count: int) -> list[float]:
    """Milliseconds from each key to the next image."""
    page.evaluate(WATCH)
    for _ in range(count):
        before = page.get_attribute("html", "data-shown")
        time.sleep(PAUSE)
        # Of several labels each one that is doubted is answered before the next image comes.
        for _ in range(page.locator("#classes .asked").count()):
            page.keyboard.press("r")
        page.wait_for_selector(f"html:not([data-shown='{before}'])")
    page.wait_for_timeout(500)
    found: list[float] = page.evaluate("times")
    return found


def main() -> None:
    keys = int(sys.argv[1]) if len(sys.argv) > 1 else SUSPECTS - 1
    with tempfile.TemporaryDirectory() as temporary:
        answers = Path(temporary) / "corrections.csv"
        folder = Path(sys.argv[2]) if len(sys.argv) > 2 else Path(temporary) / "run"
        if len(sys.argv) <= 2:
            made_up(folder)
        command = [sys.executable, "-c", "from foldwise.commands.review import main; main()"]
        command += ["--most", str(SUSPECTS), "--out", str(answers)]
        environment = os.environ | {"PYTHONPATH": str(ROOT)}
        server = subprocess.Popen(
            command, cwd=folder, env=environment, text=True, stdout=subprocess.PIPE
        )
        assert server.stdout
        print(server.stdout.readline().strip())
        url = server.stdout.readline().strip()
        process = psutil.Process(server.pid)
        first = process.memory_info().rss
        with launched() as browser:
            page = browser.new_context(bypass_csp=True).new_page()
            page.goto(url)
            page.wait_for_selector("html[data-shown]")
            times = np.array(answer(page, keys))
        last = process.memory_info().rss
        server.kill()
        rows = len(read_answers(answers))
        size = sum(each.stat().st_size for each in (folder / "data/images").glob("*.arrow"))
    print(f"{machine()}\n\n| | |\n|---|--:|")
    print(f"| keys, rows written | {keys:,}, {rows:,} |")
    for name, value in (("median", np.median(times)), ("99 %", np.quantile(times, 0.99)),
                        ("longest", times.max())):  # fmt: skip
        print(f"| key to image, {name}, ms | {value:.1f} |")
    print(f"| slower than 100 ms | {(times > 100).sum()} of {len(times):,} |")
    print(f"| server's memory at the start, at the end, MB | {first / 1e6:.0f}, {last / 1e6:.0f} |")
    print(f"| the store, MB | {size / 1e6:,.0f} |")


if __name__ == "__main__":
    main()
