"""In what numbers a network computes."""

import torch

DTYPES = {"bf16-mixed": torch.bfloat16, "16-mixed": torch.float16}
"""Of automatic mixed precision, by Lightning's names."""


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
