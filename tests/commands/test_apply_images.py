"""What `apply` is given: files and folders, good and bad ones, and images unlike training's."""

import json
import os
from pathlib import Path

import cv2
import numpy as np
import pytest

from foldwise.commands import apply
from foldwise.core.errors import UserError
from foldwise.deploy.depths import DeepImages
from foldwise.deploy.ensemble import DeployedMember
from foldwise.deploy.listing import Listing
from foldwise.deploy.reading import ReadImage, read_image
from foldwise.images.decoding import Decoding
from foldwise.model.settings import Model
from tests.commands.conftest import Here, read


def test_paths_that_lead_nowhere_are_listed(here: Here) -> None:
    ids = here.write_images()
    Path("photos/dangling.png").symlink_to("nowhere.png")
    long = "x" * 300 + ".png"
    with pytest.raises(UserError) as error:
        here.run(apply, "photos", long, "--out", "found.csv")
    said = error.value.args
    assert len(said) == 2
    assert said[0].startswith("photos/dangling.png: cannot be read (No such file")
    assert said[1].startswith(f"{long}: cannot be read (File name too long")
    here.check(ids, read("found.csv"), 1e-5)


def test_an_image_too_long_to_be_resized_is_listed(tmp_path: Path) -> None:
    thin, small = tmp_path / "thin.png", tmp_path / "small.png"
    cv2.imwrite(str(thin), np.zeros((1, 400_000), np.uint8))
    cv2.imwrite(str(small), np.zeros((9, 9), np.uint8))
    stretched = Model(backbone="foldwise/plain_cnn", image_size=224)
    cut = stretched.model_copy(update={"shortest_edge": 256})
    assert isinstance(read_image(thin, 10**6, [stretched]), ReadImage)
    said = read_image(thin, 10**6, [stretched, cut])
    assert isinstance(said, str)
    assert "resized to 256 x 102400000 pixels" in said
    # A small limit on what is read says nothing of what networks take.
    assert isinstance(read_image(small, 100, [cut]), ReadImage)


