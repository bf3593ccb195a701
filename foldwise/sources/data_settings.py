"""Settings of `fetch`: where labelled images come from, and what is done with bad ones."""

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from foldwise.core.settings import Count, Many, Settings
from foldwise.sources.settings import Glyphs
from foldwise.sources.source_settings import Annotations, Download, FolderLayout, Table, Text, Voc


class Data(Settings):
    """Where labelled images come from."""

    source: Literal["glyphs", "dacon", "voc", "annotations", "table", "folder"]
    path: Text
    """Folder or archive that holds the source's files; `glyphs` of digits needs none."""
    downloads: Many[Download] = ()
    """Files from the web that the source's files are in, instead of `path`."""
    classes: Annotated[Many[Text], Field(min_length=1)] | None = None
    """The classes in order; without it they are found in the data."""
    on_error: Literal["stop", "skip"] = "stop"
    """Refuse a data set with bad images, or leave them out and record each in dataset.json."""
    max_pixels: Count = 50_000_000
    """Height x width above which an image counts as bad: it would fill the memory."""
    glyphs: Glyphs = Glyphs()
    voc: Voc = Voc()
    annotations: Annotations = Annotations()
    table: Table | None = None
    folder: FolderLayout = FolderLayout()

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.source == "table" and self.table is None:
            raise ValueError("table: is missing; say what is in the table (see the README)")
        if self.classes is not None and len(set(self.classes)) < len(self.classes):
            raise ValueError("classes: every class may be named once")
        return self
