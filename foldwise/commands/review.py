"""Suspected label errors, one after the other, answered with the keyboard in a browser.

`python -m foldwise review` serves a page on this machine alone. Every answer is in corrections.csv
before the next image is shown; what is answered is not asked again.
"""

import argparse
import webbrowser
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from foldwise.core import files
from foldwise.core.corrected import read_corrected
from foldwise.core.damage import refuse_changed
from foldwise.core.errors import UserError
from foldwise.core.settings import Folds, Members, Seed, read, read_file
from foldwise.embedding.kept import read_feature_space
from foldwise.embedding.neighbours import in_the_midst, neighbours_of
from foldwise.embedding.settings import MapSettings
from foldwise.embedding.space import FeatureSpace
from foldwise.evaluation.predictions import Part, read_parts
from foldwise.evaluation.settings import Evaluate
from foldwise.images.store import ImageStore
from foldwise.review.adding import taken_over
from foldwise.review.answer_file import AnswerFile, read_answers
from foldwise.review.heat import heat_maker
from foldwise.review.member_scores import FoldScores, fold_scores
from foldwise.review.server import ReviewServer
from foldwise.review.session import MOST_ALIKE, ReviewSession
from foldwise.review.source_labels import of_the_source, source_labels
from foldwise.review.suspects import Suspect, ordered_suspects

LABELLED = (files.LABELS, files.DATASET, files.CORRECTED)
NEEDED = (*LABELLED, files.DUPLICATES, files.ENSEMBLE, files.OUT_OF_FOLD, files.DECISION)
DEFAULT = "corrections.csv"
MOST = 5000
"""Images that are asked about, where nothing else is said."""


def corrections_path(params: Any) -> Path:
    """Where answers go where nothing else is said: `data.corrections`, or a name of ours.

    Args:
        params: what params.yaml holds.
    """
    data = params.get("data")
    named = data.get("corrections") if isinstance(data, dict) else None
    return Path(named if isinstance(named, str) and named else DEFAULT)


def reviewed_parts(dataset: dict[str, Any], test: bool) -> dict[str, Part]:
    """The parts that may be asked about: out-of-fold, and the test part where it is wanted.

    Raises:
        UserError: a file is missing or damaged, or the test part may not be looked at.
    """
    settings = read("evaluate", Evaluate)
    if test and not settings.test:
        raise UserError("--test: params.yaml has evaluate.test: false; nobody looks at it yet")
    return read_parts(dataset, files.read_arrays(files.ENSEMBLE, "ensemble"), test=test)


def member_scores(suspects: Sequence[Suspect], single: bool) -> tuple[list[FoldScores], list[str]]:
    """Scores of every member and fold, and a line for each whose predictions are not there."""
    wanted = {each.id for each in suspects}
    found, notes = [], []
    for member in read("members", Members):
        for fold in read("folds", Folds):
            path = files.PREDICTIONS / member / f"{fold}.npz"
            try:
                arrays = files.read_arrays(path, "predict")
                found.append(fold_scores(member, fold, arrays, wanted, single))
            except UserError as error:
                notes.append(f"Scores of {member}, fold {fold}, are left out: {error}")
    return found, notes


def features_of_run() -> tuple[FeatureSpace | None, list[str]]:
    """All images by their features, and a line if those are not there.

    A run before features were kept has no such section of params.yaml.
    """
    settings = read("map", MapSettings, MapSettings(features=False))
    if not settings.features:
        return None, ["The nearest images are left out: params.yaml has no `map: {features: true}`"]
    member = settings.member or read("members", Members)[0]
    try:
        return read_feature_space(member, read("folds", Folds)), []
    except UserError as error:
        return None, [f"The nearest images are left out: {error}"]


