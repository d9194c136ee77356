"""What is compared is checked before anything is done, and a mistake is answered by its name."""

from __future__ import annotations

import pytest

from heedful.compare.budget import NO_LIMIT, Budget, parse_budget
from heedful.compare.plan import CompareSection, make_plan
from heedful.errors import OptionError
from tests.compare.conftest import ENCODERS, case_of, plan_of


@pytest.mark.parametrize(
    ("text", "settings"),
    [
        ("epochs=3", {"epochs": 3, "patience": 0}),
        ("steps=1_000", {"epochs": NO_LIMIT, "patience": 0, "max_steps": 1000}),
        ("tokens = 2e6", {"epochs": NO_LIMIT, "patience": 0, "max_tokens": 2_000_000}),
        ("seconds=1.5", {"epochs": NO_LIMIT, "patience": 0, "max_seconds": 1.5}),
    ],
)
def test_budgets(text: str, settings: dict[str, object]) -> None:
    assert parse_budget(text).settings() == settings
    assert parse_budget(str(parse_budget(text))) == parse_budget(text)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("epoch=3", r"unknown budget 'epoch'; did you mean 'epochs=N'"),
        ("3", "unknown budget '3'"),
        ("steps=", "expected a whole number above 0 after steps=, got ''"),
        ("steps=1.5", "a whole number above 0"),
        ("steps=0", "a whole number above 0"),
        ("seconds=nan", "a number above 0"),
        ("tokens=inf", "a whole number above 0"),
        ("tokens=-3", "a whole number above 0"),
    ],
)
def test_a_budget_that_is_none(text: str, message: str) -> None:
    with pytest.raises(OptionError, match=message):
        parse_budget(text)


def test_every_contender_has_the_budget_and_every_job_its_seed() -> None:
    plan = plan_of(seeds=2, fractions=[0.5])
    assert plan.budget == Budget("steps", 3)
    assert [job.name for job in plan.jobs] == [
        "none-seed-0", "window-seed-0", "none-seed-1", "window-seed-1",
        "none-seed-0-of-0.5", "window-seed-0-of-0.5", "none-seed-1-of-0.5", "window-seed-1-of-0.5",
    ]  # fmt: skip
    for job in plan.jobs:
        assert (job.config.training.max_steps, job.config.training.seed) == (3, job.seed)
        assert job.config.encoder.kind == job.contender


def test_without_a_budget_it_is_the_epochs_of_the_task() -> None:
    plan = plan_of(budget="")
    assert str(plan.budget) == "epochs=2"
    assert plan.jobs[0].config.training.epochs == 2


def test_encoders_are_the_short_form() -> None:
    section = CompareSection(encoders=("none", "lstm"))
    plan = make_plan(
        section, dict(case_of("tag").base), {"big": {"encoder": {"kind": "none", "hidden": 512}}}
    )
    assert list(plan.contenders) == ["none", "lstm", "big"]
    assert plan.contenders["none"].inputs.word_width == 4


@pytest.mark.parametrize(
    ("section", "contenders", "message"),
    [
        ({"task": "tga"}, ENCODERS, "unknown task 'tga'; did you mean 'tag'"),
        ({"encoders": ["none", "lsmt"]}, {}, "unknown encoder 'lsmt'; did you mean 'lstm'"),
        ({"encoders": ["none"]}, {}, "needs at least two contenders, got none; give --encoders"),
        ({}, {}, "needs at least two contenders"),
        ({"task": "translate", "encoders": ["none", "lstm"]}, {}, "translate has no section `encoder`"),
        ({}, {**ENCODERS, "a/b": {}}, "contender 'a/b': a name must consist of letters"),
        ({}, {**ENCODERS, "..": {}}, "a name must consist of letters"),
        ({}, {**ENCODERS, "x": {"encoder": {"kind": "lstm", "hiden": 3}}},
         "contender 'x': unknown key 'encoder.hiden'; did you mean 'encoder.hidden'"),
        ({"budget": "step=3"}, ENCODERS, "unknown budget 'step'"),
        ({"fractions": [0.0]}, ENCODERS, "fraction 0: expected a fraction of the training data above 0"),
        ({"fractions": [1.5]}, ENCODERS, "fraction 1.5"),
        ({"lengths": [0]}, ENCODERS, "length 0: expected at least 1"),
    ],
)  # fmt: skip
def test_what_does_not_go_is_answered(
    section: dict[str, object], contenders: dict[str, dict[str, object]], message: str
) -> None:
    base = {} if section.get("task") == "translate" else dict(case_of("tag").base)
    with pytest.raises(OptionError, match=message):
        make_plan(CompareSection.model_validate(section), base, contenders)


def test_an_error_tells_where_it_stands() -> None:
    wrong = {**ENCODERS, "x": {"encoder": {"kind": "lstm", "hiden": 3}}}
    with pytest.raises(OptionError, match="contenders.x.encoder.hiden; contender 'x': unknown"):
        make_plan(
            CompareSection(), dict(case_of("tag").base), wrong, lambda keys: ".".join(keys) + "; "
        )


def test_a_task_without_a_case_is_named() -> None:
    with pytest.raises(
        pytest.fail.Exception, match="add a case of sing to tests/compare/conftest.py"
    ):
        case_of("sing")
