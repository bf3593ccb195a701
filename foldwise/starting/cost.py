"""What a run will take: seconds of every stage, disk, memory.

With N images of which T are of the test part, k folds, n = (N - T) (k - 1) / k images to learn from
and h = (N - T) / k held out, V views, s what starting a stage takes, and of every member what was
measured of it (`Measured`):

    fetch     s + N d                                     d: to decode and hash an image
    train     s + epochs (n / batch step + h (r + f))            of each fold; r: to read an image
    predict   s + (h + T) (r + V f)                       of each fold; f: a forward pass
    frozen    once per member N (r + V f), and of each fold s + its head's solution, s for predict
    others    s + a + b N C                               C classes; a, b: of OTHERS

a and b were measured on one machine (benchmarks/results/evaluate.md), and are scaled by how long
starting a stage takes there and here.
"""

from dataclasses import dataclass

from foldwise.params import Params

START = 3.6
"""Seconds that importing `stages.train` took where OTHERS were measured."""
OTHERS = {
    "split": (2.0, 0.5),
    "ensemble": (1.3, 3.0),
    "threshold": (1.6, 5.5),
    "evaluate": (4.1, 5.3),
    "present": (4.2, 0.2),
}
"""Of the stages without a network: seconds, and seconds per million images x classes."""
EVIDENCE = 8.0
"""Seconds that `auto` adds to `threshold`: all steps are cross-fitted."""
TSNE = 0.007
"""Seconds that `present` takes for each image of a map by t-SNE."""
DVC = 1.5
"""Seconds in which DVC looks at a stage, and takes its outs into its cache; of the same machine."""
LIGHT = 0.5
"""Share of `train`'s start that other stages' take."""


@dataclass(frozen=True)
class Measured:
    """What a member takes, in seconds."""

    read: float
    """To read, decode and resize an image."""
    step: float
    """Of a batch, its images read and augmented; 0 where the head is solved."""
    forward: float
    """Of one image through one view."""
    solve: float
    """Of a fold's head, where it is solved."""
    features: int
    """Numbers of an image and view that are kept, where the backbone is frozen."""
    size: int
    """Bytes of the weights."""


@dataclass(frozen=True)
class Counted:
    """What there is to work on."""

    train: int
    test: int
    """Of the source's own test part."""
    classes: int
    bytes: float
    """Of all images' files."""


@dataclass(frozen=True)
class Cost:
    """What a run takes on this machine, its folds one after another."""

    stages: dict[str, float]
    """Seconds."""
    folds: dict[str, tuple[float, float]]
    """Of each member: seconds of one fold's train and predict."""
    once: dict[str, float]
    """Of each member with a frozen backbone: seconds of its features."""
    disk: float
    """Bytes."""
    count: int
    """Folds."""

    @property
    def seconds(self) -> float:
        """Of all stages."""
        return sum(self.stages.values())

    def side_by_side(self, jobs: int) -> float:
        """Seconds with as many folds at once, each as fast as one alone (a GPU each).

        >>> Cost({"fetch": 9, "train": 20, "predict": 4}, {"a": (10, 2)}, {}, 0, 2).side_by_side(2)
        21.0
        """
        alone = self.seconds - self.stages["train"] - self.stages["predict"]
        work = sorted(sum(each) for each in self.folds.values() for _ in range(self.count))
        # The longest first, each to whoever is free.
        free = [0.0] * max(1, jobs)
        for each in reversed(work):
            free[free.index(min(free))] += each
        return alone + sum(self.once.values()) + max(free)


def cost_of(
    params: Params, counted: Counted, measured: dict[str, Measured], decode: float, start: float
) -> Cost:
    """What a run of params.yaml takes.

    Args:
        params: of the run.
        counted: what there is to work on.
        measured: of every member.
        decode: seconds in which `fetch` decodes and hashes an image.
        start: seconds until `stages.train` has its modules.
    """
    images = counted.train + counted.test
    held_out = 0 if counted.test else round(counted.train * params.split.test)
    test = counted.test + held_out
    train = counted.train - held_out
    count = len(params.folds)
    held = train / count if params.split.method == "kfold" else train * params.split.fraction
    speed = start / START
    light = start * LIGHT + DVC * speed
    heavy = start + DVC * speed
    views = len(params.tta.views)
    folds, once = {}, {}
    for name in params.members:
        recipe, own = params.recipe(name), measured[name]
        one = own.read + views * own.forward
        if recipe.solved:
            once[name] = images * one
            folds[name] = heavy + own.solve, light
        else:
            steps = (train - held) / recipe.train.batch_size
            epoch = steps * own.step + held * (own.read + own.forward)
            folds[name] = heavy + recipe.epochs * epoch, light + (held + test) * one
    million = images * counted.classes / 1e6
    stages = {"fetch": light + images * decode}
    others = {name: light + speed * (a + b * million) for name, (a, b) in OTHERS.items()}
    if params.map.features and params.map.method == "tsne":
        others["present"] += speed * TSNE * min(params.map.images, images)
    if params.threshold.auto:
        others["threshold"] += speed * EVIDENCE * (1 + million)
    stages |= {"split": others.pop("split")}
    stages |= {"train": sum(once.values()) + count * sum(each for each, _ in folds.values())}
    stages |= {"predict": count * sum(each for _, each in folds.values())}
    # A workspace and DVC's cache each hold images and models; features are kept in 16 bits.
    kept = sum(images * views * measured[name].features * 2 for name in once)
    models = count * sum(measured[name].size for name in params.members)
    disk = 2 * (counted.bytes + models) + kept
    return Cost(stages | others, folds, once, disk, count)


def told_cost(
    cost: Cost, memory: float, gpus: int, cores: int, gpu_memory: float = 0.0
) -> list[str]:
    """What is said of it, a line each.

    Args:
        cost: of the run.
        memory: bytes at most.
        gpus: of this machine.
        cores: of this machine.
        gpu_memory: bytes at most, of one GPU.
    """
    stages = ", ".join(f"{name} {_time(seconds)}" for name, seconds in cost.stages.items())
    lines = [
        f"about {_time(cost.seconds)} on this machine ({cores} cores, {gpus or 'no'} GPU"
        f"{'s' if gpus > 1 else ''}): {stages}",
        f"about {cost.disk / 1e9:.1f} GB of disk, {memory / 1e9:.1f} GB of memory"
        + (f", {gpu_memory / 1e9:.1f} GB of a GPU's" if gpus else ""),
    ]
    stages_of = len(cost.folds) * cost.count
    if gpus > 1:
        jobs = min(gpus, stages_of)
        lines.append(
            f"with `make folds-parallel JOBS={jobs}`, a fold per GPU: about "
            f"{_time(cost.side_by_side(jobs))}"
        )
    else:
        shared = "the GPU" if gpus else "the cores"
        lines.append(f"JOBS gains little here: folds at once would share {shared} of one fold")
    lines.append(
        f"on a cluster of {stages_of} nodes like this one, a fold each: about "
        f"{_time(cost.side_by_side(stages_of))}"
    )
    return lines


def _time(seconds: float) -> str:
    """
    >>> _time(7.4), _time(100), _time(7300)
    ('7 s', '1.7 min', '2.0 h')
    """
    if seconds < 60:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.1f} min" if seconds < 3600 else f"{seconds / 3600:.1f} h"
