"""apply into a folder of parts, out of lists, tables, archives and stores."""

import copy
import io
import os
import random
import signal
import subprocess
import sys
import tarfile
import time
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from foldwise.commands import apply
from foldwise.core.errors import UserError
from tests.commands.conftest import Here, read
from tests.conftest import ROOT, TINY, environment


def parts_of(folder: str) -> pd.DataFrame:
    """All rows of a folder, in order."""
    paths = sorted(Path(folder).glob("part-*.parquet"))
    return pd.concat([pq.read_table(path).to_pandas() for path in paths], ignore_index=True)


def values(table: pd.DataFrame) -> pd.DataFrame:
    return table.drop(columns="image")


def test_parts_hold_what_the_file_holds(here: Here, capsys: pytest.CaptureFixture[str]) -> None:
    params = copy.deepcopy(TINY)
    # Through three views: five images at a time.
    params["compute"]["batch_size"] = 15
    here.project.write_params(params)
    ids = here.write_images()
    Path("photos/aa cut.png").write_bytes(Path(f"photos/{ids[0]}.png").read_bytes()[:90])
    line = "out/: 1 images cannot be used, bad-*.parquet say why"
    with pytest.raises(UserError, match=r"aa cut.png: "):
        here.run(apply, "photos", "--out", "found.csv")
    with pytest.raises(UserError, match=r"aa cut.png: "):
        here.run(apply, "photos", "--out", "found.parquet")
    with pytest.raises(UserError) as error:
        here.run(apply, "photos", "--out", "out/", "--slice", "1")
    assert [each[: len(line)] for each in error.value.args] == [line]
    found = parts_of("out")
    here.check(ids, found, 1e-5)
    assert len(list(Path("out").glob("part-*"))) == 4
    pd.testing.assert_frame_equal(pd.read_parquet("found.parquet"), found)
    # The same to the last digit: batches are the same, whatever the slices.
    table = found.to_csv(index=False, lineterminator="\n")
    assert Path("found.csv").read_text() == table
    (bad,) = [row for path in Path("out").glob("bad-*") for row in pq.read_table(path).to_pylist()]
    assert bad["image"] == "photos/aa cut.png"
    assert bad["reason"].startswith("does not decode (")

    before = {path: path.stat().st_mtime_ns for path in Path("out").iterdir()}
    capsys.readouterr()
    with pytest.raises(UserError, match="out/: 1 images cannot be used"):
        here.run(apply, "photos", "--out", "out", "--slice", "1")
    assert f"out: {len(ids)} images" in capsys.readouterr().err
    assert {path: path.stat().st_mtime_ns for path in Path("out").iterdir()} == before
    for arguments, said in (
        (("photos", "--folds", "0"), "out/: is of other models or settings"),
        (("photos", "--slice", "1000"), "out/: has slices of"),
        ((f"photos/{ids[0]}.png",), "out/: is of other images"),
        (("photos", "--slice", "0"), "--slice: 0 is no number of images"),
    ):
        with pytest.raises(UserError, match=said):
            here.run(apply, "--slice", "1", "--out", "out/", *arguments)
    with pytest.raises(UserError, match=r"s3://b/out: is in a store; name a file or folder here"):
        here.run(apply, "photos", "--out", "s3://b/out")


def test_lists_tables_archives_and_stores_give_the_same(here: Here) -> None:
    ids = here.write_images()
    paths = [Path(f"photos/{id}.png") for id in ids]
    here.run(apply, "photos", "--out", "found.csv")
    wanted = read("found.csv")
    Path("list.txt").write_text("".join(f"{path}\n" for path in paths))
    Path("addresses").write_text("".join(f"{path.absolute().as_uri()}\n" for path in paths))
    names = [str(path) for path in paths]
    pq.write_table(pa.table({"path": names}), "paths.parquet")
    data = [path.read_bytes() for path in paths]
    pq.write_table(pa.table({"bytes": data, "path": names}), "bytes.parquet", row_group_size=5)
    with tarfile.open("photos.tar", "w") as archive:
        for path, each in zip(paths, data, strict=True):
            about = tarfile.TarInfo(path.name)
            about.size = len(each)
            archive.addfile(about, io.BytesIO(each))
    root = Path.cwd().as_uri()
    for number, (named, prefix) in enumerate(
        {
            "list.txt": "photos/",
            "paths.parquet": "photos/",
            "bytes.parquet": "photos/",
            "photos.tar": "photos.tar/",
            f"{root}/photos": f"{root}/photos/",
            f"{root}/list.txt": "photos/",
            f"{root}/bytes.parquet": "photos/",
            f"{root}/photos.tar": f"{root}/photos.tar/",
            "--list=addresses": f"{root}/photos/",
        }.items()
    ):
        here.run(apply, named, "--out", f"{number}.csv")
        found = read(f"{number}.csv")
        assert found["image"].tolist() == [f"{prefix}{id}.png" for id in ids]
        pd.testing.assert_frame_equal(values(found), values(wanted))


def test_bad_images_in_archives_and_tables(here: Here) -> None:
    ids = here.write_images()
    good = Path(f"photos/{ids[0]}.png").read_bytes()
    pq.write_table(pa.table({"bytes": [good, None, b"none", good]}), "x.parquet")
    with pytest.raises(UserError) as error:
        here.run(apply, "x.parquet", f"{Path.cwd().as_uri()}/gone.png", "--out", "found.csv")
    assert [each.partition(": ")[2][:12] for each in error.value.args] == [
        "is no image ",
        "is no image ",
        "cannot be re",
    ]
    assert read("found.csv")["image"].tolist() == ["x.parquet#0", "x.parquet#3"]


@pytest.mark.slow
def test_killed_runs_are_completed(here: Here) -> None:
    """By SIGKILL, at random moments; what is there after all is as if nothing had happened."""
    ids = here.write_images()
    with Path("list.txt").open("w") as file:
        file.writelines(f"photos/{ids[number % len(ids)]}.png\n" for number in range(400))
        file.write("gone.png\n")
    command = [sys.executable, "-m", "foldwise", "apply", "list.txt", "--slice", "1", "--out"]
    told = environment() | {"PYTHONPATH": str(ROOT)}

    def started(out: str) -> "subprocess.Popen[bytes]":
        return subprocess.Popen([*command, out], env=told, stderr=subprocess.DEVNULL)

    assert started("whole/").wait() == 1
    rng = random.Random(0)
    for _ in range(3):
        process = started("out/")
        wanted = len(list(Path("out").glob("part-*"))) + rng.randrange(1, 8)
        until = time.monotonic() + 120
        while process.poll() is None and time.monotonic() < until:
            if len(list(Path("out").glob("part-*"))) >= wanted:
                time.sleep(rng.random() * 0.05)
                os.kill(process.pid, signal.SIGKILL)
                break
            time.sleep(0.005)
        assert process.wait() in (-signal.SIGKILL, 1)
    assert started("out/").wait() == 1
    names = sorted(path.name for path in Path("whole").iterdir())
    assert sorted(path.name for path in Path("out").iterdir()) == names
    for name in names:
        assert Path("out", name).read_bytes() == Path("whole", name).read_bytes(), name
    assert len(parts_of("out")) == 400
