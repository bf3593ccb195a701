"""What a run will take: seconds of every stage, disk, memory.

With N images of which T are of the test part, k folds, n = (N - T) (k - 1) / k images to learn from
and h = (N - T) / k held out, V views, s what starting a training takes, and of every member what
was measured of it (`Measured`):

    fetch     .25 s + N d                                 d: to decode and hash an image
    train     1.9 s + epochs (n / batch step + h (r + step / batch / 3))   of each fold
    predict   .8 s + p + (h + T) (r + V f)                of each fold; r: to read an image, f: a
                                                          forward pass, p: to prepare the network
    others    s (a + b C + c N C / 1e6)                   C classes; a, b, c: of OTHERS

Where the backbone is frozen, a fold's train has its head's solution in place of epochs, and every
image is seen once: the first fold's train takes p + (N - T) (r + V f), its predict p + T (r + V f).

What is counted in starts was measured on one machine, DVC's own work with it: a and b on the data
sets of benchmarks/results/started.md, c on those of evaluate.md. Another machine is taken to start
as much faster as it does the rest.
"""

from dataclasses import dataclass

from foldwise.params import Params

FETCH, TRAIN, PREDICT = 0.25, 1.9, 0.8
"""Starts that a stage takes, but for what grows with its images."""
OTHERS = {
    "split": (0.55, 0.0, 0.14),
    "ensemble": (0.35, 0.0, 0.83),
    "threshold": (0.43, 0.0, 1.5),
    "evaluate": (0.4, 0.02, 1.5),
    "present": (0.9, 0.0, 0.06),
}
"""Of the stages without a network: starts, starts per class, and per million images x classes."""
EVIDENCE = (0.2, 2.2)
"""Starts that `auto` adds to `threshold`, and per million: all steps are cross-fitted."""
TSNE = 0.0009
"""Starts that `present` takes for each image of a map by t-SNE."""


@dataclass(frozen=True)
class Measured:
    """What a member takes, in seconds."""

    read: float
    """To read, decode and resize an image."""
    step: float
    """Of a batch, its images read and augmented; 0 where the head is solved."""
    prepare: float
    """To bring the network to the engine that predicts."""
    forward: float
    """Of one image through one view, by that engine."""
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


def parts(params: Params, counted: Counted) -> tuple[int, float, int]:
    """Images of the train part, those of them that a fold holds out, and of the test part."""
    held_out = 0 if counted.test else round(counted.train * params.split.test)
    train = counted.train - held_out
    share = 1 / len(params.folds) if params.split.method == "kfold" else params.split.fraction
    return train, train * share, counted.test + held_out


def cost_of(
    params: Params, counted: Counted, measured: dict[str, Measured], decode: float, start: float
) -> Cost:
    """What a run of params.yaml takes.

    Args:
        params: of the run.
        counted: what there is to work on.
        measured: of every member.
        decode: seconds in which `fetch` decodes and hashes an image.
        start: seconds until a process has what a training imports.
    """
    train, held, test = parts(params, counted)
    images, count = train + test, len(params.folds)
    views = len(params.tta.views)
    folds, once = {}, {}
    for name in params.members:
        recipe, own = params.recipe(name), measured[name]
        one = own.read + views * own.forward
        if recipe.solved:
            once[name] = 2 * own.prepare + images * one
            folds[name] = TRAIN * start + own.solve, PREDICT * start
        else:
            steps = (train - held) / recipe.train.batch_size
            # A forward pass is about a third of a step.
            validated = own.read + own.step / recipe.train.batch_size / 3
            epoch = steps * own.step + held * validated
            predict = PREDICT * start + own.prepare + (held + test) * one
            folds[name] = TRAIN * start + recipe.epochs * epoch, predict
    million = images * counted.classes / 1e6
    others = {name: a + b * counted.classes + c * million for name, (a, b, c) in OTHERS.items()}
    if params.map.features and params.map.method == "tsne":
        others["present"] += TSNE * min(params.map.images, images)
    if params.threshold.auto:
        others["threshold"] += EVIDENCE[0] + EVIDENCE[1] * million
    prepared = sum(measured[name].prepare for name in once)
    seen = (sum(once.values()) - 2 * prepared) / images
    stages = {
        "fetch": FETCH * start + images * decode,
        "split": start * others.pop("split"),
        "train": prepared + train * seen + count * sum(each for each, _ in folds.values()),
        "predict": prepared + test * seen + count * sum(each for _, each in folds.values()),
    }
    stages |= {name: start * each for name, each in others.items()}
    # A workspace and DVC's cache each hold images and models; features are kept in 16 bits.
    kept = sum(images * views * measured[name].features * 2 for name in once)
    models = count * sum(measured[name].size for name in params.members)
    disk = 2 * (counted.bytes + models) + kept
    return Cost(stages, folds, once, disk, count)


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
