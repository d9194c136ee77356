"""A resumed run ends with the same weights, bit for bit, as one that was never stopped."""

from __future__ import annotations

import pytest
import torch

from heedful.errors import RunError
from heedful.tasks.translate import TASK as TRANSLATE
from heedful.training.events import Finished, Progress, Started, Validated
from heedful.training.loop import train_model
from tests.train.test_loop import configuration, pairs


def stop(config, run, wanted, *, resume=False):
    """Train until `wanted(event)`, then close the generator, as a killed process would end it."""
    events = train_model(TRANSLATE, config, pairs(40, 0), pairs(6, 1), run, resume=resume)
    for event in events:
        if wanted(event):
            break
    events.close()


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    config = configuration(checkpoint_steps=3, progress_steps=1)
    run = tmp_path_factory.mktemp("whole") / "run"
    events = list(train_model(TRANSLATE, config, pairs(40, 0), pairs(6, 1), run))
    return config, run, events


@pytest.mark.parametrize(
    "wanted",
    [
        lambda event: isinstance(event, Started),
        lambda event: isinstance(event, Validated) and event.epoch == 1,
        lambda event: isinstance(event, Progress) and event.step == 4,
        lambda event: isinstance(event, Validated) and event.epoch == 3,
    ],
    ids=["at the start", "after an epoch", "within an epoch", "before the average"],
)
def test_a_resumed_run_ends_with_the_same_bytes(whole, tmp_path, wanted):
    config, reference, events = whole
    run = tmp_path / "run"
    stop(config, run, wanted)
    torch.rand(7)
    rest = list(train_model(TRANSLATE, config, pairs(40, 0), pairs(6, 1), run, resume=True))
    for name in ("model.safetensors", "config.toml", "target_vocabulary.json"):
        assert (run / name).read_bytes() == (reference / name).read_bytes()
    assert isinstance(rest[-1], Finished)
    assert rest[-1].scores == events[-1].scores
    count = len((reference / "metrics.jsonl").read_text().splitlines())
    assert len((run / "metrics.jsonl").read_text().splitlines()) == count


def test_dropout_matters_here(whole, tmp_path):
    # else the equality above would say nothing of the random-number states
    config, reference, _ = whole
    other = config.model_copy(update={"training": config.training.model_copy(update={"seed": 9})})
    run = tmp_path / "run"
    list(train_model(TRANSLATE, other, pairs(40, 0), pairs(6, 1), run))
    assert (run / "model.safetensors").read_bytes() != (
        reference / "model.safetensors"
    ).read_bytes()


def test_what_cannot_be_resumed(whole, tmp_path):
    config, reference, _ = whole
    with pytest.raises(RunError, match="has finished; there is nothing to resume"):
        train_model(TRANSLATE, config, pairs(4, 0), pairs(4, 1), reference, resume=True)
    with pytest.raises(RunError, match="has finished; there is nothing to resume"):
        train_model(
            TRANSLATE, configuration(seed=5), pairs(4, 0), pairs(4, 1), reference, resume=True
        )
    with pytest.raises(RunError, match="does not exist"):
        train_model(TRANSLATE, config, pairs(4, 0), pairs(4, 1), tmp_path / "none", resume=True)
    with pytest.raises(RunError, match="never began: it was stopped before its first checkpoint"):
        train_model(TRANSLATE, config, pairs(4, 0), pairs(4, 1), tmp_path, resume=True)
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(RunError, match="is not a run folder"):
        train_model(TRANSLATE, config, pairs(4, 0), pairs(4, 1), tmp_path, resume=True)


@pytest.mark.parametrize(
    ("train", "valid"),
    [(pairs(40, 3), pairs(6, 1)), (pairs(39, 0), pairs(6, 1)), (pairs(40, 0), pairs(6, 2))],
    ids=["other pairs", "fewer pairs", "other validation"],
)
def test_changed_data_is_not_resumed(whole, tmp_path, train, valid):
    config, _, _ = whole
    run = tmp_path / "run"
    stop(config, run, lambda event: isinstance(event, Started))
    before = {path: path.read_bytes() for path in run.rglob("*") if path.is_file()}
    with pytest.raises(RunError, match="differ from those that the run in .* started with"):
        train_model(TRANSLATE, config, train, valid, run, resume=True)
    assert before == {path: path.read_bytes() for path in run.rglob("*") if path.is_file()}
