"""Stages on a cluster: the bytes of a run without one, whatever dies on the way."""

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from tests.cluster.conftest import Nodes, running
from tests.conftest import TINY, Project

TRAIN = (sys.executable, "-m", "stages.train", "--member", "cnn", "--fold", "0")
WRITTEN = ("data/models/cnn/0", "plots/train/cnn/0")
BOTH = ("data/models", "data/predictions", "data/features", "plots/train")
LONG = TINY | {"epochs": 60}


def on(project: Project, environment: dict[str, str], *command: str) -> tuple[int, str]:
    """Exit code and what was said."""
    done = subprocess.run(
        command, cwd=project.path, env=environment, capture_output=True, text=True, check=False
    )
    return done.returncode, done.stderr


def alone(project: Project) -> dict[str, bytes]:
    """What a run without a cluster writes; gone afterwards."""
    project.run(*TRAIN)
    made = project.bytes_of(*WRITTEN)
    for folder in WRITTEN:
        shutil.rmtree(project.path / folder)
    return made


def until(process: "subprocess.Popen[str]", words: str) -> list[str]:
    """Lines up to the first that has some words."""
    assert process.stderr is not None
    lines = []
    for line in process.stderr:
        lines.append(line)
        if words in line:
            return lines
    raise AssertionError("".join(lines))


def test_a_pipeline_is_reproduced_to_the_byte(
    project: Project, tmp_path: Path, cluster: Nodes
) -> None:
    """Three folds by two nodes, side by side: dvc.lock and all else as `dvc repro` has it."""
    project.write_params(TINY | {"folds": [0, 1, 2]})
    project.commit("Three folds")
    plain = Project(tmp_path / "plain")
    shutil.copytree(project.path, plain.path)
    code, said = on(project, cluster.named(), sys.executable, "-m", "foldwise", "folds-parallel")
    assert code == 0, said
    for fold in range(3):
        assert f"cnn fold {fold}: epoch 8/8" in said
    # Inputs came once, though six stages asked for them.
    kept = {path.name for path in (cluster.cache / "kept").iterdir()}
    assert sum(each.startswith("md5-") for each in kept) >= 6
    assert not list(project.path.glob(".remote-*"))
    again = project.run("dvc", "repro", "predict")
    assert "Running stage" not in again.stdout
    plain.run("dvc", "repro", "predict")
    assert project.bytes_of("data", "plots") == plain.bytes_of("data", "plots")
    assert (project.path / "dvc.lock").read_text() == (plain.path / "dvc.lock").read_text()


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGINT])
def test_folds_side_by_side_go_on_where_they_were_ended(
    copied: Project, tmp_path: Path, cluster: Nodes, how: signal.Signals
) -> None:
    """Killed alone, as for want of memory; or by Ctrl-C, which all that it started hear as well."""
    copied.write_params(LONG)
    plain = Project(tmp_path / "plain")
    shutil.copytree(copied.path, plain.path)
    command = (sys.executable, "-m", "foldwise", "folds-parallel")
    process = running(copied.path, cluster.named(), *command)
    said = until(process, "epoch 10/60")
    if how == signal.SIGKILL:
        process.kill()
        process.wait()
    else:
        os.killpg(process.pid, how)
        assert process.stderr is not None
        said += process.stderr.readlines()
        assert process.wait() == 130
        assert "Traceback" not in "".join(said)
    code, again = on(copied, cluster.named(), *command)
    assert code == 0, again
    assert "resumed after epoch" in again
    plain.run("dvc", "repro", "predict")
    assert copied.bytes_of(*BOTH) == plain.bytes_of(*BOTH)
    stages = [
        yaml.safe_load((each.path / "dvc.lock").read_text())["stages"] for each in (copied, plain)
    ]
    assert stages[0] == stages[1]


def test_a_fold_goes_on_where_a_node_was_lost(copied: Project, cluster: Nodes) -> None:
    copied.write_params(LONG)
    wanted = alone(copied)
    # Alone on a node that has what the fold needs.
    copied.write_params(LONG | {"compute": TINY["compute"] | {"num_cpus": 1}})
    process = running(copied.path, cluster.named(), *TRAIN)
    until(process, "epoch 5/60")
    # Killed before another is started, which lasts longer than the fold on a fast machine.
    for number in list(cluster.alive):
        cluster.kill(number)
    cluster.add()
    lines = until(process, "epoch 60/60")
    assert process.wait(300) == 0
    said = "".join(lines)
    assert "its node was lost" in said
    assert "resumed after epoch" in said
    assert copied.bytes_of(*WRITTEN) == wanted
    assert not list((copied.path / ".checkpoints").glob(".cluster-*"))
    cluster.add()


