"""Settings of `data`: where labelled images come from, and in what form."""

from os.path import normpath
from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, Field, Strict, model_validator

from foldwise.composing.settings import PRESETS, Compose
from foldwise.core.settings import Count, Many, MemberName, Number, Settings
from foldwise.images.decode import MAX_PIXELS
from foldwise.images.decoding import DEPTHS, Decoding


class Images(Settings):
    """How many images are composed."""

    train: Count = 3600
    test: Annotated[int, Field(ge=0)] = 1200


class Glyphs(Settings):
    """The embedded source: images composed from single characters."""

    glyphs_from: Literal["digits", "letters", "emnist", "fonts"] = Field(
        default="digits", alias="from"
    )
    """scikit-learn's handwritten digits; the competition's `mnist_data/train.csv` below data.path;
    EMNIST's letters; or letters of fonts."""
    preset: Literal["dirty_mnist"] | None = None
    """Values for all of `compose`; what is written there comes first."""
    images: Images = Images()
    test_glyphs: Annotated[Number, Field(gt=0, lt=1)] = 0.25
    """Share of every class's glyphs that only test images are composed from."""
    compose: Compose = Compose()
    seed: Annotated[int, Field(ge=0)] = 0
    fit: bool = False
    """Of an extra source: `compose` is where estimating the train part's look begins."""

    @model_validator(mode="before")
    @classmethod
    def _apply_preset(cls, content: Any) -> Any:
        if isinstance(content, dict) and content.get("preset") in PRESETS:
            written = content.get("compose", {})
            if isinstance(written, dict):
                return content | {"compose": PRESETS[content["preset"]] | written}
        return content


Text = Annotated[str, Field(min_length=1)]
Level = Annotated[int, Field(ge=0, le=255)]


def code_page(name: str) -> str:
    """The name of a code page in which ASCII is as ever; `ValueError` for any other name.

    >>> code_page("cp949")
    'cp949'
    """
    ascii_bytes = bytes(range(32, 127))
    try:
        keeps_ascii = ascii_bytes.decode(name) == ascii_bytes.decode()
    except (LookupError, ValueError):
        keeps_ascii = False
    if not keeps_ascii:
        raise ValueError(f"{name!r} is no code page; cp1252, cp949, cp932, gbk, cp437, ...")
    return name


class Download(Settings):
    """A file from the web, which takes part in the data set as if it lay in `data.path`."""

    url: Annotated[str, Field(pattern=r"^https?://[^/]+/.*[^/]$")]
    checksum: Annotated[
        str, Field(pattern=r"^(md5:[0-9a-f]{32}|sha1:[0-9a-f]{40}|sha256:[0-9a-f]{64})$")
    ]
    """`md5:`, `sha1:` or `sha256:` and the digits."""


class Voc(Settings):
    """PASCAL VOC: lists of `ImageSets/Main`."""

    year: int | None = None
    """Of the folder `VOC<year>`; needed only where there are several."""
    train_list: Text = "trainval"
    valid_list: Text | None = None
    """Joins the train part; with `split.method: list` it is what is held out."""
    test_list: Text | None = "test"


class Annotations(Settings):
    """One JSON file of annotations per part: the course project's form, or COCO's instances."""

    train: Text = "answer.json"
    train_images: Text = "train_data"
    """Folder of the images that `train` names."""
    test: Text | None = None
    """The test part's annotations, where there are any."""
    test_images: Text | None = "test_data"
    """Folder of the test part: what `test` names or, without it, all images there, unlabelled."""


class Table(Settings):
    """A CSV or Parquet table with a row per image, or per image and class."""

    file: Text = "labels.csv"
    images: str = ""
    """Folder, below data.path, that the file column is relative to; `photos/**`: that one or any
    folder below, where each name is in one of them alone."""
    column: Text = "file"
    """Column of the image's file name."""
    suffix: str = ""
    """Added to every file name, for columns that leave out `.jpg`."""
    labels: Literal["columns", "separated", "class", "rows"]
    """One 0/1 column per class, one column of separated classes, one column of the class, or a row
    per image and class."""
    label: Text = "label"
    """The column, where `labels` is `separated`, `class` or `rows`."""
    present: Text | None = None
    """Of `rows`, a column that says 1 where the image shows the class and 0 where it does not."""
    separator: Annotated[str, Field(min_length=1)] = " "
    """Between the classes of a `separated` column."""
    group: Text | None = None
    """Column of what must stay together, a patient for example; see split.group."""
    fold: Text | None = None
    """Column of the fold that holds the image out (-1: none); see split.method: list."""
    part: Text | None = None
    """Column that says `train` or `test`."""
    test: Text | None = None
    """A second table, of the test part; it may lack the labels."""
    valid: Text | None = None
    """A table of images that join the train part; with `split.method: list` they are what is held
    out."""
    test_images: str | None = None
    """Folder that the test part's file column is relative to; null: `images`."""
    sample: Text | None = None
    """A sample submission, which lists the test part: its columns of labels do not count."""
    encoding: Annotated[str, AfterValidator(code_page)] | None = None
    """Code page of tables that are not UTF-8: of Excel's CSV in the west cp1252, in Korea cp949, in
    Japan cp932, in China gbk."""

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.present and self.labels != "rows":
            raise ValueError("present: is for `labels: rows`; drop one")
        if self.part and self.test:
            raise ValueError("part: data.table.test names the test part already; drop one")
        if self.sample and (self.part or self.test):
            other = "part" if self.part else "test"
            raise ValueError(f"sample: data.table.{other} names the test part already; drop one")
        if self.valid and self.fold:
            raise ValueError("valid: data.table.fold says what is held out already; drop one")
        if self.test_images is not None and self.tested is None:
            raise ValueError("test_images: is for `test` or `sample`; name one, or drop it")
        return self

    @property
    def tested(self) -> str | None:
        """The table of the test part, where it has one.

        >>> Table(labels="class", sample="sample_submission.csv").tested
        'sample_submission.csv'
        """
        return self.test or self.sample

    def folder_of(self, table: str) -> str:
        """Where a table's images lie.

        >>> Table(labels="class", images="a", test="t.csv", test_images="b").folder_of("t.csv")
        'b'
        """
        own = self.test_images if table == self.tested else None
        return self.images if own is None else own


