"""Baselines: what each predicts, and that they are compared like networks."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from heedful.compare.baselines import fit_baseline
from heedful.compare.comparison import JobFinished
from heedful.compare.formatting import table
from heedful.compare.plan import CompareSection, make_plan
from heedful.compare.summary import summarize
from heedful.config import build
from heedful.data.molecules.descriptors import ScaledDescriptors, descriptors
from heedful.data.molecules.table import MoleculeTable
from heedful.data.texts import Text
from heedful.errors import OptionError
from heedful.tasks.molecules import (
    CLASSIFY,
    REGRESS,
    ClassifyMoleculesConfig,
    RegressMoleculesConfig,
)
from tests.compare.conftest import case_of, plan_of

pytest.importorskip("rdkit")

CHAINS = [("C" * n, float(n)) for n in range(1, 13)]
TRAIN = MoleculeTable([Text(smiles, (str(number),)) for smiles, number in CHAINS])
TEST = MoleculeTable([Text("C" * 4 + "O", ("4",)), Text("CC", ("2",))])


def predicted(name: str, train: MoleculeTable = TRAIN, **values: Any) -> list[float]:
    config = build(RegressMoleculesConfig, values)
    _, predict = fit_baseline(name, REGRESS, config, train, 0)
    return [each.value for each in predict(TEST)]


def test_the_mean_and_the_nearest_neighbour() -> None:
    assert predicted("mean") == pytest.approx([6.5, 6.5])
    assert predicted("neighbour")[1] == pytest.approx(2.0)


@pytest.mark.parametrize("name", ["forest", "boosting", "kernel"])
def test_baselines_read_descriptors(name: str) -> None:
    fives, twos = predicted(name)
    assert abs(fives - 4.5) < 1.5
    assert abs(twos - 2) < 1.5
    assert predicted(name) == [fives, twos]


def test_kernel_regression_is_that_of_the_equations() -> None:
    scaled = ScaledDescriptors.fit(TRAIN.inputs)
    known, wanted = (scaled(each.inputs).astype(np.float64) for each in (TRAIN, TEST))
    targets = np.array([float(answer) for (answer,) in TRAIN.answers])
    mean, scale = targets.mean(), targets.std()
    factor = 0.3 / known.shape[1] / known.var()
    kernels = [
        np.exp(-factor * ((each[:, None] - known) ** 2).sum(axis=-1)) for each in (known, wanted)
    ]
    weights = np.linalg.solve(kernels[0] + 0.03 * np.eye(len(known)), (targets - mean) / scale)
    assert predicted("kernel") == pytest.approx(kernels[1] @ weights * scale + mean, rel=1e-4)


def test_a_missing_target_is_left_out() -> None:
    rows = [Text("C" * n, (str(float(n)), "" if n % 2 else "1")) for n in range(1, 7)]
    config = build(RegressMoleculesConfig, {"data": {"target": "a,b"}})
    answer, predict = fit_baseline("mean", REGRESS, config, MoleculeTable(rows), 0)
    assert predict(TEST)[0].values == pytest.approx((3.5, 1.0))
    assert answer.names == ("a", "b")


@pytest.mark.parametrize("name", ["mean", "neighbour", "forest", "boosting", "kernel"])
@pytest.mark.parametrize("separator", ["", ","])
def test_labels(name: str, separator: str) -> None:
    rows = [Text("C" * n, ("long" if n > 6 else "short",)) for n in range(1, 13)]
    config = build(ClassifyMoleculesConfig, {"data": {"separator": separator, "min_examples": 1}})
    _, predict = fit_baseline(name, CLASSIFY, config, MoleculeTable(rows), 0)
    first, second = predict(TEST)
    assert set(first.all_probabilities) == {"long", "short"}
    if name != "mean":
        assert second.labels == ("short",)


def test_descriptors_of_odd_molecules_are_numbers_or_missing() -> None:
    found = descriptors(["[Na+].[Cl-]", "[H][H]", "C", "*CC"])
    assert not np.isinf(found).any()


def test_baselines_are_contenders(compare: Callable[..., list[Any]], tmp_path: Path) -> None:
    plan = plan_of("regress-molecules", baselines=["mean", "neighbour"])
    events = compare(plan, tmp_path / "report")
    outcomes = [each.outcome for each in events if isinstance(each, JobFinished)]
    assert [each.error for each in outcomes] == [None] * 8
    rows = {row[0]: row for row in table(plan, summarize(plan, outcomes))}
    assert rows["neighbour"][5:9] == ["–", "–", rows["neighbour"][7], "–"]
    assert rows["none"][5] != "–"
    assert plan.settings["mean"]["baseline"].startswith("the mean of the training targets")
    assert all(each.reused for each in compare(plan, tmp_path / "report"))


def test_baselines_that_do_not_fit() -> None:
    with pytest.raises(OptionError, match="unknown baseline 'boost'.*did you mean 'boosting'"):
        plan_of("regress-molecules", baselines=["boost"])
    with pytest.raises(OptionError, match="the baseline forest reads molecules, which classify"):
        plan_of("classify", baselines=["forest"])
    with pytest.raises(OptionError, match="the baseline mean predicts labels and numbers of whole"):
        plan_of("tag", baselines=["mean"])
    section = CompareSection(task="regress-molecules", baselines=("mean",))
    with pytest.raises(OptionError, match="contender 'mean' has the name of a baseline"):
        make_plan(section, dict(case_of("regress-molecules").base), {"mean": {}})
