"""Exported members: graphs that need nothing of ours, each compared with torch."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from foldwise.core.errors import UserError
from foldwise.inference.finite import check_finite
from foldwise.inference.onnx import export_network, open_session

TOLERANCE = 1e-4
"""Largest difference from torch, of logits up to 1; relative to the largest logit beyond."""


def write_graph(
    module: nn.Module, images: torch.Tensor, path: Path, content: dict[str, Any]
) -> float:
    """Export and check one graph; its largest difference from torch.

    Args:
        module: uint8 images to logits.
        images: at least three.
        path: file to write, in a folder that need not exist.
        content: `member`, `fold` and all else that stands beside the graph.

    Raises:
        UserError: its logits are no finite numbers, torch cannot bring it to ONNX, or the graph
            gives other logits.
    """
    with torch.inference_mode():
        check_finite(module(images).numpy(), f"{content['member']} fold {content['fold']}")
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        export_network(module, images[:2], path, {"foldwise": json.dumps(content)})
    except ValueError as error:
        raise UserError(f"{content['member']}: cannot be brought to ONNX ({error})") from None
    return check_network(module, images, path)


@torch.inference_mode()
def check_network(module: nn.Module, images: torch.Tensor, path: Path) -> float:
    """The largest difference of a written graph from torch, over batches of one image and of all.

    Args:
        module: that was exported.
        images: uint8, more than were exported with.
        path: of the graph.

    Raises:
        UserError: it is larger than `TOLERANCE`.
    """
    runs = open_session(path, torch.get_num_threads())
    worst = 0.0
    for batch in (images[:1], images):
        wanted = module(batch).numpy()
        (found,) = runs.run(["logits"], {"images": batch.numpy()})
        if found.shape != wanted.shape:
            raise UserError(f"{path}: gives {found.shape}, torch {wanted.shape}; report it to us")
        error = float(np.abs(found - wanted).max() / max(1, np.abs(wanted).max()))
        # Here, not of the largest: that would lose an error that is no number.
        if not error <= TOLERANCE:
            raise UserError(
                f"{path}: its logits differ from torch's by {error:.1e}, more than {TOLERANCE}; "
                "leave the member out, or use torch"
            )
        worst = max(worst, error)
    return worst
