"""Optimizers and learning-rate schedules by name."""

import difflib

import torch
from timm.optim import create_optimizer_v2, list_optimizers
from torch import nn

from stages.errors import UserError
from stages.settings.network import Recipe


def make_optimizer(network: nn.Module, recipe: Recipe) -> torch.optim.Optimizer:
    """The recipe's optimizer over all parameters, by timm's factory.

    Weight decay is as each name has it: decoupled for `adamw`, L2 regularisation for `adam`.

    Raises `UserError` if timm has no optimizer of that name, or cannot make it.
    """
    name = recipe.train.optimizer
    known = [str(each) for each in list_optimizers(exclude_filters=["bnb*", "fused*"])]
    if name.removeprefix("lookahead_") not in known:
        close = difflib.get_close_matches(name, known, 3)
        hint = ", ".join(close) if close else "see timm.optim.list_optimizers()"
        raise UserError(f"params.yaml: train.optimizer: timm has no '{name}'; {hint}")
    return create_optimizer_v2(
        network,
        opt=name,
        lr=recipe.lr,
        weight_decay=recipe.train.weight_decay,
        momentum=recipe.train.momentum,
        # Published systems decay all parameters alike.
        filter_bias_and_bn=False,
    )


def make_scheduler(
    optimizer: torch.optim.Optimizer, recipe: Recipe, steps: int
) -> torch.optim.lr_scheduler.LRScheduler:
    """The recipe's schedule over all `steps` (batches of all epochs), stepped after each."""
    if recipe.train.scheduler == "onecycle":
        return torch.optim.lr_scheduler.OneCycleLR(
            optimizer, recipe.lr, total_steps=steps, pct_start=recipe.train.warmup
        )
    return torch.optim.lr_scheduler.ConstantLR(optimizer, factor=1.0, total_iters=0)
