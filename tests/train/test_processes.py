"""Several processes that train one model take the steps of one process on the same batches."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from heedful import run_folder
from heedful.errors import OptionError
from heedful.run_folder import read_tensors
from heedful.tasks.batches import Batches, Encoded
from heedful.tasks.options import GivenOptions
from heedful.tasks.sections import TrainingConfig
from heedful.tasks.table import ENTRIES, TASKS
from heedful.training.processes import Processes, device_count, join
from tests.train.process_server import ProcessServer

needs_fork = pytest.mark.skipif(not hasattr(os, "fork"), reason="this system cannot fork")
ORDINARY = {"translate": 16, "classify": 4}
"""Tasks, and the tokens of a batch."""
TOGETHER = [name for name, task in TASKS.items() if not task.depends_on_batch]
"""The tasks that several processes can train."""


@pytest.fixture(scope="module")
def server() -> Iterator[ProcessServer]:
    with ProcessServer() as server:
        yield server


def weights(run: Path) -> dict[str, Any]:
    return read_tensors(run / run_folder.WEIGHTS)[0]


def assert_same_training(
    alone: list[dict[str, Any]], together: list[dict[str, Any]], rtol: float = 2e-6
) -> None:
    """The losses of all steps and the validations are equal, in each process."""
    [one] = alone
    assert one["error"] is None
    assert len(one["losses"]) > 3
    for other in together:
        assert other["error"] is None, other["error"]
        np.testing.assert_allclose(other["losses"], one["losses"], rtol=rtol)
        assert len(other["validated"]) == len(one["validated"])
        for found, wanted in zip(other["validated"], one["validated"], strict=True):
            assert found.keys() == wanted.keys()
            for name in wanted:
                np.testing.assert_allclose(found[name], wanted[name], rtol=rtol, atol=rtol)


@pytest.mark.parametrize("examples", [1, 3, 10, 17])
@pytest.mark.parametrize("processes", [1, 2, 3, 4])
def test_no_example_of_an_epoch_is_lost_or_doubled(examples: int, processes: int) -> None:
    lengths = np.random.default_rng(examples).integers(1, 6, (examples, 2))
    numbers = [[number] for number in range(examples)]
    batches = Batches(
        Encoded(numbers, numbers),
        np.arange(examples),
        lengths,
        lambda inputs, targets: inputs,
        tokens=10,
        seed=1,
    )
    for epoch in (1, 2):
        whole = list(batches.epoch(epoch))
        parts = [
            list(batches.shares(epoch, process=each, processes=processes))
            for each in range(processes)
        ]
        assert {len(part) for part in parts} == {len(whole)}
        for number, batch in enumerate(whole):
            shares = [part[number] for part in parts]
            counted = [row for share in shares if share.is_counted for row in share.batch]
            assert sorted(counted) == sorted(batch)
            assert all(share.batch and all(row in batch for row in share.batch) for share in shares)


def test_a_training_enters_an_epoch_at_any_batch_of_any_number_of_processes() -> None:
    numbers = [[number] for number in range(9)]
    lengths = np.ones((9, 2), int)
    batches = Batches(
        Encoded(numbers, numbers), np.arange(9), lengths, lambda inputs, _: inputs, 2, 0
    )
    whole = list(batches.shares(3, process=1, processes=2))
    assert list(batches.shares(3, 2, process=1, processes=2)) == whole[2:]


@needs_fork
@pytest.mark.parametrize("task", ORDINARY)
def test_two_processes_train_as_one(server: ProcessServer, tmp_path: Path, task: str) -> None:
    request: dict[str, Any] = {"task": task, "training": {"batch_tokens": ORDINARY[task]}}
    alone = server.train(tmp_path / "one", 1, **request)
    assert_same_training(alone, server.train(tmp_path / "two", 2, **request))
    for name, tensor in weights(tmp_path / "one").items():
        np.testing.assert_allclose(weights(tmp_path / "two")[name], tensor, rtol=1e-6, atol=1e-9)


@pytest.mark.long
@needs_fork
@pytest.mark.parametrize("task", TOGETHER)
@pytest.mark.parametrize("processes", [2, 4])
def test_every_task_trains_in_several_processes_as_in_one(
    server: ProcessServer, tmp_path: Path, task: str, processes: int
) -> None:
    training = {"batch_tokens": 8, "epochs": 4}
    alone = server.train(tmp_path / "one", 1, task=task, training=training)
    together = server.train(tmp_path / "more", processes, task=task, training=training)
    assert_same_training(alone, together)


@needs_fork
def test_what_is_solved_for_at_once_is_that_of_the_first(
    server: ProcessServer, tmp_path: Path
) -> None:
    sections = {"inputs": {"descriptors": True, "width": 4}, "kernel": {"share": 0.5}}
    request: dict[str, Any] = {"task": "regress-molecules", "sections": sections}
    alone = server.train(tmp_path / "one", 1, **request)
    assert_same_training(alone, server.train(tmp_path / "two", 2, **request))
    assert any(name.endswith("kernel.values") for name in weights(tmp_path / "two"))


@needs_fork
def test_shards_train_as_one(server: ProcessServer, tmp_path: Path) -> None:
    training = {"precision": "32-true"}
    alone = server.train(tmp_path / "one", 1, task="translate", training=training)
    sharded = server.train(
        tmp_path / "two", 2, task="translate", training={**training, "strategy": "fsdp"}
    )
    assert_same_training(alone, sharded, rtol=2e-4)
    for name, tensor in weights(tmp_path / "one").items():
        assert weights(tmp_path / "two")[name].shape == tensor.shape


@needs_fork
def test_a_run_is_resumed_by_fewer_processes_and_ends_as_that_of_one(
    server: ProcessServer, tmp_path: Path
) -> None:
    request: dict[str, Any] = {"task": "classify", "training": {"batch_tokens": 4}}
    [whole] = server.train(tmp_path / "one", 1, **request)
    losses = []
    for processes, stop_at in ((4, 2), (2, 5), (1, 0)):
        found = server.train(
            tmp_path / "run", processes, **request, resume=processes < 4, stop_at=stop_at
        )
        assert {each.get("kind") for each in found} == {"StoppedError" if stop_at else None}
        losses += found[0]["losses"]
    # the step after which the first stops is not reported; the second stops in the validation after the fourth
    np.testing.assert_allclose(losses, [whole["losses"][0], *whole["losses"][2:]], rtol=2e-6)
    for name, tensor in weights(tmp_path / "one").items():
        np.testing.assert_allclose(weights(tmp_path / "run")[name], tensor, rtol=1e-6, atol=1e-9)


@pytest.mark.long
@needs_fork
@pytest.mark.parametrize("strategy", ["ddp", "fsdp"])
def test_with_dropout_a_resumed_run_ends_with_the_same_weights(
    server: ProcessServer, tmp_path: Path, strategy: str
) -> None:
    training = {"precision": "32-true", "strategy": strategy, "batch_tokens": 4}
    request: dict[str, Any] = {"task": "classify", "dropout": True, "training": training}
    server.train(tmp_path / "whole", 2, **request)
    server.train(tmp_path / "run", 2, stop_at=3, **request)
    server.train(tmp_path / "run", 2, resume=True, **request)
    for name, tensor in weights(tmp_path / "whole").items():
        assert (weights(tmp_path / "run")[name] == tensor).all()


@pytest.mark.long
@needs_fork
def test_shards_resume_as_replicas_and_alone(server: ProcessServer, tmp_path: Path) -> None:
    [whole] = server.train(tmp_path / "one", 1, task="translate", training={"precision": "32-true"})
    losses = []
    for processes, strategy, stop_at in (
        (4, "fsdp", 2),
        (2, "ddp", 3),
        (2, "fsdp", 5),
        (1, "ddp", 0),
    ):
        found = server.train(
            tmp_path / "run",
            processes,
            task="translate",
            resume=processes < 4,
            stop_at=stop_at,
            training={"precision": "32-true", "strategy": strategy},
        )
        losses += found[0]["losses"]
    # the steps after which a training stops are not reported; the second one stops in the validation after the third
    steps = [step for step in range(len(whole["losses"])) if step not in (1, 4)]
    np.testing.assert_allclose(losses, [whole["losses"][step] for step in steps], rtol=1e-3)


@needs_fork
def test_a_killed_process_ends_the_training_which_can_be_resumed(
    server: ProcessServer, tmp_path: Path
) -> None:
    run, training = tmp_path / "run", {"checkpoint_steps": 1, "batch_tokens": 4}
    request: dict[str, Any] = {"task": "classify", "training": training}
    [first, second] = server.train(run, 2, **request, stop_at=3, kill=1)
    assert second == {"status": -9}
    assert first["kind"] == "LostProcessError"
    assert first["error"].startswith("process 1 of the 2 that train together ended")
    [again] = server.train(run, 1, **request, resume=True)
    assert again["error"] is None
    [whole] = server.train(tmp_path / "whole", 1, **request)
    assert again["validated"][-1] == pytest.approx(whole["validated"][-1])


@needs_fork
@pytest.mark.parametrize("task", sorted({*TASKS} - {*TOGETHER}))
def test_a_loss_of_whole_batches_is_refused(
    server: ProcessServer, tmp_path: Path, task: str
) -> None:
    for found in server.train(tmp_path / "run", 2, task=task):
        assert found["kind"] == "OptionError"
        assert "depends on the others of its batch" in found["error"]
    assert not (tmp_path / "run").exists()


@needs_fork
def test_other_numbers_of_processes_than_started_are_refused(
    server: ProcessServer, tmp_path: Path
) -> None:
    for training, wanted in (({"devices": 3}, "2 processes were started"), ({"nodes": 3}, "nodes")):
        for found in server.train(tmp_path / "run", 2, task="classify", training=training):
            assert found["kind"] == "OptionError"
            assert wanted in found["error"]


def test_one_program_does_not_pretend_to_be_several() -> None:
    with pytest.raises(OptionError, match=r"devices is 2 .* torchrun"):
        join(TrainingConfig(devices=2))
    assert join(TrainingConfig(devices="auto")).count == 1


def test_auto_takes_two_processes_of_one_thread_where_there_are_two_threads() -> None:
    assert device_count(TrainingConfig(devices="auto", threads=2)) == 2
    assert device_count(TrainingConfig(devices="auto", threads=1)) == 1
    assert device_count(TrainingConfig(devices="auto", threads=8)) == 1


def test_many_more_processes_than_cores_are_refused(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("os.cpu_count", lambda: 2)
    cpu = {"accelerator": "cpu"}
    with pytest.raises(OptionError, match=r"is 99, but this machine has 2 cores.* at most 16"):
        device_count(TrainingConfig(devices=99, **cpu))
    assert device_count(TrainingConfig(devices=2, **cpu)) == 2
    assert not caplog.records
    assert device_count(TrainingConfig(devices=4, **cpu)) == 4
    assert "4 processes share 2 cores" in caplog.text


def test_gpus_that_are_not_there_are_named_before_any_process_starts() -> None:
    if torch.cuda.is_available():
        pytest.skip("there are GPUs here")
    with pytest.raises(OptionError, match="is 2, but PyTorch finds 0 GPUs"):
        device_count(TrainingConfig(devices=2, accelerator="cuda"))
    assert device_count(TrainingConfig(devices="auto", accelerator="cuda")) == 1


def test_one_process_communicates_with_nobody() -> None:
    one = Processes()
    assert one.threads(3) == 3
    assert one.totals(1.5, 2) == (1.5, 2)
    assert one.gather("a") == ["a"]
    with pytest.raises(RuntimeError, match="connection"), one.watching():
        raise RuntimeError("connection")


@pytest.mark.parametrize("given", ["many", "0", "-1", "1.5"])
def test_devices_are_a_number_or_auto(given: str) -> None:
    [option] = [each for each in ENTRIES["tag"].all_options if each.name == "devices"]
    with pytest.raises(OptionError, match="a number from 1 on, or auto; got"):
        option.overrides(given, GivenOptions({}, {}, (), "tag"))
    assert option.overrides("auto", GivenOptions({}, {}, (), "tag")) == ['training.devices="auto"']
