"""Small data sets of every source, as odd as people make them: read right, or refused in lines."""

import csv
import io
import json
import random
import unicodedata
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from foldwise.core.errors import UserError
from foldwise.sources.class_names import check_names
from foldwise.sources.problems import Problems
from foldwise.sources.settings import Data
from foldwise.sources.source import Source
from foldwise.sources.tree_mount import open_tree
from stages.fetch import SOURCES

STEMS = [
    "0",
    "1",
    "a b",
    "\u00e9",
    "e\u0301",
    "\ud55c",
    "A",
    "a",
    "x.y",
    "-1",
    "=1",
    "\u202ea",
    "q" * 90,
]
ODD_STEMS = ["a\nb", "\x1b", "a\\b", "#", "%41", "\u2028", " pad ", "\udc80", "*?", "~"]
CLASSES = ["cat", "dog", "10", "9", "\u00e9", "e\u0301", "a,b", '"', "<b>", "=x", "Image", "n/a"]
ODD_CLASSES = ["", " ", "image", "id", "\x00", "a\nb", "\u2029", "file", "cat ", "\ud800", "nan"]
SUFFIXES = [".png", ".PNG", ".jpg", ""]
Files = dict[str, bytes]


class Odd:
    """A seeded choice of what is odd, and how often."""

    def __init__(self, seed: int) -> None:
        self.rng = random.Random(seed)
        self.rate = self.rng.choice([0.0, 0.0, 0.03, 0.3])

    def chance(self) -> bool:
        return self.rng.random() < self.rate

    def classes(self) -> list[str]:
        return self.rng.sample(CLASSES, self.rng.randint(1, 4)) + [
            each for each in ODD_CLASSES if self.chance()
        ]

    def names(self) -> list[str]:
        stems = self.rng.sample(STEMS, self.rng.randint(2, 7))
        stems += [each for each in ODD_STEMS if self.chance()]
        return [stem + self.rng.choice(SUFFIXES[: 4 if self.chance() else 1]) for stem in stems]

    def spelled(self, name: str) -> str:
        ways: list[Callable[[str], str]] = [
            *(lambda it: f"./{it}", lambda it: f" {it} ", lambda it: f"x/../{it}"),
            *(lambda it: it.replace("/", "\\"), lambda it: f"/somewhere/{it}", str.upper),
            *(lambda it: f"{it}.missing", lambda it: "", lambda it: f"C:\\{it}"),
        ]
        return self.rng.choice(ways)(name) if self.chance() else name

    def encoded(self, text: str) -> bytes:
        ways = ["utf-8-sig", "utf-16", "utf-32", "cp949", "latin-1", "utf-16-le"]
        encoding = self.rng.choice(ways) if self.chance() else "utf-8"
        return text.encode(encoding, "surrogatepass" if "utf" in encoding else "replace")

    def damaged(self, content: bytes) -> bytes:
        if not self.chance():
            return content
        at = self.rng.randrange(len(content) + 1)
        ways = [content[:at], content[:at] + b"\0" + content[at:], content + content[at:], b""]
        ways += [
            content[:at] + self.rng.randbytes(3) + content[at + 3 :],
            content.replace(b",", b";"),
        ]
        return self.rng.choice(ways)

    def table(self, rows: list[list[str]], sign: str = ",") -> bytes:
        for row in rows:
            if self.chance():
                row.insert(self.rng.randrange(len(row) + 1), self.rng.choice(["", "1", "x"]))
            if self.chance():
                row.pop()
        text = io.StringIO()
        csv.writer(text, delimiter=sign).writerows(rows)
        return self.damaged(self.encoded(text.getvalue()))


Wanted = dict[str, set[str]]
"""Of each image, by its content, the classes that it shows."""


def folder(odd: Odd) -> tuple[dict[str, Any], Files, Wanted]:
    # A folder cannot be called so.
    classes = [each for each in odd.classes() if "/" not in each] or ["cat"]
    parts = odd.rng.choice([[""], ["train/", "val/"], ["train/", "test/"]])
    files = {
        f"{part}{name}/{each}": f"{part}{name}/{each}".encode("utf-8", "surrogatepass")
        for part in parts
        for name in classes
        for each in odd.names()
    }
    wanted = {
        content.decode("utf-8", "replace"): {name.split("/")[-2]} for name, content in files.items()
    }
    return {}, files, wanted


