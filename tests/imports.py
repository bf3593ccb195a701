"""Which of our files a module imports, read from the source: an independent look at dvc.yaml."""

import ast
from pathlib import Path

ROOT = Path(__file__).parents[1]
OURS = ("stages", "foldwise")
MODULES = sorted(
    path.relative_to(ROOT) for folder in OURS for path in (ROOT / folder).rglob("*.py")
)


def module_path(name: str) -> Path | None:
    """The file of one of our modules or packages, or None for a module that is not ours."""
    if name.split(".")[0] not in OURS:
        return None
    found = (Path(*name.split(".")).with_suffix(".py"), Path(*name.split("."), "__init__.py"))
    return next((path for path in found if (ROOT / path).exists()), None)


def parsed(path: Path) -> ast.Module:
    return ast.parse((ROOT / path).read_text(encoding="utf-8"))


def imported_names(path: Path, late: bool = True) -> set[str]:
    """Every module that a file imports, wherever in the file the import stands.

    Args:
        path: of the file.
        late: False leaves out what only a call of a function imports.
    """
    names: set[str] = set()
    waiting: list[ast.AST] = [parsed(path)]
    while waiting:
        node = waiting.pop()
        if late or not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            waiting += ast.iter_child_nodes(node)
        if isinstance(node, ast.Import):
            names |= {each.name for each in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            names.add(node.module)
            names |= {f"{node.module}.{each.name}" for each in node.names}
    return names


def our_imports(path: Path, late: bool = True) -> set[Path]:
    """Our files that a file imports itself, packages' own among them; `late` as above."""
    names = imported_names(path, late)
    parents = {name.rpartition(".")[0] for name in names}
    found = {module_path(name) for name in names | parents if name}
    return {each for each in found if each and each != path}


def closure(path: Path, late: bool = True, without: frozenset[Path] = frozenset()) -> set[Path]:
    """A file and all of our files that it imports, directly or not.

    Args:
        path: of the file.
        late: as above.
        without: files that are not looked into.
    """
    found: set[Path] = set()
    waiting = [path]
    while waiting:
        current = waiting.pop()
        if current not in found | without:
            found.add(current)
            waiting += our_imports(current, late)
    return found
