"""Find out what a data set is, and write a params.yaml for it.

`python -m foldwise start DATA` looks at a folder, an archive (or several, with their tables) or the
address of one, says what it found and why, trains twenty steps to say what a run will take, and
writes params.yaml. Nothing else changes. The old params.yaml stays in git: one that differs from
the last commit is not overwritten, unless --force says so.
"""

import argparse
import os
import shlex
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from foldwise.core import files
from foldwise.core.errors import UserError
from foldwise.core.settings import PARAMS, read_file
from foldwise.params import Params
from foldwise.sources.names import printable
from foldwise.sources.settings import code_page
from foldwise.starting.cost import Counted, cost_of, told_cost
from foldwise.starting.facts import Look, facts, look_at
from foldwise.starting.finding import LOADERS, DataSet, find
from foldwise.starting.params_file import (
    difference,
    fitted_to,
    make_params,
    params_text,
    recipe_told,
)
from foldwise.starting.places import given_by
from foldwise.starting.reading import Wishes
from foldwise.starting.tiers import TIERS
from foldwise.tuning.processes import git

DOWNLOADS = Path(".downloads")
INCOMING = "data/incoming"
EXTRA = "data/extra"
SUBMISSION = "data/submission.csv"


def main() -> None:
    arguments = start_arguments()
    with in_one_line():
        old = read_file() if PARAMS.exists() else {}
        if not arguments.dry and not arguments.force:
            refuse_uncommitted()
        given = given_by(arguments.data, DOWNLOADS, INCOMING)
        before_data = old.get("data") or {}
        found = find(given, wishes_of(arguments), before_data.get("extra_path", EXTRA))
        kept = kept_keys(before_data, found.data)
        look = look_at(found)
        if look.failed:
            found.data["on_error"] = "skip"
        # Only now: torch takes seconds to import.
        import torch

        gpus = torch.cuda.device_count() if torch.cuda.is_available() else 0
        fitted = fitted_to(found, look, gpus > 0, not arguments.no_mirror)
        content, params = make_params(found, fitted, arguments.tier, old, SUBMISSION)
        said = [*said_of(found, look), *kept, recipe_told(arguments.tier, params)]
        if not fitted.stratifies:
            said.append("  folds are not stratified: a class has too few images")
        if "hflip" in params.tta.views:
            said.append("  a mirrored image is taken to show the same; if not: --no-mirror")
        print("\n".join(map(printable, said)), flush=True)
        if arguments.steps:
            print("\n".join(estimate(params, found, look, gpus, arguments.steps)), flush=True)
    text = params_text(content, [f"Written by `{command_of(arguments)}`.", *found.reading.why])
    before = PARAMS.read_text(encoding="utf-8") if PARAMS.exists() else ""
    print(f"\n{difference(before, text) or f'{PARAMS} is so already'}\n")
    if arguments.dry:
        print(f"nothing is written; without --dry, {PARAMS} is")
        return
    with files.replacing(PARAMS) as temporary:
        temporary.write_text(text, encoding="utf-8")
    print("\n".join(next_commands(params.members)))


def start_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("data", nargs="+", metavar="DATA", help="folder, archives or addresses")
    parser.add_argument(
        "--tier",
        choices=TIERS,
        default="quick",
        help="quick: a layer on frozen features; good: fine-tuned; best: an ensemble",
    )
    parser.add_argument("--source", choices=sorted(LOADERS), help="how to read it")
    parser.add_argument("--table", help="file of the train part's table, below DATA")
    parser.add_argument("--id-column", help="column of the images' names")
    parser.add_argument(
        "--label-column", nargs="+", default=(), help="column of classes, or several of 0 and 1"
    )
    parser.add_argument(
        "--images", help="folder that the table's names are relative to; photos/**: or any below"
    )
    parser.add_argument("--encoding", help="code page of tables that are not UTF-8: cp1252, ...")
    parser.add_argument("--group-column", help="what must stay together; none: nothing")
    parser.add_argument("--test", help="table, annotations or list of the test part; none: none")
    parser.add_argument("--no-mirror", action="store_true", help="left and right matter")
    parser.add_argument("--dry", action="store_true", help="say it all, and write nothing")
    parser.add_argument("--force", action="store_true", help="overwrite what is in no commit")
    parser.add_argument("--steps", type=int, default=20, help="of training on trial; 0: none")
    arguments = parser.parse_args()
    if arguments.encoding is not None:
        try:
            code_page(arguments.encoding)
        except ValueError as error:
            raise UserError(f"--encoding: {error}") from None
    if arguments.steps < 0:
        raise UserError(f"--steps: got {arguments.steps}; write 1 or more, or 0 for none")
    return arguments


