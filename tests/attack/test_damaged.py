"""Files of a run that are damaged on the disk, or edited by hand, are noticed before a training goes on from them."""

from __future__ import annotations

import re
import shutil
from pathlib import Path
from typing import Any

import pytest

import heedful
from heedful.errors import RunError
from heedful.tasks.table import TASKS
from heedful.training.checkpoint_manager import PREVIOUS, STATE
from heedful.training.events import Finished, Validated
from heedful.training.loop import train_model
from heedful.training.stage import Stage, read_stage
from tests.attack.runs import contents
from tests.attack.training_server import configuration
from tests.compare.conftest import case_of

TAG, DATA = TASKS["tag"], case_of("tag").data


def train(run: Path, epochs: int = 2, **options: Any) -> list[Any]:
    return list(train_model(TAG, configuration("tag", epochs=epochs), DATA, DATA, run, **options))


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run."""
    run = tmp_path_factory.mktemp("whole") / "run"
    train(run)
    return run


@pytest.fixture(scope="module")
def stopped(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run that was stopped after its first epoch."""
    run = tmp_path_factory.mktemp("stopped") / "run"
    training = train_model(TAG, configuration("tag"), DATA, DATA, run)
    while not isinstance(next(training), Validated):
        pass
    training.close()
    return run


@pytest.fixture
def run(stopped: Path, tmp_path: Path) -> Path:
    """A copy of the run that was stopped."""
    return shutil.copytree(stopped, tmp_path / "run")


@pytest.fixture
def finished(whole: Path, tmp_path: Path) -> Path:
    """A copy of the run that has finished."""
    return shutil.copytree(whole, tmp_path / "finished")


def flip_a_bit(path: Path, place: int = -5) -> None:
    content = bytearray(path.read_bytes())
    content[place] ^= 1
    path.write_bytes(content)


def truncate(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:500])


@pytest.mark.parametrize("damage", [flip_a_bit, truncate, lambda path: path.write_bytes(b"")])
def test_the_checkpoint_before_a_damaged_one_is_taken(run: Path, whole: Path, damage: Any) -> None:
    damage(run / "checkpoints" / STATE)
    events = train(run, resume=True)
    assert re.fullmatch(
        rf".*/{STATE} is truncated or corrupt .*\. The training goes on from the checkpoint "
        rf"before it, {PREVIOUS}, of step 2",
        events[0].notices[0],
    )
    assert events[0].first_step == 2
    assert contents(run) == contents(whole)


def test_the_checkpoint_that_was_taken_is_kept_until_there_is_another(run: Path) -> None:
    flip_a_bit(run / "checkpoints" / STATE)
    training = train_model(TAG, configuration("tag"), DATA, DATA, run, resume=True)
    taken = (run / "checkpoints" / PREVIOUS).read_bytes()
    next(training)
    training.close()
    assert not (run / "checkpoints" / STATE).exists()
    assert (run / "checkpoints" / PREVIOUS).read_bytes() == taken
    assert isinstance(train(run, resume=True)[-1], Finished)


def test_an_unharmed_checkpoint_is_not_mentioned(run: Path) -> None:
    assert not any(
        "damaged" in notice or STATE in notice for notice in train(run, resume=True)[0].notices
    )


def test_two_damaged_checkpoints_are_named(run: Path) -> None:
    for name in (STATE, PREVIOUS):
        flip_a_bit(run / "checkpoints" / name)
    before = contents(run)
    with pytest.raises(
        RunError, match=rf"{STATE} is truncated .*{PREVIOUS} is truncated .*--init-from"
    ) as told:
        train(run, resume=True)
    assert "digests differ" in str(told.value)
    assert contents(run) == before


@pytest.mark.parametrize("name", ["model.safetensors"])
def test_damaged_weights_are_not_loaded(finished: Path, name: str) -> None:
    heedful.load(finished)
    flip_a_bit(finished / name)
    with pytest.raises(RunError, match="its content is not what was written: the digests differ"):
        heedful.load(finished)


def test_damaged_weights_are_not_averaged(run: Path) -> None:
    flip_a_bit(run / "checkpoints" / "epoch-0001.safetensors")
    with pytest.raises(RunError, match="epoch-0001.safetensors is truncated or corrupt"):
        train(run, resume=True)


def test_damaged_metrics_are_named(finished: Path) -> None:
    (finished / "metrics.jsonl").write_text("{")
    with pytest.raises(RunError, match="metrics.jsonl, line 1: damaged or truncated"):
        train(finished, resume=True)


def edit(run: Path, old: str, new: str) -> None:
    path = run / "config.toml"
    text = path.read_text("utf-8")
    assert text.count(old) == 1
    path.write_text(text.replace(old, new), "utf-8")


def resume_with_the_file(run: Path, *overrides: str) -> list[Any]:
    """Resume as the command does: with the settings in the file, and options."""
    from heedful.config import read_configuration

    config = read_configuration(TAG.configuration, run / "config.toml", overrides)
    return list(train_model(TAG, config, DATA, DATA, run, resume=True))


