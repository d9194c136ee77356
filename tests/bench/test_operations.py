"""Every operation: each contender that is here gives the defined output and gradients at small sizes."""

from __future__ import annotations

import warnings
from dataclasses import replace

import pytest

from heedful.bench.check import TOLERANCE
from heedful.bench.measure import Pace, measure_case
from heedful.bench.operations import OPERATIONS
from heedful.bench.process import SETTING_UP
from heedful.bench.settings import Settings
from heedful.bench.values import Contender
from heedful.errors import OptionError

SMALL = {
    "batch": 2, "heads": 2, "queries": 5, "keys": 7, "length": 20, "features": 4, "hidden": 8, "window": 3,
    "nodes": 12, "degree": 3, "vocabulary": 20, "key_heads": 1,
}  # fmt: skip
PAIRS = [
    pytest.param(name, contender, id=f"{name}, {contender.name}")
    for name, operation in OPERATIONS.items()
    for contender in operation.contenders
    if not contender.compiles
]


@pytest.mark.parametrize(("name", "contender"), PAIRS)
def test_it_is_right(name: str, contender: Contender, monkeypatch: pytest.MonkeyPatch) -> None:
    if contender.missing():
        pytest.skip(f"{contender.needs} is not installed")
    for variable, value in SETTING_UP.items():
        monkeypatch.setenv(variable, value)
    operation = replace(OPERATIONS[name], contenders=(contender,))
    sizes = operation.case({size: SMALL[size] for size in operation.sizes})
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # what other libraries say to their developers
        [result] = measure_case(
            operation, sizes, Settings(seconds=0.001), Pace(), lambda text, share: None
        )
    assert (result.status, result.reason) == ("measured", "")
    assert result.error is not None
    dtypes = {one.dtype for one in operation.inputs(sizes).values() if one.is_floating_point()}
    assert result.error < min(TOLERANCE[dtype] for dtype in dtypes) / 2


def test_every_operation_has_ours_first() -> None:
    for operation in OPERATIONS.values():
        assert operation.contenders[0].ours
        names = [one.name for one in operation.contenders]
        assert len(set(names)) == len(names)
        assert set(operation.scans) <= set(operation.sizes)


def test_a_size_that_an_operation_has_not() -> None:
    with pytest.raises(OptionError, match=r"additive has no size 'querys'; did you mean queries\?"):
        OPERATIONS["additive"].case({"querys": 4})
