"""Extra data: other sources' images under names of their own, with our classes."""

import difflib
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import numpy as np

from foldwise.core.errors import UserError
from foldwise.sources.names import normal
from foldwise.sources.problems import Problems
from foldwise.sources.settings import Data, SourceSettings
from foldwise.sources.source import UNLABELLED, Source

KEYS = re.compile(rf"\bdata\.(?=({'|'.join([*SourceSettings.model_fields, 'path', 'classes'])})\b)")
"""Keys of `data` that an extra source has too, in messages."""
SHOWN = 10
"""Classes that a line names."""


@contextmanager
def told_as_extra(name: str) -> Iterator[None]:
    """Errors of what is made for the data set name the keys of the extra source instead."""
    try:
        yield
    except UserError as error:
        own = f"data.extra.{name}."
        raise UserError(*(KEYS.sub(own, each) for each in error.args)) from None


def refuse_other_places(data: Data, name: str) -> None:
    """Raise `UserError` if the files of an extra source lie where DVC does not look."""
    extra = data.extra[name]
    if extra.path is None or extra.downloads:
        return
    # Behind a link that leads out of a folder, DVC does not look either.
    path = Path(extra.path).resolve()
    if not any(path.is_relative_to(Path(each).resolve()) for each in (data.path, data.extra_path)):
        raise UserError(
            f"params.yaml: data.extra.{name}.path: '{extra.path}' is neither in data.path nor in "
            "data.extra_path, so that DVC would not see it change; move it there, or set "
            "data.extra_path to a folder that it is in"
        )


def class_names_of_ours(
    data: Data, name: str, theirs: Sequence[str], ours: Sequence[str]
) -> dict[str, str]:
    """Of each class of an extra source that we have, what we call it.

    Args:
        data: the settings.
        name: of the extra source.
        theirs: its classes.
        ours: the data set's.

    Raises:
        UserError: `classes` names one that is not there, or none is in common.
    """
    key = f"params.yaml: data.extra.{name}.classes"
    given = data.extra[name].classes
    if given is None:
        common = {each: each for each in theirs if each in ours}
        if not common:
            raise UserError(
                f"{key}: the source's classes ({_some(theirs)}) are none of data's "
                f"({_some(ours)}); write which is which, as in {{theirs: ours}}"
            )
        return common
    names = {normal(their.strip()): normal(our.strip()) for their, our in given.items()}
    for their, our in names.items():
        if their not in theirs:
            raise UserError(f"{key}: the source has no class '{their}'; {_hint(their, theirs)}")
        if our not in ours:
            raise UserError(f"{key}: data has no class '{our}'; {_hint(our, ours)}")
    return names


def _some(classes: Sequence[str]) -> str:
    more = len(classes) - SHOWN
    return ", ".join(classes[:SHOWN]) + (f" and {more} more" if more > 0 else "")


def _hint(wrong: str, classes: Sequence[str]) -> str:
    close = difflib.get_close_matches(wrong, classes, 1)
    return f"did you mean '{close[0]}'?" if close else f"it has {_some(classes)}"


def as_extra(
    source: Source, data: Data, name: str, ours: Source, problems: Problems
) -> tuple[Source, int]:
    """An extra source's images as the data set's store and table take them.

    Their ids are `<name>/<id>`, their parts `extra` or, without labels, `unlabelled`. A class of
    ours that the source does not know is -1; but of one class per image, all others are 0.

    Args:
        source: the extra one.
        data: the settings.
        name: of the extra source.
        ours: the data set.
        problems: notes images of several classes where ours have one.

    Returns:
        The images, and how many were left out as they show none of our classes where each must
        show one: their set has one class per image, or ours.

    Raises:
        UserError: `classes` is wrong, no image is left, or an id of ours is such an id.
    """
    labels = _labels_of_ours(source, data, name, ours, problems)
    labelled, shown = (labels != UNLABELLED).any(axis=1), (labels == 1).any(axis=1)
    kept = np.ones(len(labels), bool)
    if "multiclass" in (source.task, ours.task):
        kept = ~labelled | shown
    if not kept.any():
        raise UserError(
            f"{data.of_extra(name).path}: no image shows a class of data; see "
            f"data.extra.{name}.classes"
        )
    rows = np.flatnonzero(kept).tolist()
    ids = [f"{name}/{source.ids[row]}" for row in rows]
    taken = set(ours.ids).intersection(ids)
    if taken:
        raise UserError(
            f"params.yaml: data.extra.{name}: data has an image called '{min(taken)}'; "
            "take another name for the extra source"
        )
    theirs = source.groups or [""] * len(source.ids)
    made = replace(
        source,
        task=ours.task,
        classes=ours.classes,
        ids=ids,
        parts=["extra" if labelled[row] else "unlabelled" for row in rows],
        labels=labels[rows],
        read=lambda position: source.read(rows[position]),
        label=lambda position: source.label(rows[position]),
        submission=ours.submission,
        # The columns of the data set's own table.
        groups=None if ours.groups is None else [theirs[row] for row in rows],
        folds=None if ours.folds is None else [-1] * len(rows),
    )
    return made, int((~kept).sum())


def _labels_of_ours(
    source: Source, data: Data, name: str, ours: Source, problems: Problems
) -> np.ndarray:
    """(images, our classes) int8: labels of an extra source; notes several where we have one."""
    labels = np.full((len(source.ids), len(ours.classes)), UNLABELLED)
    labelled = (source.labels != UNLABELLED).any(axis=1)
    if labelled.any():
        names = class_names_of_ours(data, name, source.classes, ours.classes)
        labels[labelled] = _renamed(source, names, ours.classes)[labelled]
    if ours.task == "multiclass":
        shown = (labels == 1).sum(axis=1)
        for position in np.flatnonzero(shown > 1).tolist():
            problems.add(
                source.label(position),
                f"shows several classes of data, whose images have one; remove it, or see "
                f"data.extra.{name}.classes",
            )
        problems.check()
        # That it is one says that it is none of the others, known to the source or not.
        labels[shown > 0] = labels[shown > 0] == 1
    return labels


def _renamed(source: Source, names: Mapping[str, str], ours: Sequence[str]) -> np.ndarray:
    """(images, our classes): of several classes of theirs that are one of ours, any counts."""
    labels = np.full((len(source.labels), len(ours)), -1, np.int8)
    for index, our in enumerate(ours):
        columns = [column for column, each in enumerate(source.classes) if names.get(each) == our]
        if columns:
            said = source.labels[:, columns]
            unknown = np.where((said == -1).any(axis=1), -1, 0)
            labels[:, index] = np.where((said == 1).any(axis=1), 1, unknown)
    return labels
