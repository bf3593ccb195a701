"""README.md and docs/ against the code: settings, commands, links, paths."""

import ast
import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from dvc.cli import DvcParserError
from dvc.cli.parser import get_main_parser
from dvc.exceptions import DvcException
from dvc.utils.hydra import apply_overrides

from foldwise.core.errors import UserError
from foldwise.params import read_params
from tests.conftest import ROOT
from tests.docs.pages import (
    PAGES,
    README,
    Command,
    Snippet,
    anchors,
    codes,
    commands,
    links,
    pieces,
    snippets,
)
from tests.imports import parsed

MOST_LINES = 200
LANGUAGES = {"sh", "yaml", "python", "text"}
NOT_PARAMS = "not params"
OVER = "over "

PIPELINE = yaml.safe_load((ROOT / "dvc.yaml").read_text(encoding="utf-8"))["stages"]
MAKEFILE = (ROOT / "Makefile").read_text(encoding="utf-8")
ELSEWHERE = {"cd", "git", "gto", "rm", "source", "xdg-open"}
"""Programs that are not ours."""
USERS = "data/incoming/"
"""What lies here is the reader's own."""

page_by_page = pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)


def merged(base: Any, own: Any) -> Any:
    """A params file with a piece of one over it, key by key."""
    if not isinstance(base, dict) or not isinstance(own, dict):
        return own
    return base | {key: merged(base.get(key), value) for key, value in own.items()}


def check_snippet(snippet: Snippet, folder: Path) -> None:
    """Raise `UserError` or `AssertionError` if it may not stand in params.yaml, and should."""
    if snippet.mark == NOT_PARAMS:
        return
    base = snippet.mark.removeprefix(OVER) if snippet.mark.startswith(OVER) else "params.yaml"
    own = yaml.safe_load(snippet.piece.text)
    assert isinstance(own, dict), f"{snippet.piece}: mark what is `{NOT_PARAMS}`"
    content = merged(yaml.safe_load((ROOT / base).read_text(encoding="utf-8")), own)
    (folder / "params.yaml").write_text(yaml.safe_dump(content), encoding="utf-8")
    read_params(folder / "params.yaml")


@page_by_page
def test_snippets_of_params_are_valid(page: Path, tmp_path: Path) -> None:
    for snippet in snippets(page):
        try:
            check_snippet(snippet, tmp_path)
        except UserError as error:
            pytest.fail(f"{snippet.piece}: {error}")


@page_by_page
def test_every_block_says_what_it_is(page: Path) -> None:
    kinds = {each.kind for each in pieces(page) if each.kind.startswith("fence:")}
    assert kinds <= {f"fence:{name}" for name in LANGUAGES}


def check_command(command: Command, folder: Path) -> None:
    """Raise if there is no such command, or it has no such option or argument."""
    program, *rest = command.words
    if program == "python" and rest[:1] == ["-m"]:
        check_module(rest[1], rest[2:])
    elif program == "make":
        check_make(rest)
    elif program == "dvc":
        check_dvc(command, rest, folder)
    elif program == "pytest":
        assert rest, "names no tests"
        assert all((ROOT / each).exists() for each in rest), "names tests that there are not"
    elif program == "cp":
        assert (ROOT / rest[0]).is_file(), "copies what there is not"
    elif "/" in program and command.fenced:
        assert (ROOT / program).is_file(), "there is no such file"
    else:
        assert not command.fenced or program in ELSEWHERE, "nobody knows this program here"


def check_module(module: str, arguments: list[str]) -> None:
    """`python -m module arguments`."""
    name = next(iter(arguments), "")
    if module == "foldwise" and name and not name.startswith(("<", "-")):
        path = Path(f"foldwise/commands/{name.replace('-', '_')}.py")
        assert (ROOT / path).is_file(), f"there is no command {name}"
        options = {"--help", *(each for each in added_arguments(path) if each.startswith("-"))}
        given = {each.partition("=")[0] for each in arguments[1:] if each.startswith("-")}
        assert given <= options, f"{name} has no {given - options}"
    elif module != "foldwise":
        path = Path(f"{module.replace('.', '/')}.py")
        assert (ROOT / path).is_file(), f"there is no module {module}"
        assert '__name__ == "__main__"' in (ROOT / path).read_text(encoding="utf-8")


