"""A training that is asked to stop finishes its step, saves, and goes on later to the very same weights."""

from __future__ import annotations

import json
import os
import signal
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from heedful import api
from heedful.cli.signals import SIGNALS, StopSignals
from heedful.config import build
from heedful.errors import RunError, StoppedError
from heedful.run_folder import read_metadata
from heedful.tasks.table import TASKS
from heedful.training import checkpoint_timer
from heedful.training.checkpoint import Position, read_position
from heedful.training.checkpoint_manager import has_checkpoint
from heedful.training.events import Event, Finished, Progress, Stopped
from heedful.training.loop import never, train_model
from tests.attack.command_server import Command, CommandServer, wait_until
from tests.compare.conftest import case_of

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="this system cannot fork")

TRAIN = "".join(f"film {n} was {'bad' if n % 3 else 'good'}\t{n % 2}\n" for n in range(60))
TEXTS = "text\tlabel\n" + TRAIN
LONG = (
    "train", "classify", "--train", "texts.tsv", "--encoder", "window", "--set", "encoder.hidden=4", "--epochs",
    "100000", "--set", "training.keep_freed_memory=false", "--threads", "1", "--out", "my run",
)  # fmt: skip
RESUME = "heedful train classify --resume --out 'my run'"


def configured(task: str = "classify", **training: Any) -> Any:
    case = case_of(task)
    values = {**case.base, **list(case.contenders.values())[-1], "inputs": {"dropout": 0.3}}
    if task == "classify":
        values["inputs"] |= case.base["inputs"]
    values["training"] = {**values["training"], "batch_tokens": 4, "progress_steps": 1, **training}
    return build(TASKS[task].configuration, values)


def train(
    run: Path, *, stop: Callable[[], bool] = never, resume: bool = False, **training: Any
) -> list[Event]:
    data = case_of("classify").data
    config = configured(**training)
    task = TASKS["classify"]
    return list(train_model(task, config, data, data, run, resume=resume, stop=stop))


def contents(run: Path) -> dict[str, object]:
    """Return what a finished run holds, without times."""
    clock = ("seconds", "training_seconds", "run")
    found: dict[str, object] = {}
    for path in sorted(run.rglob("*")):
        if path.name == "metrics.jsonl":
            lines = [json.loads(line) for line in path.read_text("utf-8").splitlines()]
            found[path.name] = [{k: v for k, v in each.items() if k not in clock} for each in lines]
        elif path.is_file() and path.name != "config.toml":
            found[path.name] = path.read_bytes()
    return found


def position(run: Path) -> Position | None:
    try:
        return read_position(read_metadata(run / "checkpoints" / "state.safetensors"))
    except RunError:
        return None


def at_call(number: int) -> Callable[[], bool]:
    """Ask to stop at the `number`-th question whether to, and from then on."""
    calls = 0

    def stop() -> bool:
        nonlocal calls
        calls += 1
        return calls >= number

    return stop


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    run = tmp_path_factory.mktemp("whole") / "run"
    train(run)
    return run


def stop_and_go_on(run: Path, number: int) -> int:
    """Stop at a question, resume to the end, and return how many questions the training asked before it stopped."""
    events = train(run, stop=at_call(number))
    if isinstance(events[-1], Finished):
        return 0
    assert isinstance(events[-1], Stopped)
    assert has_checkpoint(run)
    assert isinstance(train(run, resume=True)[-1], Finished)
    return number


@pytest.mark.parametrize("number", [1, 4, 5, 7, 11, 18, 20])
def test_stopped_anywhere_it_ends_with_the_same_bytes(
    number: int, whole: Path, tmp_path: Path
) -> None:
    assert stop_and_go_on(tmp_path / "run", number)
    assert contents(tmp_path / "run") == contents(whole)


