"""What classes, ids and groups may be called, whatever the source."""

from foldwise.sources.names import has_controls
from foldwise.sources.problems import Problems
from foldwise.sources.source import Source

RESERVED = frozenset(
    {
        # labels.parquet, and all that is looked up in it by name
        *("id", "part", "group", "fold"),
        # `python -m foldwise apply`
        *("image", "labels", "agreement"),
        # submissions and tables of other programs: an image's file, and the number of a row
        *("file", "index"),
        # the series beside the classes in plots/tail_accuracy.csv
        "mean over classes",
    }
)
"""What stands beside classes in some table, so that no class may be called so."""


def check_names(source: Source, path: str) -> None:
    """Refuse names that a table, a header or a terminal could not hold.

    Args:
        source: of the names.
        path: of the data set.

    Raises:
        UserError: a class is called like a column beside it, is blank, or is there twice; a class,
            an id or a group holds control characters; an id is blank.
    """
    problems = Problems()
    headers = {source.submission.get(key) for key in ("index", "class")}
    for index, name in enumerate(source.classes):
        culprit = f"{path}: class '{name}'"
        if has_controls(name):
            problems.add(culprit, "holds control characters; rename it")
        elif not name.strip():
            problems.add(culprit, f"number {index} has no name; name it, or remove its column")
        elif name in RESERVED | headers:
            problems.add(
                culprit,
                f"is called like a column that stands beside classes; rename it, to '{name}_' say",
            )
        elif name in source.classes[:index]:
            problems.add(culprit, "is there twice; rename one")
    named = {"id": source.ids} | ({"group": source.groups} if source.groups is not None else {})
    for what, names in named.items():
        for position, name in enumerate(names):
            if has_controls(name):
                problems.add(
                    f"{source.label(position)}: {what} '{name}'",
                    "holds control characters; rename it",
                )
            elif what == "id" and not name.strip():
                problems.add(source.label(position), "has no name in its row; add it")
    problems.check()
