"""Networks as ONNX graphs: writing one, and the one way in which graphs are run.

Running needs onnxruntime alone; only writing imports torch.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import onnxruntime

if TYPE_CHECKING:
    import torch
    from torch import nn


def open_session(path: Path, threads: int) -> onnxruntime.InferenceSession:
    """A graph, ready to run on the CPU on so many threads."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    return onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])


def export_network(
    module: "nn.Module",
    example: "torch.Tensor",
    path: Path,
    metadata: dict[str, str],
    outputs: Sequence[str] = ("logits",),
) -> None:
    """Write a network as ONNX, any number of images at a time: `images` in, `logits` out.

    Args:
        module: images to logits.
        example: at least two images.
        path: file to write.
        metadata: is put into the file.
        outputs: what the module gives, by names.

    Raises:
        ValueError: torch cannot bring it to ONNX; the message says why.
    """
    import onnx
    import torch

    try:
        program = torch.onnx.export(
            module,
            (example,),
            input_names=["images"],
            output_names=list(outputs),
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