def wishes_of(arguments: argparse.Namespace) -> Wishes:
    """What the user decides; the word `none` is an empty name."""
    named = {key: getattr(arguments, key) for key in ("group_column", "test")}
    named = {key: "" if value == "none" else value for key, value in named.items()}
    return Wishes(
        source=arguments.source,
        table=arguments.table,
        id_column=arguments.id_column,
        label_column=tuple(arguments.label_column),
        encoding=arguments.encoding,
        images=arguments.images,
        **named,
    )


@contextmanager
def in_one_line() -> Iterator[None]:
    """Tell the first of many problems alone, and how many there are."""
    try:
        yield
    except UserError as error:
        first, *rest = error.args
        more = f" (and {len(rest)} more problems)" if rest else ""
        raise UserError(f"{' '.join(str(first).split())}{more}") from None


def kept_keys(old: dict[str, Any], data: dict[str, Any]) -> list[str]:
    """What is said of keys of `data` that no reading finds: they stay where the data set does.

    Args:
        old: `data` of params.yaml as it was.
        data: as it will be; what stays is added.
    """
    lines = []
    for key in ("corrections", "extra"):
        if not old.get(key):
            continue
        if old.get("path") == data["path"]:
            data[key] = old[key]
            lines.append(f"  data.{key} stays")
        else:
            lines.append(f"  data.{key} is dropped: it was of the data set in {old.get('path')}")
    return lines


def command_of(arguments: argparse.Namespace) -> str:
    """The command that writes the same file anew."""
    words, given = [], iter(sys.argv[1:])
    for word in given:
        if word == "--steps":
            next(given, None)
        elif word not in ("--dry", "--force") and not word.startswith("--steps="):
            words.append(word)
    tier = [] if any(word.startswith("--tier") for word in words) else ["--tier", arguments.tier]
    return f"python -m foldwise start {shlex.join([*words, *tier])}"


def refuse_uncommitted() -> None:
    """Raise `UserError` for a params.yaml whose content is in no commit."""
    inside = git(Path(), "rev-parse", "--is-inside-work-tree", quiet=True) == "true"
    if PARAMS.exists() and not inside:
        raise UserError(f"{PARAMS}: is in no git repository; run `git init`, or write --force")
    if PARAMS.exists() and git(Path(), "status", "--porcelain", "--", str(PARAMS)):
        raise UserError(f"{PARAMS}: differs from the last commit; commit it, or write --force")


def said_of(found: DataSet, look: Look) -> list[str]:
    """What is said of a data set."""
    lines = [f"{found.data['path']}: {found.data['source']}"]
    lines += [f"  {each}" for each in (*found.reading.why, *facts(found, look))]
    choices = list(found.reading.choices)
    choices += [f"{each.why[0]}: --source {each.data['source']}" for each in found.others[:3]]
    if choices:
        lines += ["It could be read otherwise:", *(f"  {each}" for each in choices)]
    return lines


def estimate(params: Params, found: DataSet, look: Look, gpus: int, steps: int) -> list[str]:
    """What a run will take, from steps on trial."""
    from foldwise.starting.trying import (
        measure_members,
        peak_gpu_memory,
        peak_memory,
        start_seconds,
    )

    source = found.source
    test = source.parts.count("test")
    counted = Counted(
        train=len(source.ids) - test,
        test=test,
        classes=len(source.classes),
        bytes=look.bytes_per_image * len(source.ids),
    )
    labels = np.where(source.labels < 0, 0, source.labels)
    learned = labels[np.array(source.parts) != "test"]
    measured = measure_members(params, look, labels[look.positions], learned, counted, steps)
    cost = cost_of(params, counted, measured, look.seconds, start_seconds())
    return told_cost(cost, peak_memory(), gpus, os.cpu_count() or 1, peak_gpu_memory())


def next_commands(members: Sequence[str]) -> list[str]:
    """The three commands that come next, where these are the ensemble's members."""
    gone = [
        str(path)
        for folder in (files.MODELS, files.PREDICTIONS, files.LAST_FEATURES, files.CURVES)
        if folder.is_dir()
        for path in sorted(folder.iterdir())
        if path.is_dir() and path.name not in members
    ]
    remove = f"rm -rf {shlex.join(gone)} && " if gone else ""
    return [
        f"{PARAMS} is written. Next:",
        "  " + remove + f'git add --all {PARAMS} plots && git commit -m "My data"',
        "  make repro",
        "  xdg-open plots/report.html",
    ]