def test_settings_that_were_edited_since_the_start_are_named(run: Path, whole: Path) -> None:
    edit(run, "\nweight_decay = 0.0\n", "\nweight_decay = 0.5\n")
    edit(run, "\nlabel_smoothing = 0.1\n", "\nlabel_smoothing = 0.0\n")
    before = contents(run)
    wanted = (
        r"config.toml was edited since the training began: training.weight_decay: 0.0 -> 0.5; "
        r"training.label_smoothing: 0.1 -> 0.0\. Restore"
    )
    with pytest.raises(RunError, match=wanted):
        resume_with_the_file(run)
    assert contents(run) == before
    edit(run, "\nweight_decay = 0.5\n", "\nweight_decay = 0e0 # as it was\n")
    edit(run, "\nlabel_smoothing = 0.0\n", "\nlabel_smoothing = 0.1\n")
    resume_with_the_file(run)
    found, wanted_files = contents(run), contents(whole)
    del found["config.toml"], wanted_files["config.toml"]
    assert found == wanted_files


def test_options_that_differ_are_not_edits(run: Path) -> None:
    with pytest.raises(
        RunError, match="the settings differ from those of the run in .*: training.epochs: 2 -> 3"
    ):
        resume_with_the_file(run, "training.epochs=3")


def test_edits_of_a_finished_run_are_said_when_it_goes_on(finished: Path) -> None:
    edit(finished, "\nlearning_rate = 0.002\n", "\nlearning_rate = 0.003\n")
    edit(finished, "\nchunk = 512\n", "\nchunk = 256\n")
    events = resume_with_the_file(finished, "training.epochs=3")
    assert (
        events[0]
        .notices[0]
        .endswith(
            "config.toml was edited since the run finished: training.learning_rate: 0.002 -> 0.003; "
            "prediction.chunk: 512 -> 256"
        )
    )
    assert isinstance(events[-1], Finished)


def test_a_model_that_was_edited_is_refused(finished: Path) -> None:
    edit(finished, "\nword_width = 4\n", "\nword_width = 8\n")
    with pytest.raises(
        RunError, match="edited since the run finished: inputs.word_width: 4 -> 8. Restore"
    ):
        resume_with_the_file(finished, "training.epochs=3")


def test_epochs_that_were_edited_are_asked_for_as_an_option(finished: Path) -> None:
    edit(finished, "\nepochs = 2\n", "\nepochs = 5\n")
    with pytest.raises(
        RunError,
        match=r"nothing to resume.*\(.*edited since the run finished: training.epochs: 2 -> 5\)",
    ):
        resume_with_the_file(finished)


def test_a_run_of_other_settings_than_this_version_knows(
    run: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from heedful.training import resume_checks, stage

    read = stage.read_origin

    def older(folder: Path, at: Stage) -> Any:
        origin = read(folder, at)
        return type(origin)({**origin.config, "optimizer": {"kind": "sgd"}}, origin.data)

    monkeypatch.setattr(resume_checks, "read_origin", older)
    with pytest.raises(
        RunError, match="begun by another version of Heedful .*unknown section or key 'optimizer'"
    ):
        train(run, resume=True)


def test_a_report_that_is_missing_is_written(tmp_path: Path) -> None:
    settings = {
        "out": tmp_path / "run",
        "encoder": "none",
        "training": {"epochs": 1, "keep_freed_memory": False},
    }
    events: list[Any] = []
    heedful.train("tag", train=DATA, valid=DATA, **settings)
    report = tmp_path / "run" / "report.html"
    before = contents(tmp_path / "run")
    with pytest.raises(RunError, match="has finished; there is nothing to resume"):
        heedful.train("tag", train=DATA, valid=DATA, resume=True, **settings)
    report.unlink()
    with pytest.raises(RunError, match="sentences differ from those"):
        heedful.train("tag", train=DATA, valid=DATA.take([0, 1]), resume=True, **settings)
    assert not report.exists()
    heedful.train("tag", train=DATA, valid=DATA, resume=True, progress=events.append, **settings)
    assert [type(event) for event in events] == [Finished]
    assert contents(tmp_path / "run") == before


def test_weights_without_a_checkpoint_are_told_apart(run: Path) -> None:
    shutil.rmtree(run / "checkpoints")
    assert read_stage(run) is Stage.NO_CHECKPOINT
    with pytest.raises(
        RunError, match="no checkpoint to resume from, and its training has not finished"
    ):
        train(run, resume=True)


def test_a_marker_alone_never_began(tmp_path: Path) -> None:
    (tmp_path / "heedful.json").write_text('{"task": "tag", "format": 2}')
    with pytest.raises(
        RunError, match="never began: it was stopped before its first checkpoint.*--overwrite"
    ):
        train(tmp_path, resume=True)
    train(tmp_path, overwrite=True)
    assert read_stage(tmp_path) is Stage.FINISHED
