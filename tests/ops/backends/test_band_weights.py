"""What windowed attention keeps, and its weights as a band."""

from __future__ import annotations

import subprocess
import sys

import pytest
import torch
from torch import Tensor
from torch.autograd.graph import saved_tensors_hooks

from heedful import BackendError, DtypeError, attend, band_weights, masks
from heedful.ops.masks import Mask
from heedful.ops.rows import Rows
from tests.ops.compare import assert_same, run
from tests.ops.examples import windowed


def saved_bytes(queries: int, score: str, normalizer: str) -> int:
    call = windowed(masks.Window(4, 4), queries, queries, score, normalizer=normalizer).leaves()
    saved: dict[int, int] = {}

    def pack(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        saved[storage.data_ptr()] = storage.nbytes()
        return tensor

    with saved_tensors_hooks(pack, lambda tensor: tensor):
        output = run(call, backend="band").output
    assert output.grad_fn is not None
    return sum(saved.values())


@pytest.mark.parametrize("normalizer", ["softmax", "sparsemax"])
@pytest.mark.parametrize("score", ["dot", "additive"])
def test_bytes_kept_grow_with_length_alone(score: str, normalizer: str) -> None:
    short, long = (saved_bytes(n, score, normalizer) for n in (32, 128))
    assert long <= 4.1 * short


@pytest.mark.parametrize("normalizer", ["softmax", "entmax"])
@pytest.mark.parametrize(
    ("mask", "queries", "keys"),
    [
        (masks.Window(2, 1), 9, 9),
        (masks.Window(0, 0), 1, 1),
        (masks.Window(12, 20), 5, 8),
        (masks.Window(1, 2, align="bottom_right"), 4, 11),
        (masks.Window(1, 2, align="bottom_right"), 11, 4),
        (masks.Window(2, 2) & masks.Padding(torch.tensor([6, 0])), 7, 7),
    ],
)
def test_weights_as_a_band(mask: Mask, queries: int, keys: int, normalizer: str) -> None:
    call = windowed(mask, queries, keys, normalizer=normalizer).leaves()
    arguments = call.arguments()
    value = arguments.pop("value")
    band = band_weights(**arguments)  # type: ignore[arg-type]
    left, right = mask.bounds(Rows.all(queries, keys, (2, 2), torch.device("cpu")))
    assert left is not None
    assert right is not None
    assert band.values.shape == (2, 2, queries, left + right + 1)
    wanted = attend(**arguments, value=value, backend="reference", return_weights=True).weights  # type: ignore[arg-type]
    assert wanted is not None
    assert_same(band.dense(), wanted)
    exists = (band.keys() >= 0) & (band.keys() < keys)
    assert not bool(band.values[..., ~exists].any())
    direction = torch.linspace(0, 1, keys).double()
    got, expected = (
        torch.autograd.grad((weights * direction).square().sum(), (call.query, call.key))
        for weights in (band.dense(), wanted)
    )
    for one, other in zip(got, expected, strict=True):
        assert_same(one, other)


def test_weights_as_a_band_want_a_window() -> None:
    x = torch.randn(4, 3)
    with pytest.raises(
        BackendError, match=r"nothing in its mask bounds on both sides.*return_weights"
    ):
        band_weights(x, x, mask=masks.Causal())
    with pytest.raises(DtypeError, match="key is a list"):
        band_weights(x, [x], mask=masks.Window(1, 1))  # type: ignore[arg-type]
    empty = torch.randn(0, 3)
    assert band_weights(x, empty, mask=masks.Window(1, 1)).dense().shape == (4, 0)


MILLION = """
import resource, torch
from heedful import attend, masks
torch.set_num_threads(1)
needs_gradient = {gradient}
query, key, value = (torch.randn(1, 1, 10**6, 64, requires_grad=needs_gradient) for _ in range(3))
output = attend(query, key, value, mask=masks.Window(128, 128)).output
if needs_gradient:
    torch.autograd.grad(output, (query, key, value), output.detach())
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20)
"""


@pytest.mark.long
@pytest.mark.parametrize("gradient", [False, True])
def test_a_million_positions_in_a_few_gib(gradient: bool) -> None:
    code = MILLION.format(gradient=gradient)
    told = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    # Query, key, value and output take 1 GiB, gradients as much again; PyTorch itself takes some tenths.
    assert float(told.stdout) < (4 if gradient else 2)
