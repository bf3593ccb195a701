"""Small data sets in the layouts that people have, and what `start` must find in each."""

import io
import json
import tarfile
import zipfile
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from tests.pictures import picture, write


@dataclass(frozen=True)
class Wanted:
    """What must be found."""

    source: str
    keys: dict[str, Any]
    """Of the source's own section."""
    train: int
    test: int
    classes: list[str]
    task: str = "multilabel"
    split: dict[str, Any] = field(default_factory=dict)
    more: dict[str, Any] = field(default_factory=dict)
    """Further keys of `data`."""


def numbered(folder: str, count: int, start: int = 0, suffix: str = ".png") -> dict[str, int]:
    return {f"{folder}{start + each}{suffix}": start + each for each in range(count)}


def class_folders(root: Path) -> Wanted:
    write(root, {"README.md": "Pets.", **numbered("cat/", 6), **numbered("dog/", 6, 10)})
    return Wanted("folder", {}, 12, 0, ["cat", "dog"], "multiclass")


def class_folders_in_one(root: Path) -> Wanted:
    write(root, {**numbered("pets/cat/", 6), **numbered("pets/dog/", 6, 10)})
    return Wanted("folder", {"train": "pets"}, 12, 0, ["cat", "dog"], "multiclass")


def parts_of_folders(root: Path) -> Wanted:
    """As Roboflow exports a classification: train, valid, test."""
    for place, part in enumerate(("train", "valid", "test")):
        write(
            root,
            {**numbered(f"{part}/a/", 4, 20 * place), **numbered(f"{part}/b/", 4, 90 * place + 9)},
        )
    return Wanted("folder", {"valid": "valid"}, 16, 8, ["a", "b"], "multiclass")


def unlabelled_test_folder(root: Path) -> Wanted:
    write(
        root, {**numbered("train/a/", 4), **numbered("train/b/", 4, 10), **numbered("test/", 3, 30)}
    )
    return Wanted("folder", {}, 8, 3, ["a", "b"], "multiclass")


def _rows(header: str, rows: list[str]) -> str:
    return "\n".join([header, *rows]) + "\n"


def kaggle_two_folders(root: Path) -> Wanted:
    """As Cassava: names with their suffix, images of the two parts apart, no test.csv."""
    rows = [f"{each}.jpg,{each % 3}" for each in range(12)]
    sample = [f"{each}.jpg,0" for each in range(20, 24)]
    write(root, {
        "train.csv": _rows("image_id,label", rows),
        "sample_submission.csv": _rows("image_id,label", sample),
        **numbered("train_images/", 12, suffix=".jpg"),
        **numbered("test_images/", 4, 20, ".jpg"),
    })  # fmt: skip
    keys = {"file": "train.csv", "column": "image_id", "labels": "class", "label": "label"}
    keys |= {"sample": "sample_submission.csv", "images": "train_images"}
    return Wanted(
        "table", keys | {"test_images": "test_images"}, 12, 4, ["0", "1", "2"], "multiclass"
    )


def kaggle_columns(root: Path) -> Wanted:
    """As Plant Pathology: a column per class, no suffix, test.csv, one folder of images."""
    rows = [f"Train_{each},{each % 2},{int(each % 3 == 0)}" for each in range(12)]
    write(root, {
        "train.csv": _rows("image_id,healthy,rust", rows),
        "test.csv": _rows("image_id", [f"Test_{each}" for each in range(4)]),
        "sample_submission.csv": _rows(
            "image_id,healthy,rust", [f"Test_{each},0.5,0.5" for each in range(4)]
        ),
        **{f"images/Train_{each}.jpg": each for each in range(12)},
        **{f"images/Test_{each}.jpg": 50 + each for each in range(4)},
    })  # fmt: skip
    keys = {"file": "train.csv", "column": "image_id", "suffix": ".jpg", "labels": "columns"}
    return Wanted(
        "table", keys | {"test": "test.csv", "images": "images"}, 12, 4, ["healthy", "rust"]
    )


def kaggle_tags(root: Path) -> Wanted:
    """As Planet's satellite images: separated tags, and a sample submission."""
    kinds = ["haze primary", "clear primary", "cloudy", "clear primary water", "water", "clear"]
    rows = [f"train_{each},{kinds[each % 6]}" for each in range(12)]
    write(root, {
        "train_v2.csv": _rows("image_name,tags", rows),
        "sample_submission_v2.csv": _rows(
            "image_name,tags", [f"test_{each},clear" for each in range(3)]
        ),
        **{f"train-jpg/train_{each}.jpg": each for each in range(12)},
        **{f"test-jpg/test_{each}.jpg": 50 + each for each in range(3)},
    })  # fmt: skip
    keys = {"file": "train_v2.csv", "column": "image_name", "suffix": ".jpg"}
    keys |= {"labels": "separated", "label": "tags", "separator": " "}
    keys |= {"sample": "sample_submission_v2.csv", "images": "train-jpg"}
    classes = ["clear", "cloudy", "haze", "primary", "water"]
    return Wanted("table", keys | {"test_images": "test-jpg"}, 12, 3, classes)