def rows_of(odd: Odd, start: str) -> tuple[list[str], list[str], list[set[str]], Files, Wanted]:
    classes, names = odd.classes(), odd.names()
    shown = [{name for name in classes if odd.rng.random() < 0.4} or {classes[0]} for _ in names]
    files = {f"{start}{name}": name.encode("utf-8", "surrogatepass") for name in names}
    wanted = dict(zip(names, shown, strict=True))
    return classes, names, shown, files, wanted


def table(odd: Odd) -> tuple[dict[str, Any], Files, Wanted]:
    classes, names, shown, files, wanted = rows_of(odd, "img/")
    kind = odd.rng.choice(["columns", "separated", "class", "rows"])
    settings: dict[str, Any] = {"file": "t.csv", "images": "img", "labels": kind}
    if kind == "columns":
        rows = [["file", *classes]]
        rows += [
            [odd.spelled(name), *(str(int(each in has)) for each in classes)]
            for name, has in zip(names, shown, strict=True)
        ]
    elif kind == "separated":
        settings["separator"] = odd.rng.choice(["|", "::"])
        rows = [["file", "label"]]
        rows += [
            [odd.spelled(name), settings["separator"].join(sorted(has))]
            for name, has in zip(names, shown, strict=True)
        ]
    elif kind == "rows":
        rows = [["file", "label"]]
        rows += [
            [odd.spelled(name), each]
            for name, has in zip(names, shown, strict=True)
            for each in sorted(has)
        ]
    else:
        wanted = {name: {min(has)} for name, has in wanted.items()}
        rows = [["label", "file"]]
        rows += [[min(has), odd.spelled(name)] for name, has in zip(names, shown, strict=True)]
    if odd.chance():
        settings[odd.rng.choice(["group", "fold", "part", "test"])] = odd.rng.choice(
            ["file", "label", "t.csv"]
        )
    files["t.csv"] = odd.table(rows, odd.rng.choice([",", ";", "\t"]))
    return {"table": settings}, files, wanted


def annotations(odd: Odd) -> tuple[dict[str, Any], Files, Wanted]:
    classes, names, shown, files, wanted = rows_of(odd, "train_data/")
    content: dict[str, Any]
    if odd.rng.random() < 0.5:
        wanted = {name: {min(has)} for name, has in wanted.items()}
        entries = [
            {"file_name": odd.spelled(name), "category": min(has)}
            for name, has in zip(names, shown, strict=True)
        ]
        content = {"annotations": entries}
    else:
        content = {
            "images": [{"id": i, "file_name": odd.spelled(name)} for i, name in enumerate(names)],
            "categories": [{"id": i, "name": name} for i, name in enumerate(classes)],
            "annotations": [
                {"image_id": i, "category_id": classes.index(each)}
                for i, has in enumerate(shown)
                for each in sorted(has)
            ],
        }
    for each in content["annotations"]:
        if odd.chance():
            each[odd.rng.choice(list(each))] = odd.rng.choice(
                [None, [], 1.5, -1, "", {"a": 1}, 10**30]
            )
    files["answer.json"] = odd.damaged(odd.encoded(json.dumps(content)))
    return {}, files, wanted


def voc(odd: Odd) -> tuple[dict[str, Any], Files, Wanted]:
    _, names, shown, _, _ = rows_of(odd, "")
    ids = list(dict.fromkeys(name.split(".")[0].replace(" ", "_") for name in names))
    files = {
        f"JPEGImages/{id}.{odd.rng.choice(['jpg', 'JPG'])}": id.encode("utf-8", "surrogatepass")
        for id in ids
    }
    wanted = dict(zip(ids, shown, strict=False))
    lines = "\n".join(odd.spelled(id) for id in ids)
    files["ImageSets/Main/trainval.txt"] = odd.damaged(odd.encoded(lines))
    for id, has in wanted.items():
        objects = "".join(
            f"<object><name>{each.replace('<', '&lt;')}</name></object>" for each in sorted(has)
        )
        content = odd.encoded(f"<annotation>{objects}</annotation>")
        if odd.chance():
            content = b'<?xml version="1.0" encoding="what"?>' + content
        files[f"Annotations/{id}.xml"] = odd.damaged(content)
    return {"voc": {"test_list": None}}, files, wanted


