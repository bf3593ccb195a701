"""Small data sets with a table, as people have them, and what `start` must find in each."""

import json
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from tests.pictures import write
from tests.starting.wanted import Wanted, numbered, rows_of_text


def kaggle_two_folders(root: Path) -> Wanted:
    """As Cassava: names with their suffix, images of the two parts apart, no test.csv."""
    rows = [f"{each}.jpg,{each % 3}" for each in range(12)]
    sample = [f"{each}.jpg,0" for each in range(20, 24)]
    write(root, {
        "train.csv": rows_of_text("image_id,label", rows),
        "sample_submission.csv": rows_of_text("image_id,label", sample),
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
        "train.csv": rows_of_text("image_id,healthy,rust", rows),
        "test.csv": rows_of_text("image_id", [f"Test_{each}" for each in range(4)]),
        "sample_submission.csv": rows_of_text(
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
        "train_v2.csv": rows_of_text("image_name,tags", rows),
        "sample_submission_v2.csv": rows_of_text(
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
    write(root, {"Data_Entry.csv": rows_of_text(header, rows)})
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
    write(root, {"HAM10000_metadata.csv": rows_of_text(header, rows)})
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
    write(root, {"metadata.csv": rows_of_text("file_name,label", rows), **numbered("data/", 8)})
    keys = {"file": "metadata.csv", "column": "file_name", "labels": "class", "label": "label"}
    return Wanted("table", keys, 8, 0, ["cat", "dog"], "multiclass")


def roboflow_columns(root: Path) -> Wanted:
    """Roboflow's export of several labels: _classes.csv beside the images of every part."""
    for part, start in (("train", 0), ("valid", 20), ("test", 40)):
        names = numbered(f"{part}/", 6, start, ".jpg")
        rows = [
            f"{Path(name).name}, {each % 2}, {int(each > 2)}" for each, name in enumerate(names)
        ]
        write(root, {f"{part}/_classes.csv": rows_of_text("filename, rust, scab", rows), **names})
    keys = {"file": "train/_classes.csv", "column": "filename", "labels": "columns"}
    keys |= {"valid": "valid/_classes.csv", "test": "test/_classes.csv"}
    return Wanted("table", keys, 12, 6, ["rust", "scab"])


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


def open_images(root: Path) -> Wanted:
    """As Open Images: a row per image and class, which people confirmed or denied."""
    rows = [
        f"{each:016x},verification,/m/{name},{int((each + number) % 3 > 0)}"
        for each in range(10)
        for number, name in enumerate(("dog", "cat", "car")[: 1 + each % 3])
    ]
    header = "ImageID,Source,LabelName,Confidence"
    write(root, {"train-annotations.csv": rows_of_text(header, rows)})
    write(root, {f"train/{each:016x}.jpg": each for each in range(10)})
    keys = {"file": "train-annotations.csv", "column": "ImageID", "suffix": ".jpg"}
    keys |= {"labels": "rows", "label": "LabelName", "present": "Confidence", "images": "train"}
    return Wanted("table", keys, 10, 0, ["/m/car", "/m/cat", "/m/dog"])


def boxes(root: Path) -> Wanted:
    """As detections: a row per box, and a class several times in an image."""
    rows = [
        f"img/{each}.png,{x},{x + 9},{('rust', 'scab')[(each + x) % 2]},{each // 2}"
        for each in range(9)
        for x in range(1 + each % 4)
    ]
    write(root, {"boxes.csv": rows_of_text("path,xmin,xmax,class,plant", rows)})
    write(root, numbered("img/", 9))
    keys = {"file": "boxes.csv", "column": "path", "labels": "rows", "label": "class"}
    keys |= {"group": "plant"}
    return Wanted("table", keys, 9, 0, ["rust", "scab"], split={"group": True})


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