@pytest.mark.long
def test_stopped_at_every_question_it_ends_with_the_same_bytes(
    whole: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    number = 1
    while stop_and_go_on(tmp_path / f"{number}", number):
        assert contents(tmp_path / f"{number}") == contents(whole)
        number += 1
    assert number > 20
    with capsys.disabled():
        sys.stdout.write(f"\nstopped at each of {number - 1} questions\n")


def test_stopped_again_and_again_it_ends_with_the_same_bytes(whole: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    for times, number in enumerate([1, 2, 4, 3, 1, 1]):
        assert isinstance(train(run, stop=at_call(number), resume=times > 0)[-1], Stopped)
    assert isinstance(train(run, resume=True)[-1], Finished)
    assert contents(run) == contents(whole)


def test_in_python_a_stop_is_an_error_that_can_be_resumed(tmp_path: Path, whole: Path) -> None:
    data, task, seen = case_of("classify").data, TASKS["classify"], []
    with pytest.raises(StoppedError, match="asked to stop and did, after step 2; resume the run"):
        api.fit(
            task, configured(), data, data, tmp_path / "run", progress=seen.append, stop=at_call(2)
        )
    assert isinstance(seen[-1], Stopped)
    assert not (tmp_path / "run" / "report.html").exists()
    api.fit(task, configured(), data, data, tmp_path / "run", resume=True)
    found = contents(tmp_path / "run")
    assert found.pop("report.html")
    assert found == contents(whole)


class Clock:
    """A clock that a test moves."""

    def __init__(self) -> None:
        self.now = 0.0

    def monotonic(self) -> float:
        return self.now


def test_checkpoints_come_by_the_minute_and_change_nothing(
    tmp_path: Path, whole: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock, saved = Clock(), []
    monkeypatch.setattr(checkpoint_timer, "time", clock)
    data, run = case_of("classify").data, tmp_path / "run"
    task = TASKS["classify"]
    for event in train_model(task, configured(checkpoint_minutes=5), data, data, run):
        if isinstance(event, Progress):
            here = position(run)
            assert here is not None
            if here.batch:
                saved.append((event.step, here.step))
            clock.now += 120  # two minutes a step, from the step after
    # after the third step since the last checkpoint, by time or at the end of an epoch
    steps_per_epoch = event.steps // event.epochs
    assert steps_per_epoch == 4
    assert saved == [(4, 4), (8, 8)]
    assert contents(run) == contents(whole)


@pytest.mark.parametrize("minutes", [0, 5])
def test_without_a_time_there_are_checkpoints_by_epoch_only(
    tmp_path: Path, minutes: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock, batches = Clock(), set()
    monkeypatch.setattr(checkpoint_timer, "time", clock)
    data, run = case_of("classify").data, tmp_path / "run"
    config = configured(checkpoint_minutes=minutes)
    for event in train_model(TASKS["classify"], config, data, data, run):
        if isinstance(event, Progress):
            here = position(run)
            assert here is not None
            batches.add(here.batch)
            clock.now += 0.0 if minutes else 1e6
    assert batches == {0}


@pytest.fixture(scope="module")
def server() -> Iterator[CommandServer]:
    with CommandServer() as started:
        yield started


def begun(server: CommandServer, folder: Path, *more: str, **options: Any) -> Command:
    """Start a training that does not end by itself, and wait until it has validated an epoch."""
    (folder / "texts.tsv").write_text(TEXTS, encoding="utf-8")
    command = server.start(folder, *LONG, *more, **options)
    wait_until(lambda: (folder / "stdout").exists() and "epoch 2:" in command.stdout)
    return command


# Ctrl-C alone is sent by tests/cli/test_process.py too
@pytest.mark.parametrize(
    "number",
    [
        pytest.param(each, id=each.name, marks=() if each.name == "SIGTERM" else pytest.mark.long)
        for each in SIGNALS
    ],
)
def test_a_signal_saves_and_says_how_to_go_on(
    number: signal.Signals, server: CommandServer, tmp_path: Path
) -> None:
    command = begun(server, tmp_path)
    command.send(number)
    assert command.wait() == 128 + number
    here = position(tmp_path / "my run")
    assert here is not None
    by = "" if number == signal.SIGINT else f" by {number.name}"
    said = f"interrupted{by}; saved after step {here.step:,}; resume with: {RESUME}\n"
    assert command.stderr.endswith(said)
    if number == signal.SIGTERM:  # a limit ends the training that has gone on
        resume = ["train", "classify", "--resume", "--out", "my run"]
        again = server.start(tmp_path, *resume)
        wait_until(lambda: "resuming from step" in again.stdout)
        again.send(signal.SIGTERM)
        again.send(signal.SIGTERM)  # as `timeout` does, to the process and to its group
        assert again.wait() == 143
        assert "saved after step" in again.stderr


def test_a_second_ctrl_c_stops_at_once(server: CommandServer, tmp_path: Path) -> None:
    command = begun(server, tmp_path)
    os.kill(command.pid, signal.SIGSTOP)
    # both wait for the process, which handles the first one before it goes on
    command.send(signal.SIGTERM)
    command.send(signal.SIGINT)
    os.kill(command.pid, signal.SIGCONT)
    assert command.wait() in (130, 143)
    assert f"resume with: {RESUME}\n" in command.stderr
    assert has_checkpoint(tmp_path / "my run")


@pytest.mark.long
def test_a_signal_that_is_ignored_stays_ignored(server: CommandServer, tmp_path: Path) -> None:
    command = begun(server, tmp_path, ignored=(signal.SIGHUP,))
    before = position(tmp_path / "my run")
    command.send(signal.SIGHUP)
    wait_until(lambda: position(tmp_path / "my run") != before)
    command.send(signal.SIGTERM)
    assert command.wait() == 143


def test_before_the_first_step_nothing_is_written(server: CommandServer, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "settings.toml")
    command = server.start(tmp_path, *LONG, "--config", "settings.toml")
    with (tmp_path / "settings.toml").open("w"):  # the command has begun to read
        command.send(signal.SIGINT)
        assert command.wait() == 130
    assert "interrupted" in command.stderr
    assert not (tmp_path / "my run").exists()


def test_handlers_are_restored_and_deferred_only_when_asked() -> None:
    before = {number: signal.getsignal(number) for number in SIGNALS}
    with StopSignals() as signals:
        signals.is_deferred = True
        assert not signals()
        signal.raise_signal(signal.SIGTERM)
        assert signals()
        signal.raise_signal(signal.SIGTERM)
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)
        assert (signals.status, signals.name) == (143, "SIGTERM")
    assert {number: signal.getsignal(number) for number in SIGNALS} == before
    with StopSignals() as signals, pytest.raises(KeyboardInterrupt):
        signal.raise_signal(signal.SIGINT)
    assert (signals.status, signals.name) == (130, "")


def test_ctrl_c_that_is_deferred_is_acknowledged(capfd: pytest.CaptureFixture[str]) -> None:
    with StopSignals("stopping after this step") as signals:
        signals.is_deferred = True
        signal.raise_signal(signal.SIGINT)
    assert capfd.readouterr().err == "stopping after this step\n"
