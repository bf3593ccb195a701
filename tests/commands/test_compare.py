"""Two runs compared: through DVC, paired, and honest about noise."""

import re
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import yaml

from foldwise.commands import compare
from foldwise.commands.compare import as_text, beyond_noise, difference_table, sections
from foldwise.core.errors import UserError
from foldwise.evaluation.headline import Drawn
from foldwise.evaluation.predictions import Part
from foldwise.evaluation.runs import Run, paired
from tests.conftest import Project

CLASSES = ["a", "b", "c"]


def part(seed: int, noise: float = 1.0, images: int = 400) -> Part:
    """Logits that are the more wrong the more noise; the labels are those of every seed."""
    truth = np.random.default_rng(0).normal(size=(images, 3))
    logits = truth + noise * np.random.default_rng(seed).normal(size=truth.shape)
    logits = logits.astype(np.float32)
    ids = np.array([f"{i:03d}" for i in range(images)])
    labels = (truth > 0.5).astype(np.int8)
    return Part(ids, labels, logits, logits, (logits > 0.5).astype(np.int8))


def run_of(name: str, **parts: Part) -> Run:
    return Run(name, CLASSES, False, parts)


def verdicts(text: str) -> dict[str, str]:
    """The headline's verdicts, by metric."""
    lines = re.findall(r"^(\w+) .*\] +(better|worse|within noise)$", text, re.MULTILINE)
    return {name: verdict for name, verdict in lines if name not in CLASSES}


@pytest.mark.slow
def test_a_better_run_is_better_in_any_order_of_images() -> None:
    bad, good = part(1, 2.0), part(2, 0.2)
    shuffled = good.of(np.random.default_rng(0).permutation(400))
    old, new = run_of("old", oof=bad, test=bad), run_of("new", oof=shuffled, test=good)
    pairs = paired(old, new)
    assert list(pairs) == ["oof", "test"]
    assert pairs["oof"][0].ids.tolist() == shuffled.ids.tolist()
    text = "\n".join(sections(old, new, pairs, False, False))
    assert set(verdicts(text).values()) == {"better"}
    assert {"accuracy", "macro_ap", "micro_f1"} <= set(verdicts(text))
    assert "average precision per class: 3 of 3 beyond noise" in text
    back = "\n".join(sections(new, old, paired(new, old), False, False))
    assert set(verdicts(back).values()) == {"worse"}


def test_a_run_is_itself_within_noise() -> None:
    same = run_of("same", oof=part(1))
    text = "\n".join(sections(same, same, paired(same, same), True, True))
    assert set(re.findall(r"(better|worse|within noise)", text)) == {"within noise"}
    assert "+0.0000" in text
    assert "0 of 3 beyond noise" in text
    assert text.count("| a ") == 2


def test_the_new_runs_labels_judge_both() -> None:
    old, new = part(1), part(2)
    relabelled = new.labels.copy()
    relabelled[:10] = 1 - relabelled[:10]
    both = run_of("old", oof=old), run_of("new", oof=replace(new, labels=relabelled))
    said = sections(*both, paired(*both), False, False)
    assert "10 images have other labels in new (30 labels); those judge both runs." in said
    wanted = (old.predicted == relabelled).mean()
    assert f" {wanted:.4f} " in said[2]


def test_images_whose_labels_are_the_same_are_compared_alone() -> None:
    """A run that is better on what was relabelled alone gains all in all, and nothing there."""
    old = part(1)
    relabelled = old.labels.copy()
    relabelled[:40, 1] = 1 - relabelled[:40, 1]
    relabelled[40, 2] = -1
    better = old.predicted.copy()
    better[:40, 1] = relabelled[:40, 1]
    new = replace(old, labels=relabelled, predicted=better)
    shuffled = new.of(np.random.default_rng(5).permutation(400))
    both = run_of("old", oof=old, test=old), run_of("new", oof=shuffled, test=old)
    said = sections(*both, paired(*both), False, False)
    assert said[1] == "41 images have other labels in new (41 labels); those judge both runs."
    assert verdicts(said[2])["accuracy"] == "better"
    assert said[3] == "The 359 images with the same labels in both alone:"
    assert set(verdicts(said[4]).values()) == {"within noise"}
    known = relabelled[41:] == old.predicted[41:]
    assert re.search(rf"^accuracy +{known.mean():.4f} +{known.mean():.4f} ", said[4], re.MULTILINE)
    # Of the test part no label differs, and nothing is said.
    assert said.index("Test part: 400 images") == len(said) - 4
    every = run_of("new", oof=replace(old, labels=1 - old.labels))
    said = sections(both[0], every, paired(both[0], every), False, False)
    assert not any("alone" in each for each in said)


