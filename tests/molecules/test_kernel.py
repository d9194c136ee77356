"""Kernel ridge regression beside the networks of molecules: solved, mixed in, saved, resumed, exported."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import heedful
from heedful.compare.baselines import fit_baseline
from heedful.config import build
from heedful.data.molecules.table import MoleculeTable
from heedful.data.texts import Text
from heedful.errors import OptionError
from heedful.models.kernel_regression import KernelConfig, KernelRegression
from heedful.tasks.molecules import REGRESS, RegressMoleculesConfig
from heedful.training.loop import train_model

pytest.importorskip("rdkit")

ROWS = [
    Text("C" * left + atom + "C" * right, (str(float(left - right + 3 * (atom == "N"))),))
    for left in range(1, 5)
    for right in range(1, 5)
    for atom in "NO"
]
TRAIN, VALID = MoleculeTable(ROWS[:24]), MoleculeTable(ROWS[24:])
SMALL: dict[str, Any] = {
    "inputs": {"descriptors": True, "width": 8},
    "encoder": {"kind": "gatv2", "width": 8, "heads": 2, "layers": 1},
    "pooling": {"heads": 2, "hidden": 8},
    "training": {"epochs": 2, "threads": 1, "batch_tokens": 60, "keep_freed_memory": False},
}
KERNEL = {"share": 0.5}


def configured(**sections: Any) -> RegressMoleculesConfig:
    return build(RegressMoleculesConfig, {**SMALL, **sections})


def trained(out: Path, **sections: Any) -> list[float]:
    for _ in train_model(REGRESS, configured(**sections), TRAIN, VALID, out):
        pass
    return [each.value for each in heedful.load(out).predict(VALID.inputs)]


@pytest.mark.parametrize("members", [1, 2])
def test_it_is_mixed_with_the_networks(members: int, tmp_path: Path) -> None:
    """The networks are those of a training without it, and the regression is the baseline of `compare`."""
    ensemble = {"members": members}
    both = trained(tmp_path / "both", kernel=KERNEL, ensemble=ensemble)
    networks = trained(tmp_path / "networks", ensemble=ensemble)
    _, predict = fit_baseline("kernel", REGRESS, configured(), TRAIN, 0)
    kernel = [each.value for each in predict(VALID)]
    wanted = (np.array(networks) + kernel) / 2
    np.testing.assert_allclose(both, wanted, rtol=1e-4, atol=1e-4)
    assert not np.allclose(networks, kernel, atol=0.05)


def test_a_resumed_training_ends_as_one_that_went_through(tmp_path: Path) -> None:
    whole = trained(tmp_path / "whole", kernel=KERNEL)
    events = train_model(REGRESS, configured(kernel=KERNEL), TRAIN, VALID, tmp_path / "stopped")
    for event in events:
        if type(event).__name__ == "Validated":
            break
    events.close()  # type: ignore[attr-defined]
    config = configured(kernel=KERNEL)
    for _ in train_model(REGRESS, config, TRAIN, VALID, tmp_path / "stopped", resume=True):
        pass
    found = [each.value for each in heedful.load(tmp_path / "stopped").predict(VALID.inputs)]
    assert found == whole


def test_another_training_set_gets_a_regression_of_its_own(tmp_path: Path) -> None:
    trained(tmp_path / "first", kernel=KERNEL)
    config = configured(kernel=KERNEL)
    initial = REGRESS.load_initial(config, tmp_path / "first")
    more = REGRESS.learn_from(config, MoleculeTable(ROWS), initial)
    assert len(initial.model.head.kernel.keys) == len(TRAIN)
    assert len(more.model.head.kernel.keys) == len(ROWS)


def test_missing_targets_are_left_out() -> None:
    features = np.random.default_rng(0).normal(size=(6, 3))
    targets = np.random.default_rng(1).normal(size=(6, 2))
    some = targets.copy()
    some[[1, 4], 1] = np.nan
    kernel, alone = (KernelRegression(KernelConfig(), 3, outputs) for outputs in (2, 1))
    kernel.fit(features, some)
    known = [0, 2, 3, 5]
    alone.config = KernelConfig(gamma=0.3 * features[known].var() / features.var())
    alone.fit(features[known], targets[known, 1:])
    query = torch.randn(4, 3)
    torch.testing.assert_close(kernel(query)[:, 1:], alone(query), rtol=1e-4, atol=1e-4)
    assert bool(kernel(query).isfinite().all())


def test_more_examples_than_it_takes_are_drawn() -> None:
    features = np.arange(10.0)[:, None]
    kernel = KernelRegression(KernelConfig(examples=4), 1, 1)
    kernel.fit(features, features, seed=3)
    assert len(kernel.keys) == len(kernel.values) == 4
    again = KernelRegression(KernelConfig(examples=4), 1, 1)
    again.fit(features, features, seed=3)
    assert torch.equal(kernel.keys, again.keys)


def test_in_half_precision_distances_are_not() -> None:
    features = np.random.default_rng(0).normal(size=(20, 50)) + 100
    kernel = KernelRegression(KernelConfig(), 50, 1)
    kernel.fit(features, features[:, :1] - 100)
    query = torch.from_numpy(features).float()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        found = kernel(query)
    assert torch.equal(found, kernel(query))


def test_stored_examples_of_other_sizes_are_refused() -> None:
    kernel = KernelRegression(KernelConfig(), 3, 1)
    kernel.fit(np.eye(3), np.ones((3, 1)))
    stored = kernel.state_dict()
    KernelRegression(KernelConfig(), 3, 1).load_state_dict(stored)
    for name, wrong in (("keys", torch.zeros(3, 2)), ("values", torch.zeros(2, 1))):
        with pytest.raises(RuntimeError, match="size mismatch"):
            KernelRegression(KernelConfig(), 3, 1).load_state_dict({**stored, name: wrong})


def test_it_needs_descriptors() -> None:
    with pytest.raises(OptionError, match=r"kernel.share is 0.5, .* set that to true"):
        configured(kernel=KERNEL, inputs={"descriptors": False})
