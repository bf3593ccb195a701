"""What a network runs on: its device, in what numbers it computes, and how many workers feed it."""

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


def computes_bf16(device: torch.device) -> bool:
    """Whether the hardware has instructions for bf16."""
    if device.type == "cpu":
        # oneDNN offers bf16 on any CPU, but only these instructions can make it faster.
        capabilities = torch.cpu.get_capabilities()
        return any(bool(capabilities.get(name)) for name in ("avx512_bf16", "amx_bf16"))
    return device.type == "cuda" and torch.cuda.is_bf16_supported(including_emulation=False)


def choose_precision(precision: str, device: torch.device) -> str:
    """Lightning's name for it; `auto` is bf16 where the hardware computes in it.

    Of what is trained on a CPU `training.precision` decides.
    """
    if precision != "auto":
        return precision
    return "bf16-mixed" if computes_bf16(device) else "32-true"


def worker_count(workers: int | str, device: torch.device, processes: int = 1) -> int:
    """Processes that prepare images; `auto` is one per core beside a GPU.

    On CPU it is none: there they would take their time from the network's own threads.

    Args:
        workers: `compute.workers`.
        device: that the images are for.
        processes: on this machine that train together; each has its share of the cores.
    """
    if workers != "auto":
        return int(workers)
    if device.type == "cpu":
        return 0
    # Only here: its import takes long.
    import joblib

    # Those that this process may use: affinity and limits of containers count, and what
    # LOKY_MAX_CPU_COUNT says, by which `folds-parallel` shares them out.
    cores: int = joblib.cpu_count()
    return max(1, cores // processes)
