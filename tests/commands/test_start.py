"""A params.yaml is written for a data set, and nothing else changes."""

import shutil
import subprocess
import tarfile
from pathlib import Path

import pytest
import yaml

from foldwise.commands.start import next_commands
from foldwise.params import read_params
from foldwise.sources.problems import Problems
from stages.fetch import open_source
from tests.conftest import ROOT, Project, environment
from tests.pictures import write
from tests.server import Server
from tests.starting import layouts, tables
from tests.starting.wanted import numbered


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Project:
    """A repository with the default's params alone, and a data set beside it."""
    made = Project(tmp_path / "project")
    made.path.mkdir()
    for name in ("params.yaml", ".gitignore"):
        shutil.copy(ROOT / name, made.path / name)
    made.run("git", "init", "-q", "-b", "main")
    made.commit("Start")
    tables.lesions(tmp_path / "skin")
    monkeypatch.chdir(made.path)
    return made


def start(here: Project, *arguments: str, code: int = 0) -> str:
    return here.command("start", *arguments, "--steps", "0", code=code)


def test_params_are_written_and_nothing_else(
    here: Project, capsys: pytest.CaptureFixture[str]
) -> None:
    (here.path / "data/models/cnn").mkdir(parents=True)
    start(here, "../skin")
    said = capsys.readouterr().out
    changed = here.run("git", "status", "--porcelain").stdout.split()
    assert changed == ["M", "params.yaml"]
    params = read_params()
    assert params.data.source == "table"
    assert params.split.group
    source = open_source(params.data, Problems())
    assert source.classes == ["bkl", "mel", "nv"]
    assert "the column 'lesion_id' is the group (9 different values)" in said
    assert "18 images to train on" in said
    assert "-  source: glyphs" in said
    assert "rm -rf data/models/cnn && git add" in said
    assert said.splitlines()[-2:] == ["  make repro", "  xdg-open plots/report.html"]
    text = Path("params.yaml").read_text()
    assert text.startswith("# Written by `python -m foldwise start ../skin --tier quick`.\n")
    # The same again: the same bytes.
    here.commit("Mine")
    start(here, "../skin")
    assert Path("params.yaml").read_text() == text
    assert "params.yaml is so already" in capsys.readouterr().out


