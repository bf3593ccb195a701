"""Settings of `models`, each a member's network and its input, and of `compute`: where it runs."""

from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, Field, model_validator

from foldwise.core.settings import Count, Fraction, FreeForm, Many, Number, Positive, Settings

PER_PIXEL = {"half": (0.5, 0.5), "efficientnet_lite": (127 / 255, 128 / 255)}
IMAGENET = ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
LIBRARIES = ("foldwise", "torchvision", "timm", "efficientnet_pytorch", "efficientnet_lite")
DROP_PATH = {
    "foldwise": "drop_path",
    "torchvision": "stochastic_depth_prob",
    "timm": "drop_path_rate",
    "efficientnet_pytorch": "drop_connect_rate",
    "efficientnet_lite": "drop_path_rate",
}
"""What the libraries call it."""


Pooling = Literal["avg", "max", "both", "gem"]


class Normalize(Settings):
    """Mean and standard deviation per channel, of pixels scaled to 0-1."""

    mean: Many[Number]
    std: Many[Positive]


class Query(Settings):
    """Sizes of `head: query`."""

    embedding: Annotated[int, Field(ge=8, multiple_of=8)] = 768
    """Numbers that a query and a place have; eight heads of attention share them."""
    groups: Count | None = None
    """Queries, each of which serves as many classes; null: one per class, of 100 at the most."""


def _library_and_name(backbone: str) -> str:
    library, _, name = backbone.partition("/")
    if library not in LIBRARIES or not name:
        raise ValueError(
            f"got '{backbone}'; write <library>/<name>, as in torchvision/resnet50, with one of "
            f"the libraries {', '.join(LIBRARIES)}"
        )
    return backbone