def patients(root: Path) -> Wanted:
    """As chest X-rays come: findings divided by |, several images of a patient, other columns."""
    kinds = ["Effusion|Mass", "Mass", "No Finding", "Effusion", "Mass|Nodule", "Nodule"]
    rows = [
        f"{each:04d}.png,{kinds[each % 6]},{each // 2},{30 + each},{'MF'[each % 2]},AP"
        for each in range(16)
    ]
    header = "Image Index,Finding Labels,Patient ID,Patient Age,Patient Gender,View Position"
    write(root, {"Data_Entry.csv": _rows(header, rows)})
    write(root, {f"images/{each:04d}.png": each for each in range(16)})
    keys = {"file": "Data_Entry.csv", "column": "Image Index", "labels": "separated"}
    keys |= {"label": "Finding Labels", "separator": "|", "images": "images", "group": "Patient ID"}
    classes = ["Effusion", "Mass", "No Finding", "Nodule"]
    return Wanted("table", keys, 16, 0, classes, split={"group": True})


def lesions(root: Path) -> Wanted:
    """As HAM10000: a diagnosis among other columns, images of a lesion, two folders of images."""
    rows = [
        f"L{each // 2},I{each},{('nv', 'mel', 'bkl')[each % 3]},{('histo', 'follow_up')[each % 2]},"
        f"{each * 5},male,{('back', 'face')[each % 2]}"
        for each in range(18)
    ]
    header = "lesion_id,image_id,dx,dx_type,age,sex,localization"
    write(root, {"HAM10000_metadata.csv": _rows(header, rows)})
    write(root, {f"images/I{each}.jpg": each for each in range(18)})
    keys = {"file": "HAM10000_metadata.csv", "column": "image_id", "suffix": ".jpg"}
    keys |= {"labels": "class", "label": "dx", "images": "images", "group": "lesion_id"}
    return Wanted("table", keys, 18, 0, ["bkl", "mel", "nv"], "multiclass", {"group": True})


def given_folds(root: Path) -> Wanted:
    rows = pd.DataFrame(
        {
            "filepath": [f"{each}.png" for each in range(12)],
            "fold": [each % 3 for each in range(12)],
            "x": [each % 2 for each in range(12)],
            "y": [int(each % 3 == 0) for each in range(12)],
            "note": [f"n{each}" for each in range(12)],
        }
    )
    write(root, numbered("", 12))
    rows.to_parquet(root / "labels.parquet", index=False)
    keys = {"file": "labels.parquet", "column": "filepath", "labels": "columns", "fold": "fold"}
    return Wanted(
        "table", keys, 12, 0, ["x", "y"], split={"method": "list"}, more={"classes": ["x", "y"]}
    )


def hugging_face(root: Path) -> Wanted:
    """An image folder with metadata.jsonl beside the images of every part."""
    for part, start, count in (("train", 0, 10), ("validation", 20, 4), ("test", 40, 4)):
        entries = [
            {"file_name": f"{start + each}.png", "labels": [["a"], ["b"], ["a", "b"], []][each % 4]}
            for each in range(count)
        ]
        lines = "".join(json.dumps(each) + "\n" for each in entries)
        write(root, {f"{part}/metadata.jsonl": lines, **numbered(f"{part}/", count, start)})
    keys = {"file": "train/metadata.jsonl", "column": "file_name", "labels": "separated"}
    keys |= {"label": "labels", "separator": ";", "valid": "validation/metadata.jsonl"}
    return Wanted("table", keys | {"test": "test/metadata.jsonl"}, 14, 4, ["a", "b"])


def hugging_face_at_the_root(root: Path) -> Wanted:
    rows = [f"data/{each}.png,{('cat', 'dog')[each % 2]}" for each in range(8)]
    write(root, {"metadata.csv": _rows("file_name,label", rows), **numbered("data/", 8)})
    keys = {"file": "metadata.csv", "column": "file_name", "labels": "class", "label": "label"}
    return Wanted("table", keys, 8, 0, ["cat", "dog"], "multiclass")


