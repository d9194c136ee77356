"""Masks as bits in the banded kernels: any mask, alone and joined, equal to the reference, forward and backward."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from heedful import attend, masks, plan, scores
from heedful.ops.backends.band.packing import unpacked
from heedful.ops.backends.band.words import GAP
from heedful.ops.masks import Mask
from tests.ops.backends.test_band_whole import B, D, H, assert_equals_reference, tensors
from tests.ops.compare import assert_same


def documents(length: int, *sizes: int) -> Tensor:
    """Ids of documents of so many tokens, packed one after the other; the last one takes what is left."""
    ids = torch.arange(len(sizes)).repeat_interleave(torch.tensor(sizes))[:length]
    return torch.cat([ids, torch.full((length - len(ids),), len(sizes))])


def spread(queries: int, keys: int) -> Tensor:
    """Keys in a few far places, so that spans end and begin again."""
    keep = torch.zeros(queries, keys, dtype=torch.bool)
    keep[:, : keys // 8] = torch.rand(queries, keys // 8) > 0.5
    keep[:, -3:] = True
    keep[queries // 2, :] = False
    return keep


MASKS: dict[str, Callable[[int, int], Mask]] = {
    "dense": lambda queries, keys: masks.Dense(torch.rand(queries, keys) > 0.5),
    "a batch": lambda queries, keys: masks.Dense(torch.rand(B, 1, queries, keys) > 0.5),
    "a head": lambda queries, keys: masks.Dense(torch.rand(1, H, queries, keys) > 0.5),
    "a head of a batch": lambda queries, keys: masks.Dense(torch.rand(B, H, queries, keys) > 0.5),
    "of keys alone": lambda queries, keys: masks.Dense(torch.rand(B, 1, 1, keys) > 0.5),
    "of queries alone": lambda queries, keys: masks.Dense(torch.rand(1, H, queries, 1) > 0.5),
    "transposed": lambda queries, keys: masks.Dense((torch.rand(keys, queries) > 0.5).T),
    "spread": lambda queries, keys: masks.Dense(spread(queries, keys)),
    "nothing": lambda queries, keys: masks.Dense(torch.zeros(queries, keys, dtype=torch.bool)),
    "everything": lambda queries, keys: masks.Dense(torch.ones(queries, keys, dtype=torch.bool)),
    "documents": lambda queries, keys: masks.Segments(
        documents(queries, 40, 3, 20), documents(keys, 50, 13, 20)
    ),
    "documents of a batch": lambda queries, keys: masks.Segments(
        torch.stack([documents(queries, 40), documents(queries, 2, 2, 2)]),
        torch.stack([documents(keys, 33, 32), documents(keys, 0, 60)]),
    ),
    "mixed documents": lambda queries, keys: masks.Segments(
        torch.randint(3, (B, queries)), torch.randint(3, (B, keys))
    ),
    "causal documents": lambda queries, keys: (
        masks.Causal(align="top_left")
        & masks.Segments(documents(queries, 40, 3), documents(keys, 40, 3))
    ),
    "left padding": lambda queries, keys: masks.LeftPadding(torch.tensor([keys // 2, 0])),
    "ragged": lambda queries, keys: masks.Ragged(
        torch.tensor([queries, 9]), torch.tensor([keys, keys // 2]), left=20
    ),
    "window and dense": lambda queries, keys: (
        masks.Window(21, 40) & masks.Dense(torch.rand(queries, keys) > 0.5)
    ),
    "window, padding and documents": lambda queries, keys: (
        masks.Window(9, 70)
        & masks.Padding(torch.tensor([keys - 5, keys]))
        & masks.Segments(documents(queries, 40), documents(keys, 50))
    ),
    "two masks": lambda queries, keys: (
        masks.Dense(torch.rand(queries, keys) > 0.3)
        & masks.Dense(torch.rand(B, 1, queries, keys) > 0.3)
    ),
    "either": lambda queries, keys: (
        masks.Window(3, 3) | masks.Dense(torch.rand(queries, keys) > 0.8)
    ),
}
LENGTHS = [(64, 64), (70, 33), (33, 195), (130, 400), (1, 40)]


@pytest.mark.parametrize("name", MASKS)
@pytest.mark.parametrize(("queries", "keys"), LENGTHS)
def test_any_mask_equals_reference(name: str, queries: int, keys: int) -> None:
    assert_equals_reference(tensors(queries, keys), MASKS[name](queries, keys))


@pytest.mark.parametrize("name", ["spread", "documents", "a head", "mixed documents"])
def test_weights_with_spans_left_out(name: str) -> None:
    inputs, mask = tensors(70, 400, learned=False), MASKS[name](70, 400)
    got = attend(*inputs, mask=mask, backend="band", return_weights=True)
    wanted = attend(*inputs, mask=mask, backend="reference", return_weights=True)
    plain = attend(*inputs, mask=mask, backend="band")
    assert torch.equal(plain.output, got.output)
    assert got.weights is not None
    assert wanted.weights is not None
    assert_same(got.weights, wanted.weights)


@pytest.mark.parametrize("name", ["a head", "documents of a batch", "dense"])
def test_heads_that_share_keys(name: str) -> None:
    query = torch.randn(B, H, 50, D, dtype=torch.float64, requires_grad=True)
    key, value = (torch.randn(B, 1, 60, D, dtype=torch.float64, requires_grad=True) for _ in "kv")
    assert_equals_reference((query, key, value), MASKS[name](50, 60), enable_gqa=True)


@pytest.mark.parametrize("name", ["a head", "documents of a batch", "two masks"])
def test_a_bias_beside_the_mask(name: str) -> None:
    bias = torch.randn(1, H, 70, 95, dtype=torch.float64)
    assert_equals_reference(tensors(70, 95), MASKS[name](70, 95), bias=bias)
    capped = scores.SoftCapped(2.0)
    assert_equals_reference(tensors(70, 95), MASKS[name](70, 95), bias=bias, score=capped)


BIASES: dict[str, tuple[int, ...]] = {
    "of pairs": (70, 95),
    "of a head": (1, H, 70, 95),
    "of a sequence": (B, 1, 70, 95),
    "of all": (B, H, 70, 95),
    "of keys": (B, 1, 1, 95),
    "of queries": (1, H, 70, 1),
}


@pytest.mark.parametrize("mask", [None, "causal documents", "a head", "nothing", "spread"])
@pytest.mark.parametrize("name", BIASES)
def test_biases_are_read_where_they_lie(name: str, mask: str | None) -> None:
    bias = torch.randn(BIASES[name], dtype=torch.float64)
    bias[..., 3 % bias.shape[-1]] = -torch.inf
    made = None if mask is None else MASKS[mask](70, 95)
    assert_equals_reference(tensors(70, 95), made, bias=bias)
    if bias.shape[-1] > 1:
        wide = torch.randn(*bias.shape[:-1], 120, dtype=torch.float64)
        assert_equals_reference(tensors(70, 95), made, bias=wide[..., 5:100])
        assert_equals_reference(tensors(70, 95), made, bias=bias.mT.contiguous().mT)
    assert_equals_reference(tensors(70, 95), masks.Window(9, 40), bias=bias)


@pytest.mark.parametrize("lead", [(), (3,), (2, 2, 3)])
def test_any_leading_axes(lead: tuple[int, ...]) -> None:
    ids = torch.randint(2, (*lead, 40))
    for mask in (masks.Segments(ids, ids), masks.Dense(torch.rand(*lead, 40, 40) > 0.5)):
        assert_equals_reference(tensors(40, 40, lead=lead), mask)
    bias = torch.randn(*lead, 40, 40, dtype=torch.float64)
    assert_equals_reference(tensors(40, 40, lead=lead), None, bias=bias)


@pytest.mark.parametrize("name", ["dense", "documents", "left padding", "spread"])
@pytest.mark.parametrize("poison", [torch.nan, torch.inf, -torch.inf])
@pytest.mark.parametrize("index", range(3))
def test_what_is_hidden_or_not_finite_reaches_what_it_reaches_by_the_definition(
    name: str, poison: float, index: int
) -> None:
    operands = [one.detach().clone() for one in tensors(64, 64)]
    operands[index][:, :, 40, 2] = poison
    mask = MASKS[name](64, 64)
    found = [
        attend(*operands, mask=mask, backend=backend).output for backend in ("band", "reference")
    ]
    assert torch.equal(found[0].isnan(), found[1].isnan())
    assert_same(found[0].nan_to_num(), found[1].nan_to_num())
    for one in operands:
        one.requires_grad_()
    slopes = []
    for backend in ("band", "reference"):
        output = attend(*operands, mask=mask, backend=backend).output
        clean = output[torch.isfinite(output)].sum()
        slopes.append([one.nan_to_num() for one in torch.autograd.grad(clean, operands)])
    for got, wanted in zip(*slopes, strict=True):
        assert_same(got, wanted)


def test_words_of_bits() -> None:
    words = torch.tensor([0, 1, -1, -(2**31)], dtype=torch.int32)
    bits = unpacked(words)
    assert bits.shape == (4, 32)
    assert bits.sum(-1).tolist() == [0, 1, 32, 1]
    assert bool(bits[1, 0])
    assert bool(bits[3, 31])


def test_keys_between_documents_are_skipped() -> None:
    """Values that no query sees are not multiplied: NaN there would send the call to plain mathematics."""
    query, key, value = tensors(64, 512, learned=False)
    keep = torch.zeros(64, 512, dtype=torch.bool)
    keep[:, :10] = keep[:, 10 + 2 * GAP : 20 + 2 * GAP] = True
    value[:, :, 20 + 2 * GAP :] = torch.nan
    from heedful.ops.backends.band import passes

    calls: list[int] = []
    original = passes.plain_blocks
    passes.plain_blocks = lambda *given, **more: calls.append(1) or original(*given, **more)  # type: ignore[assignment, func-returns-value]
    try:
        attend(query, key, value, mask=keep, backend="band")
    finally:
        passes.plain_blocks = original
    assert not calls


def test_the_planner_takes_the_kernels_for_long_masks() -> None:
    x = torch.randn(4, 8, 1024, 64)
    ids = torch.arange(1024) // 256
    assert plan(x, x, x, mask=masks.Segments(ids, ids)).backend == "band"
