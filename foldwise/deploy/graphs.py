"""Networks as ONNX graphs that need nothing of ours: pixels in, logits out."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import torch
from torch import nn

from foldwise.core.errors import UserError
from foldwise.deploy.merge_torch import merge_logits, softmax_log_odds
from foldwise.ensembling.settings import Merge
from foldwise.model.classifier import Classifier
from foldwise.model.normalize import Normalizer
from foldwise.model.views import CENTRE, View

TOLERANCE = 1e-4
"""Largest difference from torch, of logits up to 1; relative to the largest logit beyond."""


class SeenThroughViews(nn.Module):
    """One fold's network: uint8 images ([5 crops,] channels, height, width) to merged logits."""

    def __init__(
        self,
        network: Classifier,
        normalize: Normalizer,
        views: Sequence[View],
        merge: Merge,
        softmax: bool,
        cut: bool,
    ) -> None:
        """
        Args:
            network: ready for inference.
            normalize: from pixels to what it takes.
            views: that an image is seen through.
            merge: how their logits become one.
            softmax: the network's outputs are a softmax's; each class's log-odds are given.
            cut: images come as their five crops, of which each view takes one.
        """
        super().__init__()
        self.network = network
        self.normalize = normalize
        self._views = tuple(views)
        self._merge = merge
        self._softmax = softmax
        self._cut = cut

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Logits (images, classes)."""
        pixels = self.normalize(images)
        crops = pixels.unbind(1) if self._cut else [pixels] * (CENTRE + 1)
        # One pass for all views: the graph has every layer once.
        seen = torch.cat([view(crops[view.crop]) for view in self._views])
        logits = self.network(seen).unflatten(0, (len(self._views), images.shape[0]))
        if logits.device.type == "mps":
            # Apple's GPUs have no float64, which merging needs.
            logits = logits.cpu()
        return merge_logits(softmax_log_odds(logits) if self._softmax else logits, self._merge)


class MergedFolds(nn.Module):
    """All folds of a member: uint8 images to the logits that their merge gives."""

    def __init__(self, folds: Sequence[SeenThroughViews], merge: Merge) -> None:
        super().__init__()
        self.folds = nn.ModuleList(folds)
        self._merge = merge

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Logits (images, classes)."""
        return merge_logits(torch.stack([fold(images) for fold in self.folds]), self._merge)


def export_network(
    module: nn.Module, example: torch.Tensor, path: Path, metadata: dict[str, str]
) -> None:
    """Write a network as ONNX, any number of images at a time: `images` in, `logits` out.

    Args:
        module: uint8 images to logits.
        example: at least two images.
        path: file to write.
        metadata: is put into the file.

    Raises:
        ValueError: torch cannot bring it to ONNX; the message says why.
    """
    try:
        program = torch.onnx.export(
            module,
            (example,),
            input_names=["images"],
            output_names=["logits"],
            dynamic_shapes=({0: torch.export.Dim("batch")},),
            verbose=False,
        )
    except torch.onnx.OnnxExporterError as error:
        raise ValueError(str(error).partition("\n")[0]) from None
    assert program is not None
    program.save(path, external_data=False)
    model = onnx.load(path)
    onnx.helper.set_model_props(model, metadata)
    onnx.save(model, path)


def session(path: Path, threads: int) -> onnxruntime.InferenceSession:
    """Runs a graph on the CPU."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    return onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])


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
    runs = session(path, torch.get_num_threads())
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
