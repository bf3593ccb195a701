"""What starting a stage costs: the CPU time of its imports, beside those of torch alone.

`python -m benchmarks.start [rounds]` starts each stage's imports in processes of their own, in turn
with `import torch`, and prints the medians as Markdown.
"""

import statistics
import subprocess
import sys

from benchmarks.machine import machine

STAGES = ("fetch", "split", "train", "predict", "ensemble", "threshold", "evaluate", "present")
CODE = """
import resource
import {module}
used = resource.getrusage(resource.RUSAGE_SELF)
print(used.ru_utime + used.ru_stime)
"""


def seconds(module: str) -> float:
    """CPU time until a module is imported, the interpreter's start among it."""
    command = [sys.executable, "-c", CODE.format(module=module)]
    return float(subprocess.run(command, capture_output=True, text=True, check=True).stdout)


def main(rounds: int) -> None:
    modules = ["torch", *(f"stages.{stage}" for stage in STAGES)]
    for module in modules:
        seconds(module)  # compiles it
    found = {module: [seconds(module) for _ in range(rounds)] for module in modules}
    torch = statistics.median(found["torch"])
    print(f"{machine()}, median of {rounds}.\n")
    print("| imported | CPU, s | of torch alone |\n|---|--:|--:|")
    for module, each in found.items():
        median = statistics.median(each)
        print(f"| {module} | {median:.2f} | {median / torch:.2f} |")


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 5)