class Model(Settings):
    """One member: a backbone, its head and its input; may override how it is trained."""

    backbone: Annotated[str, AfterValidator(_library_and_name)]
    """`<library>/<name>`, the name as the library spells it."""
    pretrained: bool | Annotated[str, Field(pattern=r"\.(safetensors|pth|pt)$")] = False
    """Start from the library's ImageNet weights, or from a file of weights for this backbone:
    .safetensors, or .pth without anything but tensors in it."""
    head: Literal["replace", "append", "query", "places"] = "replace"
    """`replace` the classifier by Linear(features, classes), or `append` Linear(1000, classes).
    `query`: in the place of pooling and classifier, queries that look at all places of the last map
    or at all tokens, for many labels (ML-Decoder, Ridnik et al. 2023). `places`: a linear layer at
    each place of the last map, whose logits' smooth maximum counts, for small things anywhere."""
    query: Query = Query()
    pooling: Pooling | None = None
    """What is done with the last features' height and width; `both` concatenates mean and maximum;
    `gem` is the generalised mean, its power learned from 3 on with the backbone (Radenovic et al.
    2019). null: as the backbone does."""
    feature_norm: Literal["batch", "unit"] | None = None
    """`batch`: standardise every feature before the new layer, by batch normalisation. `unit`: and
    bring each image's features to one length, which suits frozen backbones and few images."""
    dropout: Fraction = 0.0
    """Share of the features that is dropped before the new layer, in training."""
    drop_path: Fraction | None = None
    """Share of the images that pass the last residual block by its shortcut alone, in training;
    less of the blocks before (stochastic depth, Huang et al. 2016). null: as the backbone does."""
    views: Literal["single", "five_crop"] = "single"
    """`five_crop`: the corners and the centre; a class's logit is the largest of the five."""
    image_size: Annotated[int, Field(ge=16, le=4096)] = 224
    """Height and width, in pixels, of what the network takes."""
    shortest_edge: Count | None = None
    """null: images are stretched to a square of image_size. Else their shorter side is resized to
    this many pixels, and squares of image_size are cut from them: the centre, or five crops."""
    channels: Literal[1, 3] = 3
    """1: images are read as grey, and the backbone's first convolution takes one channel."""
    normalize: Literal["imagenet", "half", "efficientnet_lite"] | Normalize = "imagenet"
    """ImageNet's mean and deviation, 0.5 and 0.5, (x - 127) / 128 of pixels 0-255, as
    EfficientNet-Lite's weights want it, or your own."""
    options: FreeForm = Field(default_factory=dict)
    """Arguments handed to the library's constructor."""
    lr: Positive | None = None
    epochs: Count | None = None
    train: dict[str, Any] = Field(default_factory=dict)
    """Overrides of the section `train` for this member."""

    @model_validator(mode="after")
    def _check(self) -> Self:
        if isinstance(self.normalize, Normalize):
            lengths = {len(self.normalize.mean), len(self.normalize.std)}
            if lengths != {self.channels}:
                raise ValueError(f"normalize needs {self.channels} values (channels) in mean, std")
        if self.shortest_edge is not None and self.shortest_edge < self.image_size:
            raise ValueError(
                f"shortest_edge: {self.shortest_edge} is less than image_size ({self.image_size}); "
                "squares of that size are cut from it"
            )
        if self.views == "five_crop" and self.shortest_edge is None:
            raise ValueError("shortest_edge: is missing; five_crop cuts from images of that size")
        self._check_head()
        argument = DROP_PATH[self.backbone.partition("/")[0]]
        if self.drop_path is not None and argument in self.options:
            raise ValueError(f"options: {argument} is what drop_path sets; drop either")
        return self

    def _check_head(self) -> None:
        if self.head != "query" and self.query != Query():
            raise ValueError(f"query: belongs to head: query, not to {self.head}; drop it")
        if not self.sees_places:
            return
        if self.pooling is not None:
            raise ValueError(f"pooling: head: {self.head} looks at all places; drop pooling")
        if self.feature_norm is not None:
            raise ValueError(
                f"feature_norm: is of pooled features, which head: {self.head} has none of; drop it"
            )

    @property
    def sees_places(self) -> bool:
        """Whether the head takes whole maps."""
        return self.head in ("query", "places")

    @property
    def may_be_cut(self) -> bool:
        """Whether views may be crops: there is more of an image than what is seen at once."""
        return self.shortest_edge is not None and self.views == "single"

    def mean_and_std(self) -> tuple[tuple[float, ...], tuple[float, ...]]:
        """Mean and standard deviation, one value per channel of the input."""
        if isinstance(self.normalize, Normalize):
            return self.normalize.mean, self.normalize.std
        if self.normalize in PER_PIXEL:
            mean_of_all, std_of_all = PER_PIXEL[self.normalize]
            return (mean_of_all,) * self.channels, (std_of_all,) * self.channels
        mean, std = IMAGENET
        if self.channels == 3:
            return mean, std
        return (sum(mean) / 3,), (sum(std) / 3,)


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
    """Lightning's precision; `auto` is bf16-mixed where the hardware has it, else 32-true. On a CPU
    that has it, a few steps of each are tried: bf16-mixed must be a tenth faster."""
    channels_last: bool = True
    """Keep the channels of a pixel side by side in memory, which convolutions run faster on."""
    engine: Literal["auto", "torch", "onnx"] = "auto"
    """What `predict` runs networks by: `onnx` is onnxruntime, on the CPU; `auto` takes it there for
    long predictions. Logits agree to 1e-4."""
    compile: bool = False
    """Let torch.compile translate the network; takes minutes at the start, and a C++ compiler."""
    workers: Annotated[int, Field(ge=0)] | Literal["auto"] = "auto"
    """Processes that read and augment images; `auto`: none on CPU, else one per core, which
    processes and folds that train at once share."""
    batch_size: Count = 64
    """Images at a time where nothing is learned (`predict`)."""
    cluster: str | None = None
    """A Ray cluster that trains and predicts: `<host>:<port>`; `local`: one of this machine alone,
    for the time of a stage; null: the stage's own process does. FOLDWISE_CLUSTER of the environment
    takes its place."""
    num_cpus: Positive = 1.0
    """Of a node of it, that a fold takes: so many folds are there at once."""
    num_gpus: Annotated[Number, Field(ge=0)] | Literal["auto"] = "auto"
    """Likewise; 0.5: two folds share one. `auto`: `devices`, where the cluster has any."""
    node_cache_gb: Positive = 50.0
    """Gigabytes of images, labels and folds that a node may keep for the next fold."""
    features_gb: Positive = 10.0
    """Gigabytes that features of frozen backbones may take in .features/; those that were not used
    for longest go first."""