def test_other_images_or_classes_are_refused() -> None:
    one = run_of("one", oof=part(1))
    with pytest.raises(UserError, match=r"one and two: 1 images are in the oof part .*'399'"):
        paired(one, run_of("two", oof=part(1).of(slice(399))))
    with pytest.raises(UserError, match=r"classes differ \(c\)"):
        paired(one, replace(one, classes=["a", "b"]))
    with pytest.raises(UserError, match="of the same task"):
        paired(one, replace(one, single=True))
    with pytest.raises(UserError, match="their order"):
        paired(one, replace(one, classes=["b", "a", "c"]))


def test_tables_say_what_is_missing() -> None:
    some = Drawn(np.array(0.5), np.full(9, 0.5))
    none = Drawn(np.array(np.nan), np.full(9, np.nan))
    table = difference_table({"x": (some, none), "y": (some, some)})
    assert table["verdict"].isna().tolist() == [True, False]
    assert beyond_noise(table).startswith("0 of 1 beyond noise; ")
    barred = as_text(difference_table({"a|b": (some, some)}), "class", "x", "y", True)
    assert "| a\\|b " in barred
    text = as_text(table, "metric", "main", "workspace", False)
    assert text.splitlines()[2].split() == ["x", "0.5000", "-"]


@pytest.mark.slow
def test_commits_are_compared_through_dvc(
    copied: Project, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The workspace loses its rank among files: nothing but DVC's cache has the old run."""
    ensemble = copied.path / "data/ensemble.npz"
    with np.load(ensemble) as arrays:
        content = dict(arrays)
    labels = pd.read_parquet(copied.path / "data/labels.parquet").set_index("id")
    truth = labels.loc[content["test_id"]].iloc[:, 1:].to_numpy(np.float32)
    content["test_logits"] = 8 * truth - 4
    ensemble.unlink()
    np.savez(ensemble, **content)
    monkeypatch.chdir(copied.path)
    monkeypatch.setattr("sys.argv", ["compare", "main"])
    # As another branch's data would lie there after `git switch` alone.
    with pytest.raises(UserError, match=r"data/ensemble.npz: is not what dvc.lock has on record"):
        compare.main()
    copied.run("dvc", "commit", "--force", "ensemble")
    compare.main()
    said = capsys.readouterr().out
    oof, test = said.split("Test part: 16 images")
    assert "own rows" not in said
    assert set(verdicts(oof).values()) == {"within noise"}
    assert set(verdicts(test).values()) == {"better"}
    summary = (copied.path / "metrics/summary.json").read_text()
    for value in re.findall(r"^macro_ap +(\S+)", said, re.MULTILINE):
        assert value[:5] in summary
    monkeypatch.setattr("sys.argv", ["compare", "main", "HEAD", "--markdown"])
    compare.main()
    assert "better" not in capsys.readouterr().out
    params = yaml.safe_load((copied.path / "params.yaml").read_text())
    params["train"]["extra"] = {"twin": {"per_epoch": 20000, "weight": 0.5}}
    copied.write_params(params)
    learned = ("main: own rows alone", "workspace: also twin (20,000 per epoch, weight 0.5)")
    for arguments, before in ((["main"], ""), (["main", "--markdown"], "- ")):
        monkeypatch.setattr("sys.argv", ["compare", *arguments])
        compare.main()
        lines = capsys.readouterr().out.splitlines()
        assert lines[:3] == [*(before + each for each in learned), ""]
    monkeypatch.setattr("sys.argv", ["compare", "nowhere"])
    with pytest.raises(UserError, match="compare: git knows no commit 'nowhere'"):
        compare.main()
    monkeypatch.setattr("sys.argv", ["compare", "main~1"])
    with pytest.raises(UserError, match=r"of commit .* cannot be had"):
        compare.main()
