"""What people run beside the pipeline: `python -m foldwise <command> [arguments]`.

Without a command it lists them, a line each.
"""

import ast
import importlib
import sys
from pathlib import Path

from foldwise.core.errors import UserError
from foldwise.core.program import run

COMMANDS = Path(__file__).with_name("commands")


def descriptions() -> dict[str, str]:
    """Every command's name, and the first line of what it says of itself."""
    found = {}
    for path in sorted(COMMANDS.glob("*.py")):
        # Read, not imported: some need torch, which takes seconds.
        said = ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) or ""
        found[path.stem.replace("_", "-")] = said.partition("\n")[0]
    return found


def main() -> None:
    known = descriptions()
    if len(sys.argv) < 2 or sys.argv[1] in ("-h", "--help"):
        width = max(map(len, known))
        print("python -m foldwise <command> [arguments]; <command> --help says more\n")
        print("\n".join(f"  {name:{width}}  {said}" for name, said in known.items()))
        return
    command = sys.argv.pop(1)
    if command not in known:
        raise UserError(f"python -m foldwise: no command '{command}'; there is {', '.join(known)}")
    sys.argv[0] = f"python -m foldwise {command}"
    importlib.import_module(f"foldwise.commands.{command.replace('-', '_')}").main()


if __name__ == "__main__":
    run(main)
