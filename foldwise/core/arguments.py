"""Command-line arguments of the stages that run once per member and fold."""

import argparse
from typing import Any

from foldwise.core.errors import UserError
from foldwise.core.settings import Folds, read


def member_and_fold(description: str | None) -> tuple[str, int]:
    """`--member` and `--fold`, checked against params.yaml."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--member", required=True, help="a key of `models` in params.yaml")
    parser.add_argument("--fold", required=True, type=int, help="the fold that is held out")
    arguments = parser.parse_args()
    models, folds = read("models", dict[str, Any]), read("folds", Folds)
    if arguments.member not in models:
        known = ", ".join(models)
        raise UserError(f"--member: '{arguments.member}' is not in params.yaml's models ({known})")
    if arguments.fold not in folds:
        raise UserError(f"--fold: {arguments.fold} is not in params.yaml's folds {list(folds)}")
    return arguments.member, arguments.fold