def added_arguments(path: Path) -> set[str]:
    """What a module's parser takes, read from the source: some import torch."""
    return {
        str(name.value)
        for node in ast.walk(parsed(path))
        if isinstance(node, ast.Call)
        and isinstance(node.func, ast.Attribute)
        and node.func.attr == "add_argument"
        for name in node.args
        if isinstance(name, ast.Constant)
    }


def check_make(arguments: list[str]) -> None:
    """`make arguments`."""
    for each in arguments:
        name, given, _ = each.partition("=")
        pattern = rf"\$\({name}\)" if given else rf"(?m)^{name}:"
        assert re.search(pattern, MAKEFILE), f"the Makefile has no {name}"


def check_dvc(command: Command, arguments: list[str], folder: Path) -> None:
    """`dvc arguments`: as DVC's own parser reads them; and what is set can be set."""
    if not arguments:
        return
    try:
        read: Any = get_main_parser().parse_args(arguments)
    except (DvcParserError, SystemExit) as error:
        raise AssertionError("DVC has no such command, or no such option") from error
    if arguments[0] in ("repro", "commit", "checkout") or arguments[:2] == ["exp", "run"]:
        for target in read.targets or []:
            # What is checked out may be a file that a stage puts out.
            known = produced() if arguments[0] == "checkout" else set()
            assert target in PIPELINE.keys() | known, f"there is no stage or output {target}"
    if overrides := getattr(read, "set_param", None):
        path = folder / "params.yaml"
        source = ROOT / (command.recipe or "params.yaml")
        path.write_text(source.read_text(encoding="utf-8"), encoding="utf-8")
        apply_overrides(path, overrides)
        read_params(path)


@page_by_page
def test_commands_and_their_options_exist(page: Path, tmp_path: Path) -> None:
    for command in commands(page):
        try:
            check_command(command, tmp_path)
        except (AssertionError, UserError, DvcException) as error:
            pytest.fail(f"{command}: {error}")


@page_by_page
def test_links_lead_to_files_and_headings(page: Path) -> None:
    for piece, address in links(page):
        path, _, anchor = address.partition("#")
        target = (page.parent / path).resolve() if path else page
        assert target.is_relative_to(ROOT), f"{piece}: {address} leads out of the repository"
        assert target.exists(), f"{piece}: {address}: there is no such file"
        if anchor:
            assert anchor in anchors(target), f"{piece}: {address}: there is no such heading"


def test_the_readme_links_to_every_page() -> None:
    targets = {(ROOT / address.partition("#")[0]).resolve() for _, address in links(README)}
    assert set(PAGES) - {README} <= targets


def test_the_readme_is_short() -> None:
    assert len(README.read_text(encoding="utf-8").splitlines()) <= MOST_LINES


def produced() -> set[str]:
    """What stages write, whatever the member and fold; submissions of recipes among it."""
    found = set()
    for stage in PIPELINE.values():
        for each in [*stage.get("outs", []), *stage.get("metrics", [])]:
            name = each if isinstance(each, str) else next(iter(each))
            found.add(re.sub(r"\$\{item\.\w+\}", "*", name))
    files = [ROOT / "params.yaml", *(ROOT / "recipes").glob("*.yaml")]
    contents = [yaml.safe_load(each.read_text(encoding="utf-8")) for each in files]
    return found | {each["evaluate"]["submission"] for each in contents}