def make_session(arguments: argparse.Namespace) -> ReviewSession:
    """All that is asked about, read from the run in this folder.

    Raises:
        UserError: there is no such run, or it is damaged.
    """
    refuse_changed(NEEDED)
    dataset = files.read_dataset()
    single = dataset["task"] == "multiclass"
    parts = reviewed_parts(dataset, arguments.test)
    kinds = {"picture": int, "id": str}
    pictures = files.read_csv(
        files.DUPLICATES, "split", list(kinds), dtype={"id": str}, keep_default_na=False
    )
    space, lacking = features_of_run()
    midst: dict[str, pd.DataFrame] = {}
    nearest = None
    if space is not None:
        oof, count = parts["oof"], read("map", MapSettings).neighbours
        seed = read("seed", Seed)
        # Of the test part nobody's labels are held against others'.
        midst["oof"] = in_the_midst(space, oof.labels, oof.ids, single, count, seed)
        shown = [id for part in parts.values() for id in part.ids]
        nearest = neighbours_of(space.of(np.isin(space.ids, shown)), MOST_ALIKE)
    suspects = ordered_suspects(parts, pictures, single, arguments.most, midst)
    scores, notes = member_scores(suspects, single)
    return ReviewSession(
        title=dataset["name"],
        classes=dataset["classes"],
        single=single,
        parts=parts,
        suspects=suspects,
        file=AnswerFile(answers_path(arguments)),
        store=ImageStore(files.IMAGES),
        scores=scores,
        notes=notes + lacking,
        nearest=nearest,
        heated=files.MODELS.is_dir(),
        again=arguments.again,
        sources=source_labels(read_corrected()),
    )


def answers_path(arguments: argparse.Namespace) -> Path:
    """Where answers go."""
    return Path(arguments.out or corrections_path(read_file()))


def add(path: Path, other: Path) -> None:
    """Take over the answers of another file, and say what is left out.

    Args:
        path: of ours.
        other: of the other one.

    Raises:
        UserError: one of them is no such table, or a file of the run is missing or damaged.
    """
    refuse_changed(LABELLED)
    dataset = files.read_dataset()
    current = files.read_labels().set_index("id")[dataset["classes"]]
    labels = of_the_source(current, source_labels(read_corrected()))
    theirs = read_answers(other)
    with AnswerFile(path).held() as rows:
        found = taken_over(rows, theirs, labels, dataset["task"] == "multiclass")
        rows += found.rows
    for line in found.left_out:
        print(f"left out: {line}")
    new = f"{len(found.rows):,} rows of {other} are new"
    print(f"{path}: {new}, {len(found.left_out):,} answers left out")


def refuse_odd(arguments: argparse.Namespace) -> None:
    """Refuse numbers that mean nothing.

    Raises:
        UserError: names the option.
    """
    if arguments.most < 1:
        raise UserError(f"--most: {arguments.most}: must be 1 or more")
    if not 0 <= arguments.port <= 65535:
        raise UserError(f"--port: {arguments.port}: must be 1 to 65535, or 0 for any that is free")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--out", type=Path, help="where answers go (data.corrections, or "
                        f"{DEFAULT})")  # fmt: skip
    parser.add_argument("--again", action="store_true", help="ask what was answered, too")
    parser.add_argument("--test", action="store_true", help="ask about the test part, too")
    parser.add_argument("--most", type=int, default=MOST, help=f"images at the most ({MOST})")
    parser.add_argument("--add", type=Path, help="only take over the answers of another such file")
    parser.add_argument("--port", type=int, default=0, help="of this machine (any that is free)")
    parser.add_argument("--open", action="store_true", help="open the page in a browser")
    arguments = parser.parse_args()
    refuse_odd(arguments)
    if arguments.add:
        add(answers_path(arguments), arguments.add)
        return
    session = make_session(arguments)
    if not session.suspects:
        print("no label is suspected; there is nothing to review")
        return
    serve(session, arguments.port, arguments.open)


def serve(session: ReviewSession, port: int, opened: bool) -> None:
    """Serve the page until Ctrl-C, then say what was answered."""
    member, fold = read("members", Members)[0], read("folds", Folds)[0]
    with heat_maker(session.store, member, fold) as heat_map:
        try:
            server = ReviewServer(session, port, heat_map if session.heated else None)
        except OSError as error:
            raise UserError(f"--port: {port}: {error.strerror}; leave it out") from None
        with server:
            total = len(session.suspects)
            done = session.answered(session.file.rows()).count("1")
            print(f"{total:,} images to review, {done:,} of them answered; Ctrl-C ends it")
            print(server.url, flush=True)
            if opened:
                webbrowser.open(server.url)
            try:
                server.serve_forever()
            except KeyboardInterrupt:
                done = session.answered(session.file.rows()).count("1")
                print(f"\n{session.file.path}: {done:,} of {total:,} images answered")