def dacon(odd: Odd) -> tuple[dict[str, Any], Files, Wanted]:
    classes = odd.classes()
    files: Files = {}
    wanted: Wanted = {}
    for name, start, numbers in (
        ("dirty_mnist_2nd_answer.csv", "", range(5)),
        ("sample_submission.csv", "test_", range(5, 8)),
    ):
        rows = [["index", *classes]]
        for number in numbers:
            has = {each for each in classes if odd.rng.random() < 0.5} if not start else set()
            rows.append([odd.spelled(str(number)), *(str(int(each in has)) for each in classes)])
            file = f"{number:05d}.png"
            files[f"{start}dirty_mnist_2nd/{file}"] = file.encode()
            if not start:
                wanted[file] = has
        files[name] = odd.table(rows)
    return {}, files, wanted


MAKERS = {"folder": folder, "table": table, "annotations": annotations, "voc": voc, "dacon": dacon}


def put(root: Path, files: Files, odd: Odd) -> Path:
    """The files in a folder or in a zip file; what the disk does not take is left out."""
    if odd.rng.random() < 0.4:
        path = root / "set.zip"
        with zipfile.ZipFile(path, "w") as archive:
            for name, content in files.items():
                if name.isprintable() or "\udc80" not in name + "\ud800":
                    member = zipfile.ZipInfo("n" if "\ud800" in name or "\udc80" in name else name)
                    archive.writestr(member, content)
        path.write_bytes(odd.damaged(path.read_bytes()))
        return path
    for name, content in files.items():
        path = root / "set" / name
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)
        except (OSError, ValueError):
            continue
    (root / "set").mkdir(exist_ok=True)
    return root / "set"


def loaded(kind: str, path: Path, settings: dict[str, Any], skip: bool) -> Source:
    data = Data.model_validate(
        {"source": kind, "path": str(path), "extra_path": "extra"} | settings
    )
    problems = Problems(skip)
    source = SOURCES[kind](data, open_tree([path]), problems)
    check_names(source, data.path)
    problems.check()
    return source


@pytest.mark.filterwarnings("ignore:Duplicate name:UserWarning")  # made on purpose
@pytest.mark.parametrize("kind", MAKERS)
@pytest.mark.parametrize("block", range(4))
def test_any_data_set_is_read_right_or_refused_in_lines(
    tmp_path: Path, kind: str, block: int
) -> None:
    outcomes = {"read": 0, "refused": 0}
    for seed in range(block * 25, block * 25 + 25):
        odd = Odd(seed)
        settings, files, wanted = MAKERS[kind](odd)
        root = tmp_path / str(seed)
        root.mkdir()
        path = put(root, files, odd)
        try:
            source = loaded(kind, path, settings, odd.rng.random() < 0.2)
        except UserError as error:
            lines = error.args
            outcomes["refused"] += 1
        else:
            lines = ()
            outcomes["read"] += 1
            if odd.rate == 0.0:
                check_labels(source, wanted)
        assert len(lines) <= 21
        assert not any("\n" in line or "Traceback" in line for line in lines)
        assert all(len(line) < 3000 for line in lines), lines
    assert min(outcomes.values()) > 0, outcomes


def check_labels(source: Source, wanted: Wanted) -> None:
    for position, part in enumerate(source.parts):
        if part == "train":
            content = source.read(position).decode("utf-8", "replace")
            row = source.labels[position]
            has = {name for name, each in zip(source.classes, row, strict=True) if each == 1}
            assert has == {unicodedata.normalize("NFC", each) for each in wanted[content]}