def test_a_bad_image_does_not_stop_the_rest(here: Here) -> None:
    ids = here.write_images()
    whole = Path(f"photos/{ids[0]}.png").read_bytes()
    Path("photos/aa cut.png").write_bytes(whole[: len(whole) // 2])
    Path("photos/notes.txt").write_text("passed over")
    Path("named.dat").write_text("tried")
    with pytest.raises(UserError) as error:
        here.run(apply, "photos", "named.dat", "gone.jpg", "--out", "found.csv")
    said = error.value.args
    assert len(said) == 3
    assert said[0].startswith("photos/aa cut.png: does not decode (")
    assert said[1].startswith("named.dat: is no image of a format that can be read")
    assert said[2].startswith("gone.jpg: cannot be read (No such file")
    here.check(ids, read("found.csv"), 1e-5)
    with pytest.raises(UserError, match=r"named.dat: is no image"):
        here.run(apply, "named.dat", "--out", "none.csv")
    assert not Path("none.csv").exists()
    Path("empty").mkdir()
    with pytest.raises(UserError, match=r"empty: holds no images"):
        here.run(apply, "empty")
    with pytest.raises(UserError, match=r"empty: holds no images"):
        here.run(apply, "empty", f"photos/{ids[1]}.png", "--out", "one.csv")
    assert len(read("one.csv")) == 1
    with pytest.raises(UserError, match=r"photos/: holds other things than predictions"):
        here.run(apply, f"photos/{ids[1]}.png", "--out", "photos")
    os.mkfifo("pipe.png")
    odd = os.fsdecode(b"n\xff.png")
    Path(odd).write_bytes(whole)
    with pytest.raises(UserError, match=r"pipe.png: is no file"):
        here.run(apply, "pipe.png", odd, "--out", "odd.csv")
    assert read("odd.csv")["image"].tolist() == ["n\\udcff.png"]


def deployed(depth: int, settled: bool) -> DeployedMember:
    decoding = Decoding(depth=depth)
    return DeployedMember(Model(backbone="foldwise/plain_cnn"), decoding, settled, [], 1.0)


def depth_warning(largest: list[int], members: list[DeployedMember]) -> str | None:
    """Said of images one by one, and of all at once: the same."""
    whole = DeepImages.of(largest, members)
    summed = DeepImages.of([], members)
    for each in largest:
        summed = summed.plus(DeepImages.of([each], members))
    assert summed == whole
    return whole.warning()


def test_samples_of_another_depth_than_trainings_are_counted() -> None:
    unsettled, whole, twelve = deployed(16, False), deployed(16, True), deployed(12, True)
    largest = [200, 4095, 4096, 32767, 32768, 65535]
    dark = depth_warning(largest, [unsettled])
    assert dark is not None
    assert "4 with 16-bit samples of fewer bits (the largest is 32767) are darker" in dark
    assert "white" not in dark
    bright = depth_warning(largest, [whole, twelve])
    assert bright is not None
    assert "4 have samples above the 12 bits of training" in bright
    assert "darker" not in bright
    both = depth_warning(largest, [unsettled, twelve])
    assert both is not None
    assert "4 with 16-bit samples of fewer" in both
    assert "4 have samples above the 12 bits" in both
    assert depth_warning(largest, [whole]) is None
    assert depth_warning([200, 4095], [whole, twelve]) is None
    assert depth_warning([], [unsettled, twelve]) is None
    assert depth_warning([65535], [unsettled]) is None


def test_deep_images_for_networks_of_shallow_ones_are_told(
    here: Here, capsys: pytest.CaptureFixture[str]
) -> None:
    grey = np.random.default_rng(0).integers(0, 4096, (9, 9)).astype(np.uint16)
    grey[0, 0] = 4095
    for number in "12":
        cv2.imwrite(f"{number}.png", grey)
    shallow = here.write_images()[0]
    told = "warning: images: 2 with 16-bit samples of fewer bits (the largest is 4095) are darker"
    here.run(apply, "1.png", "2.png", f"photos/{shallow}.png", "--out", "found.csv")
    assert told in capsys.readouterr().err
    assert len(read("found.csv")) == 3
    path = Path("data/dataset.json")
    deep = Decoding().to_json() | {"deep_images": 1}
    for decoded, warned in ((deep, ""), (Decoding(depth=11).to_json(), "2 have samples above")):
        path.write_text(json.dumps(json.loads(path.read_text()) | {"decoding": decoded}))
        here.run(apply, "1.png", "2.png", "--out", "found.csv")
        said = capsys.readouterr().err
        assert ("warning: " in said) == bool(warned)
        assert warned in said


def test_names_and_sizes_that_harm_are_told_in_a_line(
    here: Here, capsys: pytest.CaptureFixture[str]
) -> None:
    ids = here.write_images()
    Path("a\x1b[2Jb.png").write_text("no image")
    Path("void\n").mkdir()
    Path("vast.png").touch()
    os.truncate("vast.png", 2**29 + 2**20)
    named = ("a\x1b[2Jb.png", "vast.png", "void\n", f"photos/{ids[0]}.png")
    with pytest.raises(UserError) as error:
        here.run(apply, *named, "--out", "o\r.csv")
    assert error.value.args == (
        "void\\n: holds no images; it is left out",
        "a\\x1b[2Jb.png: is no image of a format that can be read; it is left out",
        "vast.png: has 513 MiB, over the 512 of any single file; divide it; it is left out",
    )
    assert "o\\r.csv: 1 images" in capsys.readouterr().err


def test_files_are_found_once_and_in_order(tmp_path: Path) -> None:
    hidden = ("b/._2.png", "b/.git/4.png", "b/__MACOSX/5.png")
    for name in ("b/2.png", "b/1.JPG", "a.png", "b/c/3.webp", "b/read.me", *hidden):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    named = [str(tmp_path / each) for each in ("b", "a.png", "b/2.png")]
    listing = Listing(named)
    found = [Path(each.source) for each in listing]
    assert listing.problems == []
    assert listing.count() == len(found)
    assert [str(each.relative_to(tmp_path)) for each in found] == [
        "b/1.JPG",
        "b/2.png",
        "b/c/3.webp",
        "a.png",
    ]
