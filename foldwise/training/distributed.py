"""Processes that train one fold together: how many, which writes, and norms of the whole batch."""

import os
from typing import Any

import torch
import torch.distributed as dist
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

from foldwise.core.errors import UserError
from foldwise.model.hardware import choose_device
from foldwise.model.settings import Compute

RANKS = ("RANK", "LOCAL_RANK", "NODE_RANK", "GROUP_RANK", "SLURM_PROCID")


def is_main_process() -> bool:
    """Whether this process is the one that writes files: of rank 0, or alone."""
    return not any(int(os.environ.get(name) or 0) > 0 for name in RANKS)


def process_count(compute: Compute) -> int:
    """How many processes train one fold."""
    devices = compute.devices
    if devices == "auto":
        device = choose_device(compute.accelerator)
        devices = torch.cuda.device_count() if device.type == "cuda" else 1
    return devices * compute.num_nodes


class _SumOverProcesses(torch.autograd.Function):
    """A sum over all processes; its gradient is the sum of all processes' gradients."""

    @staticmethod
    def forward(_: Any, *inputs: torch.Tensor) -> torch.Tensor:
        total = inputs[0].clone()
        dist.all_reduce(total)
        return total

    @staticmethod
    def backward(_: Any, *gradients: torch.Tensor) -> torch.Tensor:
        return _SumOverProcesses.forward(None, gradients[0].contiguous())


def _sum(values: torch.Tensor) -> torch.Tensor:
    return _SumOverProcesses.apply(values)


class SharedBatchNorm(_BatchNorm):
    """Batch normalisation by the whole batch: torch's SyncBatchNorm, which is for GPUs, on CPU."""

    def __init__(self, layer: _BatchNorm) -> None:
        """
        Args:
            layer: whose weights and running statistics this one takes over.
        """
        super().__init__(
            layer.num_features, layer.eps, layer.momentum, layer.affine, layer.track_running_stats
        )
        self._parameters = layer._parameters
        self._buffers = layer._buffers
        self.training = layer.training
        # timm's layers with an activation in them; nothing in torch's own.
        self.drop = getattr(layer, "drop", nn.Identity())
        self.act = getattr(layer, "act", nn.Identity())

    def _check_input_dim(self, input: torch.Tensor) -> None:
        pass

    def forward(self, input: torch.Tensor) -> torch.Tensor:
        """(images, channels, ...), normalised per channel; same shape."""
        return self.act(self.drop(self._normalized(input)))

    def _normalized(self, input: torch.Tensor) -> torch.Tensor:
        if not self.training:
            return super().forward(input)
        values = input.float()
        dims = [0, *range(2, values.ndim)]
        shape = [1, -1] + [1] * (values.ndim - 2)
        count = _sum(torch.tensor(float(values[:, 0].numel())))
        mean = _sum(values.sum(dims)) / count
        centred = values - mean.view(shape)
        variance = _sum((centred * centred).sum(dims)) / count
        if self.running_mean is not None and self.running_var is not None:
            self._follow(mean.detach(), (variance * count / (count - 1)).detach())
        normal = centred * (variance + self.eps).rsqrt().view(shape)
        if self.weight is not None:
            normal = normal * self.weight.view(shape) + self.bias.view(shape)
        return normal.to(input.dtype)

    def _follow(self, mean: torch.Tensor, variance: torch.Tensor) -> None:
        assert self.num_batches_tracked is not None
        self.num_batches_tracked.add_(1)
        momentum = self.momentum
        if momentum is None:
            momentum = 1 / float(self.num_batches_tracked)
        assert self.running_mean is not None
        assert self.running_var is not None
        self.running_mean.lerp_(mean, momentum)
        self.running_var.lerp_(variance, momentum)


def share_batch_norm(network: nn.Module, device: torch.device) -> None:
    """Let all batch normalisation of a network look at the whole batch.

    Args:
        network: whose layers are replaced.
        device: that it is trained on.

    Raises:
        UserError: a kind of it that processes on CPU cannot share.
    """
    # Only where several processes train: timm takes long to import.
    from timm.layers import BatchNormAct2d, convert_sync_batchnorm

    if device.type == "cuda":
        convert_sync_batchnorm(network)  # type: ignore[no-untyped-call]  # timm has no types
        return

    layers: list[tuple[str, Any]] = list(network.named_modules())
    for name, layer in layers:
        if type(layer) in (nn.BatchNorm1d, nn.BatchNorm2d, BatchNormAct2d):
            network.set_submodule(name, SharedBatchNorm(layer))
        elif isinstance(layer, _BatchNorm):
            raise UserError(
                f"params.yaml: compute.devices: {name} is a {type(layer).__name__}, which cannot "
                "be shared by processes on CPU; write `devices: 1`"
            )
