"""Optimizers and learning-rate schedules by name."""

import torch
from torch import nn

from stages.settings.network import Recipe


def make_optimizer(network: nn.Module, recipe: Recipe) -> torch.optim.Optimizer:
    """The recipe's optimizer over all parameters."""
    if recipe.train.optimizer == "adam":
        # As published systems use it: plain Adam, where weight decay is L2 regularisation.
        return torch.optim.Adam(
            network.parameters(), recipe.lr, weight_decay=recipe.train.weight_decay
        )
    return torch.optim.AdamW(
        network.parameters(), recipe.lr, weight_decay=recipe.train.weight_decay
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
