"""A trained member on disk: damage to any bit of it is seen."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from foldwise.core.errors import UserError
from foldwise.model.classifier import build_network
from foldwise.model.saved import copy_weights, load_member, read_model, save_member
from tests.small import recipe

REMEDY = (
    r"is damaged \(.*\); `dvc checkout --force .*m/0/.*` or "
    r"`dvc repro --force --single-item train@m-0` brings it back"
)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Of a member that was saved."""
    made = recipe()
    torch.manual_seed(0)
    saved = tmp_path / "m/0"
    saved.mkdir(parents=True)
    origin = {"unseen": ""}
    network = build_network(made.model, 2)
    save_member(saved, network, made.model, ["a", "ü"], False, origin)
    return saved


@pytest.mark.parametrize("name", ["weights.safetensors", "model.json"])
def test_a_flipped_bit_anywhere_is_seen(folder: Path, name: str) -> None:
    path = folder / name
    whole = path.read_bytes()
    load_member(folder)
    rng = np.random.default_rng(0)
    for place in [0, 8, len(whole) - 1, *rng.integers(0, len(whole), 300).tolist()]:
        broken = bytearray(whole)
        broken[place] ^= 1 << int(rng.integers(8))
        if name == "model.json" and _same(bytes(broken), whole):
            continue
        path.write_bytes(broken)
        with pytest.raises(UserError, match=REMEDY) as error:
            load_member(folder)
        assert f"m/0/{name}: " in str(error.value)
        assert "\n" not in str(error.value)


def _same(one: bytes, other: bytes) -> bool:
    """Whether JSON says the same: blanks may be others."""
    try:
        return bool(json.loads(one) == json.loads(other))
    except ValueError:
        return False


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b"{}", b"null", b"\xff\xfe"])
@pytest.mark.parametrize("name", ["weights.safetensors", "model.json"])
def test_what_was_cut_or_is_something_else_is_one_line(
    folder: Path, name: str, content: bytes
) -> None:
    (folder / name).write_bytes(content)
    for load in (load_member, lambda each: copy_weights(build_network(recipe().model, 2), each)):
        with pytest.raises(UserError, match=REMEDY):
            load(folder)


def test_members_of_older_commits_have_no_sums(folder: Path) -> None:
    content = read_model(folder)
    del content["sha256"]
    (folder / "model.json").write_text(json.dumps(content))
    assert load_member(folder).classes == ["a", "ü"]
    weights = folder / "weights.safetensors"
    whole = weights.read_bytes()
    weights.write_bytes(whole[:-1])
    with pytest.raises(UserError, match=REMEDY):
        load_member(folder)
    # Another network's, by the same names.
    weights.write_bytes(whole)
    save_file({name: each.reshape(-1)[:1] for name, each in load_file(weights).items()}, weights)
    with pytest.raises(UserError, match="does not fit this network"):
        load_member(folder)


def test_settings_that_this_version_does_not_know_are_one_line(folder: Path) -> None:
    content = read_model(folder)
    del content["sha256"]
    content["model"]["wings"] = 2
    (folder / "model.json").write_text(json.dumps(content))
    with pytest.raises(UserError, match=r"m/0/model.json: model.wings: .* does not know"):
        load_member(folder)
