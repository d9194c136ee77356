"""Losses, gradients, weights, metrics and predictions that are not finite are noticed, and nothing good is lost."""

from __future__ import annotations

import itertools
import json
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from lightning_fabric import Fabric
from lightning_fabric.plugins.precision import MixedPrecision

from heedful import api
from heedful.answers.base import rank
from heedful.config import build
from heedful.data.dataset import Dataset
from heedful.data.standardize import Standardizer
from heedful.data.texts import Text, Texts
from heedful.errors import DataError, DivergedError, NonFiniteError, RunError
from heedful.run_folder import read_metadata, read_tensors
from heedful.tasks.base import LossModule
from heedful.tasks.batches import Share
from heedful.tasks.table import TASKS
from heedful.training import loop
from heedful.training.checkpoint import read_position
from heedful.training.events import Event, Finished, Validated
from heedful.training.loop import train_model
from heedful.training.optimizer_step import OptimizerStep
from heedful.training.processes import Processes
from heedful.training.validation import Validation
from tests.compare.conftest import case_of

HUGE = 1e30
SHORT, LONG = "a saw", "the only text of seven tokens here"


def configured(task: str, **training: Any) -> Any:
    case = case_of(task)
    values = {**case.base, **list(case.contenders.values())[-1]}
    values["training"] = {**values["training"], **training}
    return build(TASKS[task].configuration, values)


def train(task: str, run: Path, data: Dataset | None = None, **options: Any) -> list[Event]:
    resume = options.pop("resume", False)
    used = case_of(task).data if data is None else data
    config = configured(task, **options)
    return list(train_model(TASKS[task], config, used, used, run, resume=resume))


def strict_lines(path: Path) -> list[Any]:
    """Parse lines of JSON, of which none may hold NaN or infinity."""

    def refuse(name: str) -> None:
        raise AssertionError(f"{path} holds {name}")

    lines = path.read_text(encoding="utf-8").splitlines() if path.exists() else []
    return [json.loads(line, parse_constant=refuse) for line in lines]


def is_finite(path: Path) -> bool:
    return all(bool(each.isfinite().all()) for each in read_tensors(path)[0].values())


def with_one_long_text(path: Path | None = None) -> Texts:
    texts = [SHORT, SHORT, SHORT, LONG, SHORT, SHORT]
    return Texts(
        [Text(text, (str(n % 2),), "", path, n + 2) for n, text in enumerate(texts)], name="texts"
    )


def lengths_of(batch: Any) -> torch.Tensor:
    lengths: torch.Tensor = batch.batch.lengths
    return lengths


