"""Source `images` of extra data: images without labels."""

from foldwise.core.errors import UserError
from foldwise.sources.labels import unlabelled
from foldwise.sources.names import natural
from foldwise.sources.pairs import is_called_an_image
from foldwise.sources.problems import Problems
from foldwise.sources.settings import Data
from foldwise.sources.source import Source
from foldwise.sources.tree import Tree


def load_images(data: Data, tree: Tree, _: Problems) -> Source:
    """Take every file that is called an image, at any depth.

    Raises `UserError` if there is none.
    """
    names = sorted(filter(is_called_an_image, tree.below("")), key=natural)
    if not names:
        raise UserError(f"{tree.root}: holds no images; is data.path what you meant?")
    return Source(
        name=data.path,
        task="multilabel",
        classes=[],
        ids=names,
        parts=["train"] * len(names),
        labels=unlabelled(len(names), []),
        read=lambda position: tree.read(names[position]),
        label=lambda position: tree.label(names[position]),
        origin={"path": data.path},
    )
