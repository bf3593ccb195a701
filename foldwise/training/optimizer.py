"""Optimizers and learning-rate schedules by name."""

import difflib
from typing import Any

import torch
from torch.optim import lr_scheduler

from foldwise.core.errors import UserError
from foldwise.model.classifier import Classifier
from foldwise.training.layer_decay import decayed_groups
from foldwise.training.settings import Recipe

# For GPUs alone, or in need of second derivatives.
UNUSABLE = ["bnb*", "fused*", "adahessian"]
TORCHS: dict[str, tuple[type[torch.optim.Optimizer], dict[str, Any]]] = {
    "adam": (torch.optim.Adam, {}),
    "adamw": (torch.optim.AdamW, {}),
    "momentum": (torch.optim.SGD, {"nesterov": False}),
    "sgd": (torch.optim.SGD, {"nesterov": True}),
}
"""What timm's factory makes of these names, made without its import, which takes a second."""
WARMUP_START = 1e-3
ONECYCLE_WARMUP = 0.3


def make_optimizer(network: Classifier, recipe: Recipe) -> torch.optim.Optimizer:
    """The recipe's optimizer over all parameters, by the names of timm's factory.

    Weight decay is as each name has it: decoupled for `adamw`, L2 regularisation for `adam`.

    Raises `UserError` if timm has no optimizer of that name, or cannot make it.
    """
    train = recipe.train
    parameters: Any = list(network.parameters())
    if train.layer_decay is not None:
        parameters = decayed_groups(network, recipe, train.layer_decay)
    elif train.head_lr_scale != 1:
        head = network.head_parameters()
        of_head = {id(each) for each in head}
        rest = [each for each in network.parameters() if id(each) not in of_head]
        parameters = [{"params": rest}, {"params": head, "lr": recipe.lr * train.head_lr_scale}]
    common: dict[str, Any] = {"lr": recipe.lr, "weight_decay": train.weight_decay}
    try:
        if train.optimizer not in TORCHS:
            return _timms(train.optimizer, parameters, train.momentum, common)
        make, options = TORCHS[train.optimizer]
        if make is torch.optim.SGD:
            options = options | {"momentum": train.momentum}
        return make(parameters, **common, **options)
    except (ValueError, TypeError, AssertionError, RuntimeError) as error:
        raise UserError(f"params.yaml: train.optimizer: {train.optimizer}: {error}") from None


def _timms(
    name: str, parameters: Any, momentum: float, common: dict[str, Any]
) -> torch.optim.Optimizer:
    """Any other optimizer, by timm's factory. Raises `UserError` if timm has none of that name."""
    from timm.optim import create_optimizer_v2, list_optimizers

    known = [str(each) for each in list_optimizers(exclude_filters=UNUSABLE)]
    if name.removeprefix("lookahead_") not in known:
        close = difflib.get_close_matches(name, known, 3)
        hint = ", ".join(close) if close else "see timm.optim.list_optimizers()"
        raise UserError(f"params.yaml: train.optimizer: timm has no '{name}'; {hint}")
    # Published systems decay all parameters alike.
    return create_optimizer_v2(
        parameters, opt=name, momentum=momentum, filter_bias_and_bn=False, **common
    )


def make_schedules(
    optimizer: torch.optim.Optimizer, recipe: Recipe, steps: int
) -> list[dict[str, Any]]:
    """The recipe's schedule, as Lightning takes it.

    Args:
        optimizer: whose rates are set.
        recipe: says which schedule.
        steps: of the optimizer in all epochs.
    """
    name, options = recipe.train.scheduler, recipe.train.scheduler_options
    warmup = options.warmup
    if name == "onecycle":
        share = ONECYCLE_WARMUP if warmup is None else warmup
        if round(share * steps, 6) == 1:
            # torch would divide by the no steps that the rise then takes.
            share *= 1.01
        one = lr_scheduler.OneCycleLR(
            optimizer,
            [group["lr"] for group in optimizer.param_groups],
            steps,
            pct_start=share,
            # Falls from 0.95 to 0.85 and rises again, in optimizers that have it.
            cycle_momentum=bool({"momentum", "betas"} & set(optimizer.defaults)),
        )
        return [_per_step(one)]
    rising = round((warmup or 0) * steps)
    made: list[dict[str, Any]] = []
    if name == "plateau":
        plateau = lr_scheduler.ReduceLROnPlateau(
            optimizer,
            "min" if recipe.train.monitor.endswith("loss") else "max",
            factor=options.factor,
            patience=options.patience,
        )
        made.append({"scheduler": plateau, "monitor": recipe.train.monitor, "interval": "epoch"})
    elif name == "steps":
        milestones = [round(each * steps / recipe.epochs) for each in options.milestones]
        made.append(_per_step(lr_scheduler.MultiStepLR(optimizer, milestones, options.factor)))
    elif name == "cosine":
        falling = (options.t_max or recipe.epochs) * steps / recipe.epochs - rising
        # What rises first falls in what is left: both schedules change the rate at every step.
        cosine = lr_scheduler.CosineAnnealingLR(optimizer, max(1, round(falling)))
        if not rising:
            return [_per_step(cosine)]
        linear = lr_scheduler.LinearLR(optimizer, WARMUP_START, total_iters=rising)
        both = lr_scheduler.SequentialLR(optimizer, [linear, cosine], [rising])
        return [_per_step(both)]
    if rising or not made:
        start = WARMUP_START if rising else 1.0
        made.append(_per_step(lr_scheduler.LinearLR(optimizer, start, total_iters=max(1, rising))))
    return made


def _per_step(scheduler: Any) -> dict[str, Any]:
    return {"scheduler": scheduler, "interval": "step"}