def roboflow_columns(root: Path) -> Wanted:
    """Roboflow's export of several labels: _classes.csv beside the images of every part."""
    for part, start in (("train", 0), ("valid", 20), ("test", 40)):
        names = numbered(f"{part}/", 6, start, ".jpg")
        rows = [
            f"{Path(name).name}, {each % 2}, {int(each > 2)}" for each, name in enumerate(names)
        ]
        write(root, {f"{part}/_classes.csv": _rows("filename, rust, scab", rows), **names})
    keys = {"file": "train/_classes.csv", "column": "filename", "labels": "columns"}
    keys |= {"valid": "valid/_classes.csv", "test": "test/_classes.csv"}
    return Wanted("table", keys, 12, 6, ["rust", "scab"])


def _coco(names: list[str], start: int) -> str:
    images = [{"id": each, "file_name": name} for each, name in enumerate(names)]
    objects = [
        {"id": each, "image_id": each, "category_id": 1 + (each + start) % 2, "bbox": [0, 0, 2, 2]}
        for each in range(len(names))
    ]
    categories = [{"id": 1, "name": "nut"}, {"id": 2, "name": "bolt"}]
    return json.dumps({"images": images, "annotations": objects, "categories": categories})


def coco(root: Path) -> Wanted:
    for part, start, count in (("train2017", 0, 8), ("val2017", 20, 4)):
        names = numbered(f"{part}/", count, start, ".jpg")
        content = _coco([Path(name).name for name in names], start)
        captions = json.dumps({"images": [], "annotations": [{"image_id": 0, "caption": "a nut"}]})
        write(root, {
            f"annotations/instances_{part}.json": content,
            f"annotations/captions_{part}.json": captions,
            **names,
        })  # fmt: skip
    keys = {"train": "annotations/instances_train2017.json", "train_images": "train2017"}
    keys |= {"test": "annotations/instances_val2017.json", "test_images": "val2017"}
    return Wanted("annotations", keys, 8, 4, ["nut", "bolt"])


def roboflow_coco(root: Path) -> Wanted:
    for part, start in (("train", 0), ("valid", 20), ("test", 40)):
        names = numbered(f"{part}/", 6, start, ".jpg")
        content = _coco([Path(name).name for name in names], start)
        write(root, {f"{part}/_annotations.coco.json": content, **names})
    keys = {"train": "train/_annotations.coco.json", "train_images": "train"}
    keys |= {"test": "test/_annotations.coco.json", "test_images": "test"}
    return Wanted("annotations", keys, 6, 6, ["nut", "bolt"])


def course(root: Path) -> Wanted:
    entries = [{"file_name": f"{each}.jpg", "category": each % 2} for each in range(8)]
    write(root, {
        "answer.json": json.dumps({"annotations": entries}),
        **numbered("train_data/", 8, suffix=".jpg"),
        **numbered("test_data/", 3, 30, ".jpg"),
    })  # fmt: skip
    keys = {"train": "answer.json", "train_images": "train_data", "test": None}
    keys |= {"test_images": "test_data"}
    return Wanted("annotations", keys, 8, 3, ["0", "1"], "multiclass")


def voc(root: Path) -> Wanted:
    top = "VOCdevkit/VOC2012"
    for name, start, count in (("train", 0, 6), ("val", 6, 4)):
        ids = [f"{each:06d}" for each in range(start, start + count)]
        write(root, {f"{top}/ImageSets/Main/{name}.txt": "\n".join(ids)})
        for each in ids:
            object_ = f"<object><name>{('car', 'dog')[int(each) % 2]}</name></object>"
            write(root, {f"{top}/Annotations/{each}.xml": f"<annotation>{object_}</annotation>"})
            write(root, {f"{top}/JPEGImages/{each}.jpg": int(each)})
    keys = {"year": 2012, "train_list": "train", "valid_list": "val", "test_list": None}
    return Wanted("voc", keys, 10, 0, ["car", "dog"])


def _zip(path: Path, files: dict[str, int]) -> None:
    with zipfile.ZipFile(path, "w") as archive:
        for name, number in files.items():
            archive.writestr(name, picture(number, Path(name).suffix))


def dacon(root: Path) -> Wanted:
    """The competition's zip files, as they come."""
    rows = [f"{each},{each % 2},{int(each > 2)}" for each in range(6)]
    sample = [f"{each},0,0" for each in range(50000, 50003)]
    write(root, {
        "dirty_mnist_2nd_answer.csv": _rows("index,a,b", rows),
        "sample_submission.csv": _rows("index,a,b", sample),
    })  # fmt: skip
    _zip(root / "dirty_mnist_2nd.zip", {f"{each:05d}.png": each for each in range(6)})
    _zip(root / "test_dirty_mnist_2nd.zip", {f"{50000 + each}.png": each + 9 for each in range(3)})
    return Wanted("dacon", {}, 6, 3, ["a", "b"])


