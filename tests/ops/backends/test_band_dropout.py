"""Dropout in the banded kernels: no mask is kept, and both passes drop the same weights."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from heedful import attend, masks, normalizers, plan, scores
from heedful.ops.backends.band.packing import block_factors
from heedful.ops.backends.edges.dropout import draw_dropout
from heedful.ops.masks import Mask
from tests.ops.backends.test_band_whole import tensors
from tests.ops.compare import assert_same

MASKS: dict[str, Callable[[int, int], Mask | None]] = {
    "none": lambda queries, keys: None,
    "causal": lambda queries, keys: masks.Causal(align="top_left"),
    "window": lambda queries, keys: masks.Window(20, 9),
    "dense": lambda queries, keys: masks.Dense(torch.rand(queries, keys) > 0.5),
    "padding": lambda queries, keys: masks.Padding(torch.tensor([0, keys - 2])),
}


def explicit(
    queries: int, keys: int, lead: tuple[int, int], probability: float, seed: int
) -> Tensor:
    """What a call with this seed of PyTorch multiplies its weights by, block by block of 32 queries."""
    torch.manual_seed(seed)
    dropout = draw_dropout(probability)
    blocks = [
        block_factors(
            dropout, torch.empty(*lead, min(32, queries - start), keys, dtype=torch.float64), queries, keys, start, 0
        )
        for start in range(0, queries, 32)
    ]  # fmt: skip
    return torch.cat(blocks, 2)


@pytest.mark.parametrize(("queries", "keys"), [(70, 33), (33, 700), (1, 5)])
@pytest.mark.parametrize("name", MASKS)
def test_both_passes_drop_what_the_generator_says(name: str, queries: int, keys: int) -> None:
    inputs, mask = tensors(queries, keys), MASKS[name](queries, keys)
    factors = explicit(queries, keys, (2, 3), 0.3, seed=7)
    weights = attend(*inputs, mask=mask, backend="reference", return_weights=True).weights
    assert weights is not None
    wanted = (weights * factors) @ inputs[2]
    torch.manual_seed(7)
    got = attend(*inputs, mask=mask, dropout_p=0.3, backend="band").output
    assert_same(got, wanted)
    direction = torch.randn(got.shape, dtype=got.dtype)
    slopes = [torch.autograd.grad(one, inputs, direction) for one in (got, wanted)]
    for mine, other in zip(*slopes, strict=True):
        assert_same(mine, other)


def test_weights_second_derivatives_caps_and_sinks() -> None:
    query, key, value = inputs = tensors(40, 50)
    options: dict[str, Any] = {
        "score": scores.SoftCapped(2.0), "normalizer": normalizers.SinkSoftmax(0.5), "dropout_p": 0.5,
        "backend": "band",
    }  # fmt: skip
    torch.manual_seed(3)
    output, weights = attend(*inputs, return_weights=True, **options)
    torch.manual_seed(3)
    assert torch.equal(attend(*inputs, **options).output, output)
    undropped = attend(*inputs, return_weights=True, **{**options, "dropout_p": 0.0}).weights
    assert weights is not None
    assert undropped is not None
    assert_same(weights, undropped)
    factors = explicit(40, 50, (2, 3), 0.5, seed=3)
    assert_same(output, (undropped * factors) @ value)
    [slope] = torch.autograd.grad(output.square().sum(), query, create_graph=True)
    plain = attend(
        *inputs, return_weights=True, **{**options, "dropout_p": 0.0, "backend": "reference"}
    ).weights
    assert plain is not None
    wanted = ((plain * factors) @ value).square().sum()
    [wanted_slope] = torch.autograd.grad(wanted, query, create_graph=True)
    assert_same(slope, wanted_slope)
    second, wanted_second = (
        torch.autograd.grad(one.square().sum(), key)[0] for one in (slope, wanted_slope)
    )
    assert_same(second, wanted_second)


@pytest.mark.parametrize("probability", [0.1, 0.5, 0.9])
def test_the_share_of_kept_weights_and_their_independence(probability: float) -> None:
    kept = (explicit(512, 512, (2, 2), probability, seed=1) != 0).double()
    count = kept.numel()
    deviation = (probability * (1 - probability) / count) ** 0.5
    share = float(kept.mean())
    assert abs(share - (1 - probability)) < 4 * deviation
    centred = (kept - kept.mean()) / kept.std()
    neighbours = {
        "keys": (centred[..., :-1] * centred[..., 1:]),
        "queries": (centred[..., :-1, :] * centred[..., 1:, :]),
        "halves of a number": (centred[..., :496, :] * centred[..., 16:, :]),
        "blocks": (centred[..., :480, :] * centred[..., 32:, :]),
        "heads": (centred[:, 0] * centred[:, 1]),
        "sequences": (centred[0] * centred[1]),
    }
    for name, product in neighbours.items():
        assert abs(float(product.mean())) < 4.5 / product.numel() ** 0.5, name
    rows = kept.mean(-1).flatten()
    assert abs(float(rows.std()) / (probability * (1 - probability) / 512) ** 0.5 - 1) < 0.1


def test_seeds_differ_and_none_is_kept() -> None:
    one, other = (explicit(64, 64, (1, 1), 0.5, seed=seed) for seed in (1, 2))
    assert 0.4 < float((one != other).double().mean()) < 0.6
    query, key, value = (torch.randn(1, 2, 1024, 32, requires_grad=True) for _ in "qkv")
    kept: list[Tensor] = []

    def pack(tensor: Tensor) -> Tensor:
        kept.append(tensor)
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        attend(query, key, value, dropout_p=0.1, backend="band")
    assert max(tensor.numel() for tensor in kept) <= query.numel()


def test_the_planner_takes_it() -> None:
    x = torch.randn(2, 8, 256, 64, requires_grad=True)
    assert plan(x, x, x, dropout_p=0.1).backend == "band"
    assert plan(x, x, x, mask=masks.Causal(), dropout_p=0.1).backend == "band"
    x = x.detach()
    wanted = F.scaled_dot_product_attention(x, x, x)
    mean = sum(attend(x, x, x, dropout_p=0.2).output for _ in range(20)) / 20
    assert float((mean - wanted).abs().mean()) < 0.1 * float(x.abs().mean())
