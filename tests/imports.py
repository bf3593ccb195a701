"""Which of our files a module imports, read from the source: an independent look at dvc.yaml."""

import ast
from pathlib import Path

ROOT = Path(__file__).parents[1]


def module_path(name: str) -> Path | None:
    """The file of one of our modules, or None for a module that is not ours."""
    path = ROOT / Path(*name.split(".")).with_suffix(".py")
    return path.relative_to(ROOT) if name.startswith("stages.") and path.exists() else None


def imported_names(path: Path, late: bool = True) -> set[str]:
    """Every module that a file imports, wherever in the file the import stands.

    Args:
        path: of the file.
        late: False leaves out what only a call of a function imports.
    """
    names: set[str] = set()
    waiting: list[ast.AST] = [ast.parse((ROOT / path).read_text(encoding="utf-8"))]
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


def closure(path: Path, late: bool = True) -> set[Path]:
    """A file and all of our files that it imports, directly or not; `late` as above."""
    found: set[Path] = set()
    waiting = [path]
    while waiting:
        current = waiting.pop()
        if current not in found:
            found.add(current)
            names = imported_names(current, late)
            waiting += [each for name in names if (each := module_path(name))]
    return found
