"""Gradients accumulated over batches, and the moving average of the weights."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from lightning_fabric import Fabric
from safetensors.torch import load_file
from torch import Tensor, nn

from heedful.errors import OptionError
from heedful.tasks.batches import Share
from heedful.tasks.translate import TASK
from heedful.training.checks import check_processes
from heedful.training.events import Finished, Progress
from heedful.training.loop import train_model
from heedful.training.moving_average import MovingAverage
from heedful.training.optimizer_step import OptimizerStep
from heedful.training.processes import Processes
from tests.train.test_loop import configuration, pairs


def weights_after(batches: list[Any], predictor: Any) -> list[Tensor]:
    """The weights after one step of plain gradient descent on some batches."""
    fabric = Fabric(accelerator="cpu", devices=1)
    loss = TASK.loss(predictor).eval()  # no dropout
    module, optimizer = fabric.setup(loss, torch.optim.SGD(loss.parameters()))
    step = OptimizerStep(
        fabric=fabric,
        processes=Processes(),
        module=module,
        loss=loss,
        optimizer=optimizer,
        clip_norm=0.5,
    )
    taken = step.take([Share(batch, is_counted=True) for batch in batches], 0.1)
    assert taken.predictions == sum(map(loss.count_predictions, batches))
    return [each.detach().clone() for each in loss.parameters()]


def test_a_step_of_several_batches_is_that_of_one_large_batch() -> None:
    data, found = pairs(12, 0), []
    for tokens in (1000, 20):
        torch.manual_seed(0)
        predictor = TASK.learn(configuration(batch_tokens=tokens), data)
        batches = list(TASK.batches(predictor, data, training=True).epoch(1))
        assert (len(batches) == 1) == (tokens == 1000)
        found.append(weights_after(batches, predictor))
    torch.testing.assert_close(found[1], found[0], rtol=1e-5, atol=1e-7)


def test_an_epoch_has_fewer_steps_and_the_last_may_be_smaller(tmp_path: Path) -> None:
    def steps(accumulate: int, name: str) -> list[int]:
        config = configuration(accumulate=accumulate, progress_steps=1, epochs=2)
        events = train_model(TASK, config, pairs(40, 0), pairs(4, 1), tmp_path / name)
        return [event.step for event in events if isinstance(event, Progress)]

    every = len(steps(1, "one")) // 2
    assert steps(3, "three") == list(range(1, 2 * -(-every // 3) + 1))


def test_the_average_is_its_formula(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[dict[str, Tensor]] = []

    def copied(model: nn.Module) -> dict[str, Tensor]:
        return {name: each.clone() for name, each in model.state_dict().items()}

    real_update, real_reset = MovingAverage.update, MovingAverage.reset

    def update(self: MovingAverage, model: nn.Module, step: int) -> None:
        seen.append(copied(model))
        real_update(self, model, step)

    def reset(self: MovingAverage, model: nn.Module) -> None:
        seen.append(copied(model))
        real_reset(self, model)

    monkeypatch.setattr(MovingAverage, "update", update)
    monkeypatch.setattr(MovingAverage, "reset", reset)
    config = configuration(ema_decay=0.3, epochs=1, average_epochs=1, batch_tokens=24)
    list(train_model(TASK, config, pairs(40, 0), pairs(4, 1), tmp_path / "run"))
    average, *weights = seen
    assert len(weights) > 5
    for step, each in enumerate(weights, start=1):
        decay = min(0.3, (1 + step) / (10 + step))
        average = {name: decay * average[name] + (1 - decay) * each[name] for name in each}
    saved = load_file(tmp_path / "run" / "model.safetensors")
    assert saved.keys() <= average.keys()
    for name, tensor in saved.items():
        torch.testing.assert_close(tensor, average[name], rtol=1e-5, atol=1e-6)


def test_the_weights_in_training_are_not_those_of_the_average(tmp_path: Path) -> None:
    saved = {}
    for decay in (0.0, 0.2):
        # epochs after the first go on from the weights in training
        config = configuration(ema_decay=decay, epochs=2)
        events = train_model(TASK, config, pairs(40, 0), pairs(4, 1), tmp_path / str(decay))
        saved[decay] = [event.loss for event in events if isinstance(event, Progress)]
    assert saved[0.0] == saved[0.2]


@pytest.mark.parametrize("stop_at", [1, 2, 4])
def test_a_resumed_run_ends_with_the_same_bytes(tmp_path: Path, stop_at: int) -> None:
    config = configuration(accumulate=2, ema_decay=0.2, checkpoint_steps=1, progress_steps=1)
    pieces = config.vocabulary.model_copy(update={"kind": "bpe", "dropout": 0.3})
    config = config.model_copy(update={"vocabulary": pieces})
    data = pairs(40, 0), pairs(6, 1)
    list(train_model(TASK, config, *data, tmp_path / "whole"))
    events = train_model(TASK, config, *data, tmp_path / "run")
    for event in events:
        if isinstance(event, Progress) and event.step == stop_at:
            break
    else:
        raise AssertionError("it was not stopped")
    events.close()  # type: ignore[attr-defined]
    torch.rand(3)
    *_, last = train_model(TASK, config, *data, tmp_path / "run", resume=True)
    assert isinstance(last, Finished)
    whole, run = ((tmp_path / name / "model.safetensors") for name in ("whole", "run"))
    assert run.read_bytes() == whole.read_bytes()


def test_shards_have_no_average() -> None:
    options = configuration(ema_decay=0.9, strategy="fsdp").training
    with pytest.raises(OptionError, match=r"ema_decay = 0\.9 does not work .* use the strategy"):
        check_processes(TASK, options, 2)
    check_processes(TASK, options, 1)
