"""Whole comparisons of every task in this process: what is kept, what is gone on with, what failure leaves."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from heedful.answers.base import Metric
from heedful.answers.token_label import PositionLabel
from heedful.compare.comparison import (
    JobFinished,
    JobStarted,
    check_folder,
    data_digest,
    run_all,
    write_results,
)
from heedful.compare.formatting import difference_cells, table
from heedful.compare.measure import prediction_latency, resident_memory
from heedful.compare.outcome import Memory, Point, load_outcome, outcome_from_dict
from heedful.compare.page import comparison_page
from heedful.compare.plan import Job, Plan
from heedful.compare.run import run_job, training_subset
from heedful.compare.significance import Difference
from heedful.compare.summary import Summary, summarize
from heedful.errors import OptionError, RunError
from heedful.tasks.table import TASKS
from heedful.training.events import Progress
from tests.compare.conftest import case_of, outcome, plan_of

Compare = Callable[..., list[Any]]


def ended(events: list[Any]) -> list[JobFinished]:
    return [event for event in events if isinstance(event, JobFinished)]


def digest_of(plan: Plan) -> str:
    return data_digest((case_of(plan.task.name).data,) * 2)


def test_every_answer_is_compared_by_one_of_its_metrics() -> None:
    for task in TASKS.values():
        assert task.answer.primary_metric in task.answer.metrics


@pytest.mark.parametrize("task", list(TASKS))
def test_a_comparison_of_every_task(task: str, tmp_path: Path, compare: Compare) -> None:
    plan = plan_of(task, fractions=[0.5])
    outcomes = [event.outcome for event in ended(compare(plan, tmp_path / "out"))]
    assert [each.error for each in outcomes] == [None] * 8
    for each, job in zip(outcomes, plan.jobs, strict=True):
        assert each.steps == 3
        assert each.tokens_per_second > 0
        assert each.parameters > 0
        assert len(each.statistics) == len(case_of(task).data)
        # the figure of the statistics is the one that the task itself measured
        figure = plan.answer.primary_metric
        assert each.quality == pytest.approx(each.scores[figure], rel=1e-6)
        # Images of 8 × 8 pixels all have 4 cells.
        # A node is one position.
        fixed = {1} if task.endswith(("nodes", "links")) else {4}
        lengths = {2, 5} if case_of(task).data.has_any_length else fixed
        assert set(each.latency) == (lengths if job.fraction == 1 else set())
        assert load_outcome(tmp_path / "out" / "measured" / f"{job.name}.json") == each
        assert (tmp_path / "out" / "runs" / job.name / "model.safetensors").exists()
    assert {each.train_examples for each in outcomes} == {
        len(case_of(task).data),
        len(case_of(task).data) // 2,
    }
    summary = summarize(plan, outcomes)
    assert summary.best in plan.contenders
    page = comparison_page(plan, summary, outcomes, "out")
    assert "http" not in page.replace("http-equiv", "").replace("http://www.w3.org", "")
    assert page.count("<svg") >= 5
    assert len(table(plan, summary)) == 3
    json.dumps(summary.to_dict(), allow_nan=False)


def test_what_has_ended_is_not_repeated_and_what_failed_is(
    tmp_path: Path, compare: Compare
) -> None:
    plan, out = plan_of(), tmp_path / "out"
    first = ended(compare(plan, out, lambda job: job.name == "window-seed-0"))
    assert [each.outcome.error for each in first] == [None, "it was refused", None, None]
    summary = summarize(plan, [each.outcome for each in first])
    assert [each.contender for each in summary.failures] == ["window"]
    assert [len(row.quality.values) for row in summary.rows] == [2, 1]
    page = comparison_page(plan, summary, [each.outcome for each in first], "out")
    assert "it was refused" in page
    assert check_folder(plan, out, digest_of(plan))
    second = compare(plan, out)
    assert [event.job.name for event in second if isinstance(event, JobStarted)] == [
        "window-seed-0"
    ]
    assert [each.reused for each in ended(second)] == [True, False, True, True]
    # one more seed is only that
    third = compare(plan_of(seeds=3), out)
    assert [event.job.seed for event in third if isinstance(event, JobStarted)] == [2, 2]


def test_an_interrupted_training_goes_on_and_ends_the_same(
    tmp_path: Path, compare: Compare
) -> None:
    plan = plan_of(budget="epochs=2")
    whole = ended(compare(plan, tmp_path / "whole"))[0].outcome

    def runner(job: Job, run: Path) -> Any:
        for event in run_job(plan.task, job, (case_of("tag").data,) * 2, run, ()):
            yield event
            if type(event).__name__ == "Validated":
                raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        list(run_all(plan, tmp_path / "parts", digest_of(plan), runner))
    assert not list((tmp_path / "parts" / "measured").iterdir())
    parts = ended(compare(plan, tmp_path / "parts"))[0].outcome
    assert (parts.quality, parts.tokens, len(parts.curve)) == (whole.quality, whole.tokens, 2)
    assert parts.statistics == whole.statistics
    # no process saw all of it
    assert parts.memory is None


def test_a_folder_that_was_left_before_its_first_checkpoint(
    tmp_path: Path, compare: Compare
) -> None:
    plan = plan_of(seeds=1)
    run = tmp_path / "out" / "runs" / plan.jobs[0].name
    run.mkdir(parents=True)
    write_results(tmp_path / "out", {"task": "tag", "data": digest_of(plan), "runs": []})
    (run / "heedful.json").write_text('{"task": "tag", "format": 1}')
    assert [each.outcome.error for each in ended(compare(plan, tmp_path / "out"))] == [None, None]


def test_a_run_that_was_never_measured_is_measured_alone(tmp_path: Path, compare: Compare) -> None:
    plan, out = plan_of(seeds=1), tmp_path / "out"
    compare(plan, out)
    (out / "measured" / f"{plan.jobs[0].name}.json").unlink()
    events = compare(plan, out)
    assert not any(isinstance(event, Progress) for event in events)
    assert ended(events)[0].outcome.parameters > 0


def test_another_comparison_is_left_alone(tmp_path: Path, compare: Compare) -> None:
    plan, out = plan_of(), tmp_path / "out"
    compare(plan, out)
    digest = digest_of(plan)
    with pytest.raises(
        RunError, match=r"trained with other settings \(training.max_steps was 3, is now 4"
    ):
        check_folder(plan_of(budget="steps=4"), out, digest)
    with pytest.raises(RunError, match="a comparison on other data"):
        check_folder(plan, out, "other")
    write_results(out, {"task": "tag", "data": digest, "format": 99})
    with pytest.raises(RunError, match="has format 99"):
        check_folder(plan, out, digest)
    (out / "comparison.json").write_text("{")
    with pytest.raises(RunError, match="is not the file of a comparison"):
        check_folder(plan, out, digest)
    (out / "comparison.json").unlink()
    with pytest.raises(RunError, match="exists and is not empty"):
        check_folder(plan, out, digest)
    assert not check_folder(plan, tmp_path / "new", digest)


def test_parts_of_the_data_are_nested_and_the_same_for_all() -> None:
    data = case_of("tag").data
    small, large = (training_subset(data, f, 7).sentences for f in (0.25, 0.75))
    assert len(small) == 3
    assert all(any(each is other for other in large) for each in small)
    assert training_subset(data, 1.0, 7) is data
    assert len(training_subset(data, 1e-9, 0)) == 1


def test_times_stop_at_what_the_model_refuses() -> None:
    class Refuses:
        answer = PositionLabel

        def predict(self, sentences: Any) -> Any:
            for each in sentences:
                if len(each) > 4:
                    raise OptionError("too long")
                yield each

    assert list(prediction_latency(Refuses(), case_of("tag").data, [9, 2, 20])) == [2]


def test_memory_is_of_this_process() -> None:
    found = resident_memory()
    assert found is None or 0 < found[0] <= found[1]


def points(*values: float) -> tuple[Point, ...]:
    return tuple(
        Point(epoch=n, step=n, tokens=n, seconds=10.0 * n, quality=value)
        for n, value in enumerate(values, start=1)
    )


def made(contender: str, seed: int, quality: float, curve: tuple[float, ...]) -> Any:
    hits = [[1.0, 1.0]] * round(100 * quality) + [[0.0, 1.0]] * round(100 - 100 * quality)
    return outcome(
        contender, seed=seed, quality=quality, curve=points(*curve), statistics=hits, tokens=50,
        training_seconds=2.0, latency={8: 0.01 * (seed + 1)}, memory=Memory(before=1, peak=2**20 + 1),
    )  # fmt: skip


def summary_of(target: float = 0.0) -> Summary:
    outcomes = [
        made("none", 0, 0.5, (0.4, 0.5)), made("none", 1, 0.6, (0.6, 0.5)),
        made("window", 0, 0.9, (0.5, 0.9)), made("window", 1, 0.8, (0.55, 0.8)),
    ]  # fmt: skip
    return summarize(plan_of(quality=target), outcomes)


def test_a_summary_by_hand() -> None:
    none, window = summary_of().rows
    assert summary_of().best == "window"
    assert summary_of().target == 0.5
    assert none.quality.mean == pytest.approx(0.55)
    assert none.seconds_to_target is not None
    assert window.seconds_to_target is not None
    assert none.seconds_to_target.values == (20.0, 10.0)
    assert window.seconds_to_target.values == (10.0, 10.0)
    assert (none.tokens_per_second.mean, none.latency) == (25.0, {8: 0.015})
    assert none.against_best is not None
    assert none.against_best.difference == pytest.approx(-0.3)
    assert (window.against_best, none.against_first) == (None, None)
    assert none.memory is not None
    assert none.memory.mean == 2**20


def nothing(contender: str) -> Difference:
    return Difference(
        contender=contender, against="none", difference=-1e-9, low=-1e-9, high=1e-9, p=1.0
    )


def test_a_target_that_not_all_reach() -> None:
    plan = plan_of(quality=0.85)
    rows = table(plan, summary_of(0.85))
    column = rows[0].index("s to 0.8500")
    assert [row[column] for row in rows[1:]] == ["not reached", "20.0 (1 of 2)"]


def test_a_difference_of_nothing_has_no_sign() -> None:
    found = Difference(contender="a", against="b", difference=-1e-9, low=-0.06, high=0.04, p=1.0)
    cell, _ = difference_cells(found, Metric("BLEU", ".1f"))
    assert cell == "0.0 (-0.1 to 0.0)"
    cell, _ = difference_cells(replace(found, difference=-0.0, high=0.2), Metric("RMSE", ".4g"))
    assert cell == "0 (-0.06 to +0.2)"


def test_the_page_writes_no_sign_before_nothing() -> None:
    plan = plan_of()
    outcomes = [made(name, 0, 0.5, (0.5,)) for name in ("none", "window")]
    summary = summarize(plan, outcomes)
    rows = [replace(row, against_best=nothing(row.contender)) for row in summary.rows[1:]]
    page = comparison_page(plan, replace(summary, rows=(summary.rows[0], *rows)), outcomes, "a")
    assert "window 0.0000 (0.0000 to 0.0000)" in page  # read aloud for the chart
    assert "0.0000\N{NO-BREAK SPACE}to\N{NO-BREAK SPACE}0.0000" in page
    assert not re.search(r"[+-]0\.0000", page)


def test_an_outcome_that_cannot_be_read_is_none(tmp_path: Path) -> None:
    file = tmp_path / "one.json"
    assert load_outcome(file) is None
    file.write_text('{"contender": "a"}')
    assert load_outcome(file) is None
    one = made("none", 0, 0.5, (0.4,))
    one.save(file)
    assert load_outcome(file) == one
    assert outcome_from_dict(one.to_dict()) == one


def test_names_on_the_page_are_text(tmp_path: Path) -> None:
    plan = plan_of()
    bad = outcome(error="<script>alert(1)</script>")
    page = comparison_page(plan, summarize(plan, [bad]), [bad], "<b>")
    assert "<script>alert" not in page
    assert re.search("<h1>Heedful compare: &lt;b&gt;</h1>", page)
