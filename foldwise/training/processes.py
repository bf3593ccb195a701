"""Processes that train one fold together, as Lightning starts them."""

import os

RANKS = ("RANK", "LOCAL_RANK", "NODE_RANK", "GROUP_RANK", "SLURM_PROCID")


def follows() -> bool:
    """Whether this process helps another one, which alone writes files."""
    return any(int(os.environ.get(name) or 0) > 0 for name in RANKS)
