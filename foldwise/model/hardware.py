"""What a network runs on: its device, in what numbers it computes, and how many workers feed it."""

import os

import torch

from foldwise.core.errors import UserError

DTYPES = {"bf16-mixed": torch.bfloat16, "16-mixed": torch.float16}
"""Of automatic mixed precision, by Lightning's names."""


def choose_device(accelerator: str) -> torch.device:
    """The device of Lightning's name for it; `auto` takes a GPU where there is one.

    Raises `UserError` if there is none.
    """
    names = {"cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available()}
    if accelerator == "auto":
        return torch.device(next((name for name, found in names.items() if found), "cpu"))
    if accelerator == "gpu":
        accelerator = "mps" if names["mps"] else "cuda"
    if not names.get(accelerator, True):
        raise UserError(
            f"params.yaml: compute.accelerator: {accelerator} is not there; write `auto` or `cpu`"
        )
    return torch.device(accelerator)


def choose_precision(precision: str, device: torch.device) -> str:
    """Lightning's name for it; `auto` is bf16 where the hardware computes in it."""
    if precision != "auto":
        return precision
    if device.type == "cpu":
        # oneDNN offers bf16 on any CPU, but only these instructions make it faster.
        capabilities = torch.cpu.get_capabilities()
        supported = any(capabilities.get(name) for name in ("avx512_bf16", "amx_bf16"))
    else:
        supported = device.type == "cuda" and torch.cuda.is_bf16_supported(
            including_emulation=False
        )
    return "bf16-mixed" if supported else "32-true"


def worker_count(workers: int | str, device: torch.device) -> int:
    """Processes that prepare images; `auto` is one per core beside a GPU, 8 at the most.

    On CPU it is none: there they would take their time from the network's own threads.
    """
    if workers != "auto":
        return int(workers)
    return 0 if device.type == "cpu" else min(8, os.cpu_count() or 1)
