"""Command-line arguments of the stages that run once per member and fold."""

import argparse

from foldwise.core.errors import UserError
from foldwise.params import read_params


def member_and_fold(description: str | None) -> tuple[str, int]:
    """`--member` and `--fold`, checked against params.yaml."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--member", required=True, help="a key of `models` in params.yaml")
    parser.add_argument("--fold", required=True, type=int, help="the fold that is held out")
    arguments = parser.parse_args()
    params = read_params()
    if arguments.member not in params.models:
        known = ", ".join(params.models)
        raise UserError(f"--member: '{arguments.member}' is not in params.yaml's models ({known})")
    if arguments.fold not in params.folds:
        raise UserError(
            f"--fold: {arguments.fold} is not in params.yaml's folds {list(params.folds)}"
        )
    return arguments.member, arguments.fold