class FolderLayout(Settings):
    """A folder per class."""

    train: Text = "train"
    """Folder of the train part's classes; without it, all folders of data.path are classes."""
    valid: Text = "val"
    """Where it exists, joins the train part; with `split.method: list` it is what is held out."""
    test: Text = "test"
    """Where it exists, the test part: folders per class or, unlabelled, images alone."""


class SourceSettings(Settings):
    """What a source is told, wherever it stands."""

    source: str
    downloads: Many[Download] = ()
    """Files from the web that the source's files are in, instead of `path`."""
    zip_encoding: Annotated[str, AfterValidator(code_page)] | None = None
    """Code page of names in zip files that are not said to be UTF-8: cp949 of Korean Windows, cp932
    of Japanese, gbk of Chinese, cp437 of old programs."""
    on_error: Literal["stop", "skip"] = "stop"
    """Refuse a data set with bad images, or leave them out and record each in dataset.json."""
    max_pixels: Count = MAX_PIXELS
    """Height x width above which an image counts as bad: it would fill the memory."""
    glyphs: Glyphs = Glyphs()
    voc: Voc = Voc()
    annotations: Annotations = Annotations()
    table: Table | None = None
    folder: FolderLayout = FolderLayout()

    @model_validator(mode="after")
    def _check_table(self) -> Self:
        if self.source == "table" and self.table is None:
            raise ValueError("table: is missing; say what is in the table (see docs/sources.md)")
        return self


class Extra(SourceSettings):
    """More images to learn from, on which nothing is ever scored."""

    source: Literal["glyphs", "dacon", "voc", "annotations", "table", "folder", "images"]
    """As `data.source`; of `glyphs`, images are composed while training, without end. `images`: all
    images below `path`, without labels."""
    path: Text | None = None
    """As `data.path`, which it is without this key: inside that folder or `data.extra_path`."""
    classes: Annotated[dict[Text, Text], Field(min_length=1)] | None = None
    """Of each class of theirs that counts, which of ours it is; without it, those of one name."""

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.source == "images" and self.classes is not None:
            raise ValueError("classes: `source: images` has no labels; drop this key")
        given = self.glyphs.model_fields_set & {"images", "test_glyphs"}
        if self.source == "glyphs" and given:
            key = min(given)
            raise ValueError(f"glyphs.{key}: composed while training without end; drop {key}")
        return self


class Data(SourceSettings):
    """Where labelled images come from."""

    source: Literal["glyphs", "dacon", "voc", "annotations", "table", "folder"]
    path: Text
    """Folder or archive that holds the source's files; `glyphs` of digits needs none."""
    extra_path: Text
    """Folder of what is not in `path`: of `extra` sources."""
    classes: Annotated[Many[Text], Field(min_length=1)] | None = None
    """The classes in order; without it they are found in the data."""
    ground: Annotated[tuple[Level, Level, Level], Strict(False)] = Decoding().ground
    """Red, green and blue, 0 to 255, that transparent pixels are laid on."""
    depth: Literal["auto"] | Annotated[int, Field(ge=DEPTHS.start, lt=DEPTHS.stop)] = "auto"
    """Bits of a sample in 16-bit files that do not say how many count; `auto`: the fewest, 8 at
    least, that hold the data set's largest."""
    extra: dict[MemberName, Extra] = Field(default_factory=dict)
    """More sources to learn from, by names of your choice."""
    corrections: Text | None = None
    """A CSV file of labels that were looked at: `id,class,was,is,when,why`. It is corrections.csv,
    or lies in `path` or `extra_path`, where DVC looks."""

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.classes is not None and len(set(self.classes)) < len(self.classes):
            raise ValueError("classes: every class may be named once")
        if self.source == "glyphs" and self.glyphs.fit:
            raise ValueError("glyphs.fit: is for sources of data.extra; drop it here")
        if normpath(self.extra_path) == normpath(self.path):
            raise ValueError("extra_path: is data.path, which DVC looks at already; name another")
        return self

    def of_extra(self, name: str) -> "Data":
        """The settings of an extra source as if it were the data set.

        Its classes are none but of a table with a column per class, whose columns they are.
        """
        extra = self.extra[name]
        by_column = extra.table is not None and extra.table.labels == "columns"
        wanted = tuple(extra.classes) if by_column and extra.classes else None
        own = {key: getattr(extra, key) for key in SourceSettings.model_fields}
        changed: dict[str, Any] = {"path": extra.path or self.path, "classes": wanted, "extra": {}}
        return self.model_copy(update=own | changed)