def is_there(name: str, outs: set[str]) -> bool:
    """Whether the repository has a path, or a run makes it; `<...>` stands for any name."""
    pattern = re.sub(r"<[^<>]*>", "*", name.rstrip("/"))
    if any(ROOT.glob(pattern)) or name.startswith(USERS):
        return True
    folder, _, last = pattern.rpartition("/")
    # Our own backbones have names like paths.
    if folder == "foldwise" and (ROOT / f"foldwise/model/{last}.py").is_file():
        return True
    return any(each == pattern or each.startswith(f"{pattern}/") for each in outs)


def paths_in_prose(page: Path) -> list[tuple[str, str]]:
    """Where they stand, and code that begins as a path of the repository does."""
    tops = {each.name for each in ROOT.iterdir()}
    return [
        (str(piece), code)
        for piece in pieces(page)
        if piece.kind == "prose"
        for code in codes(piece)
        if " " not in code and "/" in code and code.split("/")[0] in tops
    ]


@page_by_page
def test_paths_that_prose_names_exist(page: Path) -> None:
    outs = produced()
    for where, path in paths_in_prose(page):
        assert is_there(path, outs), f"{where}: there is no {path}"


def rooms() -> set[str]:
    return {each.parent.name for each in (ROOT / "foldwise").glob("*/*.py")}


def test_the_map_of_the_house_has_every_room() -> None:
    tree = next(each.text for each in pieces(README) if each.kind == "fence:text")
    named = re.findall(r"(?m)^  (\w+)/ ", tree)
    assert sorted(named) == sorted(rooms())
    for top in re.findall(r"(?m)^(\S+?/)", tree):
        assert (ROOT / top).is_dir(), top


def test_every_room_has_its_row_where_imports_are_told() -> None:
    text = (ROOT / "docs/development.md").read_text(encoding="utf-8")
    assert rooms() <= set(re.findall(r"(?m)^\| `foldwise/(\w+)` \|", text))


def in_prose(line: str) -> str:
    return f"See `{line}`."


def in_shell(line: str) -> str:
    return f"```sh\n{line}\n```"


@pytest.mark.parametrize("written", [in_prose, in_shell])
@pytest.mark.parametrize(
    "line",
    [
        "python -m foldwise aply photos/",
        "python -m foldwise apply photos/ --outs x.csv",
        "python -m stages.apply photos/",
        "python -m benchmarks.machine",
        "make tests",
        "make compare REF=main",
        "pytest tests/decisions",
        "cp recipes/none.yaml params.yaml",
        "dvc exp ran -S lr=1e-6",
        "dvc exp show --only-params",
        "dvc repro tresholds",
        "dvc exp run -S lrs=1e-6",
        "dvc exp run -S lr=fast",
        "dvc exp run -S train.overfit_batches=5",
        "dvc exp run -S +train.overfit=5",
    ],
)
def test_a_wrong_command_is_noticed(line: str, written: Any, tmp_path: Path) -> None:
    (command,) = commands(README, written(line))
    with pytest.raises((AssertionError, UserError, DvcException)):
        check_command(command, tmp_path)


def test_a_command_belongs_to_the_recipe_that_was_copied(tmp_path: Path) -> None:
    copied = in_shell("cp recipes/dacon-resnet50.yaml params.yaml")
    run = in_prose("dvc exp run -S threshold.fixed=null")
    *_, command = commands(README, f"{copied}\n{run}")
    check_command(command, tmp_path)
    *_, command = commands(README, f"{copied}\n# Another\n{run}")
    with pytest.raises(DvcException):
        check_command(command, tmp_path)


@pytest.mark.parametrize(
    "text", ["train: {los: bce}", "stages: {fetch: {cmd: ls}}", "lr: fast", "just words"]
)
def test_a_wrong_snippet_is_noticed(text: str, tmp_path: Path) -> None:
    (snippet,) = snippets(README, f"```yaml\n{text}\n```")
    with pytest.raises((AssertionError, UserError)):
        check_snippet(snippet, tmp_path)
    (snippet,) = snippets(README, f"<!-- {NOT_PARAMS} -->\n```yaml\n{text}\n```")
    check_snippet(snippet, tmp_path)