def test_what_belongs_to_the_data_set_stays_with_it(
    here: Project, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    start(here, "../skin", "--no-mirror", "--force")
    path = Path("params.yaml")
    assert path.read_text().startswith(
        "# Written by `python -m foldwise start ../skin --no-mirror --tier quick`.\n"
    )
    content = yaml.safe_load(path.read_text())
    content["data"]["corrections"] = "corrections.csv"
    path.write_text(yaml.safe_dump(content))
    here.commit("Corrections")
    capsys.readouterr()
    start(here, "../skin", "--tier", "good")
    assert read_params().data.corrections == "corrections.csv"
    assert "data.corrections stays" in capsys.readouterr().out
    here.commit("Good")
    layouts.class_folders(tmp_path / "pets")
    start(here, "../pets")
    assert read_params().data.corrections is None
    assert "data.corrections is dropped" in capsys.readouterr().out


@pytest.mark.slow
def test_a_class_of_one_image_is_no_reason_to_fail(
    here: Project, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write(tmp_path / "few", {**numbered("a/", 20), **numbered("b/", 1, 50)})
    start(here, "../few")
    assert "folds are not stratified" in capsys.readouterr().out
    params = read_params()
    assert not params.split.stratify
    for stage in ("fetch", "split"):
        here.stage(stage)


def test_outside_git_it_says_what_to_do(here: Project) -> None:
    shutil.rmtree(".git")
    assert "run `git init`, or write --force" in start(here, "../skin", code=1)
    Path("params.yaml").write_text("data:\n")
    start(here, "../skin", "--force")
    assert read_params().data.source == "table"


def test_what_is_in_no_commit_is_not_overwritten(here: Project) -> None:
    path = Path("params.yaml")
    path.write_text(path.read_text() + "# mine\n")
    before = path.read_text()
    assert "differs from the last commit" in start(here, "../skin", code=1)
    assert path.read_text() == before
    start(here, "../skin", "--dry")
    assert path.read_text() == before
    start(here, "../skin", "--force")
    assert yaml.safe_load(path.read_text())["data"]["source"] == "table"


def test_dry_only_says(here: Project, capsys: pytest.CaptureFixture[str]) -> None:
    before = Path("params.yaml").read_bytes()
    start(here, "../skin", "--dry", "--tier", "best")
    assert Path("params.yaml").read_bytes() == before
    said = capsys.readouterr().out
    assert "+members: [tuned, tuned2, frozen]" in said or "+members: [v2s" in said
    assert "nothing is written" in said


def test_there_may_be_no_params_yet(here: Project) -> None:
    Path("params.yaml").unlink()
    here.commit("None")
    start(here, "../skin")
    assert read_params().data.extra_path == "data/extra"


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["../nowhere"], "../nowhere: no such file or folder"),
        (["../skin/HAM10000_metadata.csv"], "neither a folder nor an archive"),
        (["../skin", "--label-column", "colour"], "no table has a column 'colour'"),
        (["../broken"], "(and 5 more problems)"),
        (["http://localhost/a.zip", "../skin"], "cannot be mixed"),
        (["../skin", "--encoding", "base64"], "--encoding: 'base64' is no code page"),
    ],
)
def test_bad_input_is_a_line_and_nothing_is_written(
    here: Project, tmp_path: Path, arguments: list[str], said: str
) -> None:
    rows = "".join(f"{each}.png,{each % 2}\n" * (1 + (each < 6)) for each in range(12))
    write(tmp_path / "broken", {"t.csv": "file,label\n" + rows, **numbered("", 12)})
    before = Path("params.yaml").read_bytes()
    lines = start(here, *arguments, code=1).splitlines()
    assert len(lines) == 1
    assert said in lines[0]
    assert Path("params.yaml").read_bytes() == before
    assert here.run("git", "status", "--porcelain").stdout == ""


def test_an_address_is_downloaded_once_to_where_fetch_looks(
    here: Project, tmp_path: Path, server: Server
) -> None:
    folders = tmp_path / "pets"
    layouts.class_folders(folders)
    with tarfile.open(tmp_path / "pets.tar", "w") as archive:
        for path in sorted(folders.rglob("*.*")):
            archive.add(path, str(path.relative_to(folders)))
    server.content = (tmp_path / "pets.tar").read_bytes()
    start(here, server.url)
    asked = len(server.asked)
    params = read_params()
    assert params.data.path == "data/incoming"
    assert params.data.downloads[0].url.endswith("/file.tar")
    Path("data/incoming").mkdir(parents=True)
    assert open_source(params.data, Problems()).classes == ["cat", "dog"]
    assert len(server.asked) == asked


def test_several_archives_lie_in_one_folder(here: Project, tmp_path: Path) -> None:
    layouts.several_archives(tmp_path / "zips")
    names = ["train.csv", "train.zip", "test.tar.gz", "sample_submission.csv"]
    start(here, *(f"../zips/{name}" for name in names))
    assert read_params().data.path == str(tmp_path / "zips")
    here.commit("Mine")
    (tmp_path / "zips/old").mkdir()
    assert "holds old too" in start(here, "../zips/train.zip", "../zips/test.tar.gz", code=1)


def test_nothing_is_removed_where_nothing_is_left(here: Project) -> None:
    commands = next_commands(["lite0"])
    assert not any("rm -rf" in each for each in commands)


def test_the_program_tells_a_line_and_exits_with_1(here: Project) -> None:
    result = subprocess.run(
        ["python", "-m", "foldwise", "start", "../nowhere"],
        cwd=here.path,
        env=environment() | {"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 1
    assert result.stderr == "error: ../nowhere: no such file or folder\n"