def test_a_second_client_goes_on_where_the_first_was_killed(
    copied: Project, cluster: Nodes
) -> None:
    copied.write_params(LONG)
    wanted = alone(copied)
    process = running(copied.path, cluster.named(), *TRAIN)
    until(process, "epoch 10/60")
    process.kill()
    process.wait()
    code, said = on(copied, cluster.named(), *TRAIN)
    assert code == 0, said
    assert "resumed after epoch" in said
    assert copied.bytes_of(*WRITTEN) == wanted


def test_a_fold_that_names_other_commits(copied: Project, cluster: Nodes) -> None:
    """It goes on from one and is taught by it, on a node that has no repository."""
    commit = copied.run("git", "rev-parse", "HEAD").stdout.strip()
    train = TINY["train"] | {"warm_start": commit, "teacher": {"revision": commit}}
    copied.write_params(TINY | {"epochs": 2, "train": train})
    wanted = alone(copied)
    code, said = on(copied, cluster.named(), *TRAIN)
    assert code == 0, said
    assert copied.bytes_of(*WRITTEN) == wanted
    model = json.loads((copied.path / "data/models/cnn/0/model.json").read_text())
    assert model["warm_start"] == model["teacher"] == commit


def test_an_interrupt_ends_what_runs_on_the_node(copied: Project, cluster: Nodes) -> None:
    copied.write_params(TINY | {"epochs": 2000})
    process = running(copied.path, cluster.named(), *TRAIN)
    until(process, "epoch 3/2000")
    process.send_signal(signal.SIGINT)
    assert process.wait(300) == 130
    # The node has a free CPU again.
    copied.write_params(TINY)
    assert on(copied, cluster.named(), *TRAIN)[0] == 0


def test_a_fold_that_fails_by_itself_is_not_tried_again(copied: Project, cluster: Nodes) -> None:
    copied.write_params(TINY | {"models": {"cnn": {"backbone": "resnet_of_nobody"}}})
    code, said = on(copied, cluster.named(), *TRAIN)
    assert code == 1
    assert said.count("error: ") == 1
    assert "resnet_of_nobody" in said
    assert "its node was lost" not in said


def test_what_cannot_be_had_is_one_line(copied: Project, cluster: Nodes, tmp_path: Path) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    code, said = on(copied, cluster.named(FOLDWISE_CLUSTER=f"127.0.0.1:{port}"), *TRAIN)
    assert (code, said.count("\n")) == (1, 1)
    assert f"nothing listens at 127.0.0.1:{port}" in said
    code, said = on(copied, cluster.named(RAY_AUTH_TOKEN="f" * 64), *TRAIN)
    assert (code, said.count("error: ")) == (1, 1)
    assert "token" in said
    code, said = on(copied, cluster.named(FOLDWISE_CLUSTER="nowhere"), *TRAIN)
    assert (code, said.count("\n")) == (1, 1)
    assert "'nowhere' is no address" in said


@pytest.mark.slow
def test_a_node_with_another_torch_is_refused(
    copied: Project, tmp_path: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    pytest.importorskip("ray")
    other = tmp_path / "torch-1.0.0.dist-info"
    other.mkdir()
    (other / "METADATA").write_text("Metadata-Version: 2.1\nName: torch\nVersion: 1.0.0\n")
    nodes = Nodes(tmp_path_factory.mktemp("other"))
    try:
        nodes.add(PYTHONPATH=str(tmp_path))
        code, said = on(copied, nodes.named(), *TRAIN)
    finally:
        nodes.end()
    assert code == 1
    assert "torch 1.0.0 (here " in said
    assert said.count("error: ") == 1


def test_two_nodes_train_a_fold_together(copied: Project, cluster: Nodes) -> None:
    """To the bytes of two processes of one machine, though one of the nodes is lost meanwhile."""
    copied.write_params(LONG | {"compute": TINY["compute"] | {"devices": 2}})
    wanted = alone(copied)
    copied.write_params(LONG | {"compute": TINY["compute"] | {"num_nodes": 2}})
    process = running(copied.path, cluster.named(), *TRAIN)
    said = until(process, "epoch 5/60")
    assert len(cluster.alive) == 2
    cluster.kill(cluster.alive[-1])
    cluster.add()
    said += until(process, "epoch 60/60")
    assert process.wait() == 0
    assert "its node was lost" in "".join(said)
    assert sum("epoch 3/60" in line for line in said) == 1
    assert copied.bytes_of(*WRITTEN) == wanted
