"""Settings of `map`: what is kept of images' features, and how the report draws them."""

from typing import Annotated, Literal

from pydantic import Field

from foldwise.core.settings import MemberName, Settings


class MapSettings(Settings):
    """What `predict` keeps, and what `present` draws of it."""

    features: bool
    """Whether each image's last features are kept; without them the report has no map."""
    method: Literal["tsne", "pca"] = "tsne"
    """How many dimensions become two: t-SNE keeps neighbours together, PCA is quick and linear."""
    images: Annotated[int, Field(ge=1, le=20_000)] = 4000
    """How many images are drawn at the most."""
    neighbours: Annotated[int, Field(ge=1, le=100)] = 10
    """By how many of an image's nearest ones its labels are judged."""
    member: MemberName | None = None
    """Whose features these are; the first of `members` where it is not given."""