@pytest.fixture
def inf_for_long_texts(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make the loss of a batch with the long text infinite."""
    forward = LossModule.forward

    def planted(self: LossModule, batch: Any) -> torch.Tensor:
        loss = forward(self, batch)
        return loss * math.inf if self.training and 7 in lengths_of(batch) else loss

    monkeypatch.setattr(LossModule, "forward", planted)


@pytest.mark.parametrize("task", list(TASKS))
def test_a_learning_rate_far_too_high_ends_every_task_and_the_advice_helps(
    task: str, tmp_path: Path
) -> None:
    run = tmp_path / "run"
    with pytest.raises(DivergedError, match=r"training diverged: .* is not finite; ") as caught:
        train(task, run, learning_rate=HUGE, checkpoint_steps=1)
    assert "set training.learning_rate lower, such as 0.00" in str(caught.value)
    assert is_finite(run / "checkpoints" / "state.safetensors")
    assert strict_lines(run / "metrics.jsonl") == []
    events = train(task, run, learning_rate=caught.value.learning_rate, resume=True)
    finished = events[-1]
    assert isinstance(finished, Finished)
    assert all(map(math.isfinite, finished.scores.values()))
    assert f"learning_rate = {caught.value.learning_rate}" in (run / "config.toml").read_text()
    assert len(strict_lines(run / "metrics.jsonl")) == 3


@pytest.mark.usefixtures("inf_for_long_texts")
def test_the_line_at_fault_is_named(tmp_path: Path) -> None:
    data = with_one_long_text(tmp_path / "texts.tsv")
    with pytest.raises(
        DivergedError, match=r"the loss of step \d, in epoch 1, is not finite; in its batch: .*"
    ) as caught:
        train("classify", tmp_path / "run", data, batch_tokens=7)
    assert f"{tmp_path / 'texts.tsv'}, line 5" in str(caught.value)
    assert "training.skip_nonfinite=3" in str(caught.value)
    assert not (tmp_path / "run" / "model.safetensors").exists()


def test_the_one_of_a_batch_at_fault_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    forward = LossModule.forward
    monkeypatch.setattr(
        LossModule,
        "forward",
        lambda self, batch: forward(self, batch) * (math.nan if 7 in lengths_of(batch) else 1),
    )
    data = with_one_long_text(tmp_path / "texts.tsv")
    with pytest.raises(DivergedError, match="line 5 is the cause"):
        train("classify", tmp_path / "run", data, batch_tokens=1000)


@pytest.mark.usefixtures("inf_for_long_texts")
def test_few_steps_may_be_left_out_and_are_said(tmp_path: Path) -> None:
    run = tmp_path / "run"
    events = train("classify", run, with_one_long_text(), batch_tokens=7, skip_nonfinite=1)
    finished = events[-1]
    assert isinstance(finished, Finished)
    epochs = [event for event in events if isinstance(event, Validated)]
    for event in epochs:
        assert event.notices[0].startswith("1 step left out, whose loss or gradient was not finite")
        assert "text 4 of texts" in event.notices[0]
        assert math.isfinite(event.train_loss)
    assert finished.notices[0].startswith("2 steps of the training left out")
    assert is_finite(run / "model.safetensors")


def test_no_more_steps_in_a_row_than_permitted_are_left_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    take, seen = OptimizerStep.take, []

    def planted(self: OptimizerStep, batch: Any, rate: float) -> Any:
        seen.append(1)
        result = take(self, batch, rate)
        return result if len(seen) in (1, 2) else result._replace(problem="gradient")

    monkeypatch.setattr(OptimizerStep, "take", planted)
    with pytest.raises(DivergedError, match="the gradient of step 5, in epoch 1") as caught:
        train("tag", tmp_path / "run", skip_nonfinite=2, batch_tokens=3)
    assert "skip_nonfinite" not in str(caught.value)
    assert caught.value.step == 5


def test_an_epoch_without_a_step_is_an_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    take = OptimizerStep.take
    monkeypatch.setattr(OptimizerStep, "take", lambda *all: take(*all)._replace(problem="gradient"))
    with pytest.raises(DivergedError, match="every step of epoch 1 was left out, as step 1"):
        train("tag", tmp_path / "run", skip_nonfinite=50)


@pytest.mark.parametrize("clip_norm", [0.0, 1.0])
def test_a_gradient_that_is_not_finite_is_not_followed(
    tmp_path: Path, clip_norm: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    forward, steps = LossModule.forward, itertools.count(1)

    def planted(self: LossModule, batch: Any) -> torch.Tensor:
        loss = forward(self, batch)
        if self.training and next(steps) == 2:
            # the value is 0, its derivative 0 × inf
            loss = loss + (next(self.parameters()).sum() * 0).sqrt()
        return loss

    monkeypatch.setattr(LossModule, "forward", planted)
    run = tmp_path / "run"
    with pytest.raises(DivergedError, match="the gradient of step 2, in epoch 1") as caught:
        train("tag", run, clip_norm=clip_norm, checkpoint_steps=1, batch_tokens=9)
    assert ("training.clip_norm=1" in str(caught.value)) == (clip_norm == 0)
    state = run / "checkpoints" / "state.safetensors"
    assert read_position(read_metadata(state)).step == 1
    assert is_finite(state)


@pytest.mark.parametrize("what", ["weights", "moments"])
def test_weights_that_overflow_are_not_saved(
    tmp_path: Path, what: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    take, steps = OptimizerStep.take, itertools.count(1)

    def planted(self: OptimizerStep, batch: Any, rate: float) -> Any:
        result = take(self, batch, rate)
        if next(steps) == 3:
            with torch.no_grad():
                # the last one: of a label that the batch need not have
                parameter = list(self.loss.parameters())[-1]
                state = self.optimizer.state[parameter]
                (parameter if what == "weights" else state["exp_avg_sq"])[-1] = math.inf
        return result

    monkeypatch.setattr(OptimizerStep, "take", planted)
    run = tmp_path / "run"
    with pytest.raises(DivergedError, match="weights after step 3 are not finite"):
        train("tag", run, checkpoint_steps=1, batch_tokens=9)
    state = run / "checkpoints" / "state.safetensors"
    assert read_position(read_metadata(state)).step == 2
    assert is_finite(state)


def test_a_validation_that_is_not_finite_is_never_the_best(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    forward, passes = LossModule.forward, itertools.count(1)

    def planted(self: LossModule, batch: Any) -> torch.Tensor:
        loss = forward(self, batch)
        return loss * math.nan if not self.training and next(passes) > 1 else loss

    monkeypatch.setattr(LossModule, "forward", planted)
    run = tmp_path / "run"
    with pytest.raises(DivergedError, match="the validation loss after epoch 2 is not finite"):
        train("tag", run, batch_tokens=1000, learning_rate=0.01)
    best = (run / "model.safetensors").read_bytes()
    assert len(strict_lines(run / "metrics.jsonl")) == 1
    monkeypatch.undo()
    assert isinstance(train("tag", run, batch_tokens=1000, resume=True)[-1], Finished)
    assert is_finite(run / "model.safetensors")
    assert best


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_what_is_not_finite_ranks_below_everything(value: float) -> None:
    for metric in ("loss", "accuracy"):
        worst = rank({"loss": 1e300, "accuracy": 0.0}, metric)
        assert rank({"loss": 0.1, "accuracy": 0.9, metric: value}, metric) < worst


def test_an_average_that_is_not_finite_is_not_chosen(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    losses = iter([0.5, 0.4, math.nan])
    monkeypatch.setattr(
        loop,
        "validate",
        lambda *_: Validation({"loss": next(losses), "accuracy": math.nan, "macro_f1": 1.0}, []),
    )
    run = tmp_path / "run"
    finished = train("tag", run, metric="accuracy")[-1]
    assert isinstance(finished, Finished)
    assert finished.chosen == "epoch 2"
    lines = strict_lines(run / "metrics.jsonl")
    assert [line["scores"]["accuracy"] for line in lines] == [None, None, None]
    # a metric that is null is no obstacle to a report, nor to more epochs
    data = case_of("tag").data
    monkeypatch.undo()
    config = configured("tag", epochs=3)
    model = api.fit(TASKS["tag"], config, data, data, run, resume=True)
    assert (run / "report.html").exists()
    assert model.predict([["the", "saw"]])


def test_training_does_not_start_from_weights_that_are_not_finite(tmp_path: Path) -> None:
    task, config, data = TASKS["tag"], configured("tag"), case_of("tag").data
    initial = task.learn(config, data)
    poison(initial.model)
    with pytest.raises(RunError, match="would start from hold NaN or infinity"):
        list(train_model(task, config, data, data, tmp_path / "run", initial=initial))
    assert not (tmp_path / "run").exists()


def poison(model: torch.nn.Module) -> None:
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.fill_(math.nan)


@pytest.mark.parametrize("task", list(TASKS))
def test_a_model_of_nan_predicts_nothing_in_any_task(task: str) -> None:
    data = case_of(task).data
    predictor = TASKS[task].learn(configured(task), data)
    assert list(predictor.predict_data(data.take([0])))
    poison(predictor.model)
    with pytest.raises(
        NonFiniteError, match=r"input \d+: the model's output holds NaN or infinity"
    ):
        list(predictor.predict(data.inputs))
    with pytest.raises(NonFiniteError, match=rf"^{data.example} \d+ of "):
        predictor.evaluate(data)


def test_a_chain_of_nan_predicts_nothing() -> None:
    case = case_of("tag")
    values = {**case.base, "encoder": {"kind": "none"}, "labels": {"chain": True}}
    config = build(TASKS["tag"].configuration, values)
    predictor = TASKS["tag"].learn(config, case.data)
    poison(predictor.model.head.chain)
    with pytest.raises(NonFiniteError, match="input 1: "):
        list(predictor.predict(case.data.inputs))


def test_the_input_is_named_by_its_number_among_all() -> None:
    task, data = TASKS["classify"], with_one_long_text(Path("texts.tsv"))
    predictor = task.learn(configured("classify"), data)
    forward = predictor.model.forward

    def planted(batch: Any) -> torch.Tensor:
        scores: torch.Tensor = forward(batch)
        return scores.masked_fill((batch.lengths == 7)[:, None], math.inf)

    predictor.model.forward = planted
    with pytest.raises(NonFiniteError, match="^input 4: "):
        list(predictor.predict(["", *data.inputs][1:]))
    with pytest.raises(NonFiniteError, match="^input 6: "):
        list(predictor.predict(["", "", *data.inputs]))
    with pytest.raises(NonFiniteError, match=r"^texts.tsv, line 5: "):
        predictor.evaluate(data)


def test_a_gradient_scaler_lowers_its_scale_and_its_overflow_is_no_divergence(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    forward = LossModule.forward
    monkeypatch.setattr(LossModule, "forward", lambda self, batch: 1e6 * forward(self, batch))
    task, data = TASKS["classify"], case_of("classify").data
    predictor = task.learn(configured("classify"), data)
    scaler = torch.amp.GradScaler("cpu", init_scale=2.0**110)
    precision = MixedPrecision("bf16-mixed", "cpu")
    precision.scaler = scaler
    fabric = Fabric(accelerator="cpu", devices=1, plugins=[precision])
    loss = task.loss(predictor)
    module, optimizer = fabric.setup(loss, torch.optim.AdamW(loss.parameters()))
    [batch, *_] = task.batches(predictor, data, training=True).epoch(1)
    before = [each.detach().clone() for each in loss.parameters()]
    for clip_norm in (0.0, 1.0):
        step = OptimizerStep(
            fabric=fabric,
            processes=Processes(),
            module=module,
            loss=loss,
            optimizer=optimizer,
            clip_norm=clip_norm,
        )
        results = [step.take([Share(batch, is_counted=True)], 0.1) for _ in range(4)]
        assert {result.problem for result in results} == {""}
    assert 2.0**102 < scaler.get_scale() < 2.0**110
    assert any(not torch.equal(*pair) for pair in zip(before, loss.parameters(), strict=True))
    assert all(bool(each.isfinite().all()) for each in loss.parameters())


def test_numbers_too_large_to_standardize_are_refused() -> None:
    with pytest.raises(DataError, match=r"reach 1e\+200, too large"):
        Standardizer.fit(torch.tensor([1e200, -1e200], dtype=torch.float64).numpy())


def test_strict_lines_refuses_what_is_not_json(tmp_path: Path) -> None:
    (tmp_path / "lines").write_text('{"loss": NaN}\n')
    with pytest.raises(AssertionError, match="holds NaN"):
        strict_lines(tmp_path / "lines")


@pytest.fixture(autouse=True)
def _leave_threads() -> Iterator[None]:
    threads = torch.get_num_threads()
    yield
    torch.set_num_threads(threads)


def test_json_is_written_by_strict_json() -> None:
    """Other files with `json.dumps` write strings alone, or refuse NaN by `allow_nan=False`."""
    package = Path(loop.__file__).parents[1]
    strings = {
        "config.py", "run_folder.py", "data/json_lines.py", "data/label_formats.py", "data/lexicon.py",
        "data/table_rows.py", "data/text_rows.py", "data/vectors.py", "data/vocabulary.py", "ops/jit/cache.py",
        "tasks/options/base.py", "tasks/options/texts.py", "run_lock.py", "data/audio/cache.py",
        "data/molecules/splits.py", "training/encoded_store.py",
    }  # fmt: skip
    for path in package.rglob("*.py"):
        name = path.relative_to(package).as_posix()
        for line in path.read_text(encoding="utf-8").splitlines():
            if "json.dump" in line and not line.lstrip().startswith(">>>"):
                assert name in strings or "allow_nan=False" in line or name == "strict_json.py", (
                    name
                )
