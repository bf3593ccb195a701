"""Small data sets in all layouts that people have, and what `start` must find in each."""

import io
import json
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path

from tests.pictures import picture, write
from tests.starting.tables import (
    boxes,
    given_folds,
    hugging_face,
    hugging_face_at_the_root,
    kaggle_columns,
    kaggle_tags,
    kaggle_two_folders,
    lesions,
    open_images,
    parquet_of_parts,
    patients,
    phone_export,
    phone_of_two_folders,
    roboflow_columns,
)
from tests.starting.wanted import Wanted, numbered, rows_of_text


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
        "dirty_mnist_2nd_answer.csv": rows_of_text("index,a,b", rows),
        "sample_submission.csv": rows_of_text("index,a,b", sample),
    })  # fmt: skip
    _zip(root / "dirty_mnist_2nd.zip", {f"{each:05d}.png": each for each in range(6)})
    _zip(root / "test_dirty_mnist_2nd.zip", {f"{50000 + each}.png": each + 9 for each in range(3)})
    return Wanted("dacon", {}, 6, 3, ["a", "b"])


def several_archives(root: Path) -> Wanted:
    """A table, and an archive of images per part."""
    rows = [f"{each}.png;{('cat', 'dog')[each % 2]}" for each in range(10)]
    sample = [f"{each}.png;cat" for each in range(20, 24)]
    write(root, {
        "train.csv": rows_of_text("id;breed", rows),
        "sample_submission.csv": rows_of_text("id;breed", sample),
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
    open_images,
    boxes,
]
