"""Settings of the sources: which files hold images and labels, and in what form."""

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from foldwise.core.settings import Settings

Text = Annotated[str, Field(min_length=1)]


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
    """A CSV or Parquet table with a row per image."""

    file: Text = "labels.csv"
    images: str = ""
    """Folder, below data.path, that the file column is relative to."""
    column: Text = "file"
    """Column of the image's file name."""
    suffix: str = ""
    """Added to every file name, for columns that leave out `.jpg`."""
    labels: Literal["columns", "separated", "class"]
    """One 0/1 column per class, one column of separated classes, or one column of the class."""
    label: Text = "label"
    """The column, where `labels` is `separated` or `class`."""
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

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.part and self.test:
            raise ValueError("part: data.table.test names the test part already; drop one")
        return self


class FolderLayout(Settings):
    """A folder per class."""

    train: Text = "train"
    """Folder of the train part's classes; without it, all folders of data.path are classes."""
    valid: Text = "val"
    """Where it exists, joins the train part; with `split.method: list` it is what is held out."""
    test: Text = "test"
    """Where it exists, the test part: folders per class or, unlabelled, images alone."""
