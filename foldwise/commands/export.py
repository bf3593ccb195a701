"""Every member as ONNX graphs, which run with onnxruntime alone.

`python -m foldwise export --out export` writes a graph for every member and fold,
export/<member>/<fold>.onnx, and export/<member>.onnx, in which all folds are merged. Views, their
merge and normalisation are in the graph; how an image is resized, the other merges and the decision
are in its metadata (`foldwise`, JSON). Every graph is compared with torch on images of the data set
before any file is put in its place. `sha256sum --check SHA256SUMS` sees damage.
`--members student --folds 0` exports these members and folds alone.
"""

import argparse
import hashlib
import json
import tempfile
from pathlib import Path

import numpy as np
import torch

from foldwise.core import files
from foldwise.core.damage import refuse_changed
from foldwise.core.errors import UserError
from foldwise.core.progress import track
from foldwise.decision.decision import Decision
from foldwise.deploy.ensemble import chosen_ensemble, fold_folders, member_decoding
from foldwise.deploy.graphs import write_graph
from foldwise.deploy.merge_torch import MergedFolds
from foldwise.deploy.onnx_files import SUMS, fold_file, member_file, metadata, write_sums
from foldwise.deploy.subset import Subset
from foldwise.deploy.torch_runner import load_fold
from foldwise.images.store import ImageStore
from foldwise.model.geometry import as_input
from foldwise.model.saved import WEIGHTS
from foldwise.model.settings import Model

CHECKED = 4
"""Images that a graph is compared with torch on."""


def examples(store: ImageStore, model: Model) -> torch.Tensor:
    """The first images of the data set as a member takes them."""
    ids = (store.ids * CHECKED)[:CHECKED]
    images = [as_input(store.pixels(id, model.channels), model) for id in ids]
    return torch.from_numpy(np.stack(images))


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--out", type=Path, default=Path("export"), help="folder to write")
    parser.add_argument("--members", help="only these, as `a,b`; left out: all")
    parser.add_argument("--folds", help="only these, as `0,1`; left out: all")
    arguments = parser.parse_args()
    out = arguments.out
    _refuse_what_is_not_ours(out)
    refuse_changed((files.DATASET, files.MERGING, files.DECISION))
    ensemble = chosen_ensemble(Subset.from_options(arguments.members, arguments.folds))
    decision = files.read_json(files.DECISION, "threshold", Decision.from_json)
    dataset = files.read_dataset()
    store = ImageStore(files.IMAGES)
    common = {
        "classes": dataset["classes"],
        "task": dataset["task"],
        "ensemble": ensemble,
        "decision": decision.as_json(),
    }
    with tempfile.TemporaryDirectory() as temporary, files.replacing(out) as target:
        folders = {
            member: fold_folders(member, ensemble["folds"], Path(temporary))
            for member in ensemble["members"]
        }
        digest = hashlib.sha256(json.dumps(common).encode())
        for each in folders.values():
            for folder in each:
                digest.update((folder / WEIGHTS).read_bytes())
        common["export"] = digest.hexdigest()
        worst = 0.0
        for member, views in track(ensemble["members"].items(), len(folders), "export"):
            loaded = [
                load_fold(folder, dataset["classes"], views["views"], ensemble["merge"]["views"])
                for folder in folders[member]
            ]
            model = loaded[0][1]
            images = examples(store, model)
            content = common | {
                "member": member,
                "input": model.model_dump(mode="json"),
                "decoding": member_decoding(member, Path(temporary)).to_json(),
            }
            for fold, (module, _) in zip(ensemble["folds"], loaded, strict=True):
                path = fold_file(target, member, fold)
                worst = max(worst, write_graph(module, images, path, content | {"fold": fold}))
            merged = MergedFolds([module for module, _ in loaded], ensemble["merge"]["folds"])
            path = member_file(target, member)
            worst = max(worst, write_graph(merged.eval(), images, path, content | {"fold": None}))
        write_sums(target)
    print(f"{out}: {len(folders)} members; logits within {worst:.1e} of torch's")


def _refuse_what_is_not_ours(out: Path) -> None:
    """The folder is replaced as a whole: nothing but an earlier export may be in it."""
    other = f"{out}: holds other things than an export, or a damaged one; name another folder"
    if out.is_symlink() or (out.exists() and not out.is_dir()):
        raise UserError(other)
    for path in out.rglob("*"):
        if path.is_file() and path != out / SUMS:
            try:
                metadata(path)
            except UserError:
                raise UserError(other) from None
