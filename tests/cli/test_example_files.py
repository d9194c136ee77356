"""Every configuration in examples/ is one that the command in its first lines reads."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from heedful.cli.compare_settings import CompareArguments, CompareSource, build_plan
from heedful.config import build, read_toml
from heedful.tasks.table import TASKS

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"
FILES = sorted(EXAMPLES.glob("*.toml"))
RECURRENT = {"rnn", "lstm", "gru"}


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_an_example_is_read_by_its_command(file: Path) -> None:
    text = file.read_text(encoding="utf-8")
    trained = re.search(rf"^#     heedful train (\S+) --config examples/{file.name}", text, re.M)
    if trained is not None:
        build(TASKS[trained[1]].configuration, read_toml(file))
    else:
        assert re.search(rf"^#     heedful compare examples/{file.name}", text, re.M)
        assert len(build_plan(CompareSource(str(file)), CompareArguments()).contenders) > 1


def test_the_ladder_of_translators_differs_in_the_models_alone() -> None:
    plan = build_plan(CompareSource(str(EXAMPLES / "compare_translators.toml")), CompareArguments())
    models = [each.model_dump(exclude={"model"}) for each in plan.contenders.values()]
    assert all(each == models[0] for each in models)
    kinds = {name: each.model for name, each in plan.contenders.items()}
    assert {each.kind for each in kinds.values()} == RECURRENT | {"transformer"}
    assert kinds["gru"].attention == "none"
    assert kinds["gru-luong"].order == "luong"
    assert kinds["gru-bahdanau"].attention == "additive"