def several_archives(root: Path) -> Wanted:
    """A table, and an archive of images per part."""
    rows = [f"{each}.png;{('cat', 'dog')[each % 2]}" for each in range(10)]
    sample = [f"{each}.png;cat" for each in range(20, 24)]
    write(root, {
        "train.csv": _rows("id;breed", rows),
        "sample_submission.csv": _rows("id;breed", sample),
    })  # fmt: skip
    _zip(root / "train.zip", numbered("", 10))
    with tarfile.open(root / "test.tar.gz", "w:gz") as archive:
        for name, number in numbered("", 4, 20).items():
            member = tarfile.TarInfo(name)
            member.size = len(picture(number))
            archive.addfile(member, io.BytesIO(picture(number)))
    keys = {"file": "train.csv", "column": "id", "labels": "class", "label": "breed"}
    keys |= {"sample": "sample_submission.csv", "images": "train", "test_images": "test"}
    return Wanted("table", keys, 10, 4, ["cat", "dog"], "multiclass")


def phone_export(root: Path) -> Wanted:
    """A phone's photos, and a table that Excel wrote: semicolons, a byte order mark, no suffix."""
    rows = [
        f"IMG_{each:04d};2024-05-0{1 + each % 9};{('ripe', 'raw')[each % 2]};" for each in range(10)
    ]
    write(
        root, {"Photos.csv": "\ufeff" + "\r\n".join(["Photo;Taken;Class;Remarks", *rows]) + "\r\n"}
    )
    write(root, {f"DCIM/100/IMG_{each:04d}.JPG": each for each in range(10)})
    keys = {"file": "Photos.csv", "column": "Photo", "suffix": ".JPG", "labels": "class"}
    keys |= {"label": "Class", "images": "DCIM/100"}
    return Wanted("table", keys, 10, 0, ["raw", "ripe"], "multiclass")


def phone_of_two_folders(root: Path) -> Wanted:
    """Photos in the folders that a telephone began, what else it leaves there, and a table of which
    a spreadsheet wrote every row and column that was ever touched."""
    rows = [f"IMG_{each:04d};{('oak', 'maple')[each % 2]};;" for each in range(10)]
    rows += ["IMG_0010.JPG;oak;;", ";;;", " ;;;"]
    write(root, {"List.csv": "\r\n".join(["Photo;Tree;;", *rows]) + "\r\n", ".DS_Store": "Bud1"})
    write(root, {f"DCIM/100APPLE/IMG_{each:04d}.JPG": each for each in range(6)})
    write(root, {f"DCIM/101APPLE/IMG_{each:04d}.JPG": each for each in range(6, 11)})
    write(root, {"DCIM/100APPLE/IMG_0003.AAE": "<plist/>", "DCIM/100APPLE/IMG_0004.MOV": "moov"})
    keys = {"file": "List.csv", "column": "Photo", "suffix": ".JPG", "labels": "class"}
    keys |= {"label": "Tree", "images": "DCIM/**"}
    return Wanted("table", keys, 11, 0, ["maple", "oak"], "multiclass")


def parquet_of_parts(root: Path) -> Wanted:
    names = [f"img/{each}.png" for each in range(12)]
    columns = {
        "path": names,
        "split": ["train"] * 9 + ["test"] * 3,
        "label": ["x", "y", "z"] * 4,
    }
    write(root, numbered("img/", 12))
    pq.write_table(pa.table(columns), root / "index.parquet")
    keys = {"file": "index.parquet", "column": "path", "labels": "class", "label": "label"}
    return Wanted("table", keys | {"part": "split"}, 9, 3, ["x", "y", "z"], "multiclass")


LAYOUTS: list[Callable[[Path], Wanted]] = [
    class_folders,
    class_folders_in_one,
    parts_of_folders,
    unlabelled_test_folder,
    kaggle_two_folders,
    kaggle_columns,
    kaggle_tags,
    patients,
    lesions,
    given_folds,
    hugging_face,
    hugging_face_at_the_root,
    roboflow_columns,
    coco,
    roboflow_coco,
    course,
    voc,
    dacon,
    several_archives,
    phone_export,
    phone_of_two_folders,
    parquet_of_parts,
]
