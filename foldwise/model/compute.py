"""Settings of `compute`: where a stage runs."""

from typing import Annotated, Literal

from pydantic import Field

from foldwise.core.settings import Count, Settings


class Compute(Settings):
    """Where it runs, not what it computes: DVC does not track this section."""

    accelerator: Literal["auto", "cpu", "gpu", "cuda", "mps"] = "auto"
    devices: Count | Literal["auto"] = 1
    """GPUs, or processes on CPU, that train one fold together; each takes its share of every
    batch."""
    num_nodes: Count = 1
    """Machines that do; started on each as Lightning's documentation says."""
    strategy: Annotated[str, Field(pattern=r"^[a-z0-9_]+$")] = "auto"
    """Lightning's name of how they work together: auto, ddp, ..."""
    precision: Literal["auto", "32-true", "16-mixed", "bf16-mixed"] = "auto"
    """Lightning's precision; `auto` is bf16-mixed where the hardware has it, else 32-true."""
    channels_last: bool = True
    """Keep the channels of a pixel side by side in memory, which convolutions run faster on."""
    engine: Literal["auto", "torch", "onnx"] = "auto"
    """What `predict` runs networks by: `onnx` is onnxruntime, on the CPU; `auto` takes it there for
    long predictions. Logits agree to 1e-4."""
    compile: bool = False
    """Let torch.compile translate the network; takes minutes at the start, and a C++ compiler."""
    workers: Annotated[int, Field(ge=0)] | Literal["auto"] = "auto"
    """Processes that read and augment images; `auto`: none on CPU, else one per core up to 8."""
    batch_size: Count = 64
    """Images at a time where nothing is learned (`predict`)."""
