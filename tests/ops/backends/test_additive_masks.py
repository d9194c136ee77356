"""The fused additive kernels under masks and biases, against `reference` in float64."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise

import pytest
import torch
from torch import Tensor
from torch.autograd.graph import saved_tensors_hooks

from heedful import BackendError, attend, masks, normalizers, plan, positions, scores
from heedful.ops.backends.additive import attention, backend, launch, visible
from heedful.ops.backends.chunked import Chunked
from heedful.ops.jit import kernel as runtime
from heedful.ops.masks import Mask
from heedful.ops.scores.additive import ACTIVATIONS
from tests.ops.compare import assert_same

pytestmark = pytest.mark.skipif(runtime.unavailable() is not None, reason="kernels cannot run here")

BATCH, HEADS = 2, 3
Bias = Tensor | positions.PositionBias | None
Hiding = tuple[Mask | None, Bias]


def packed(length: int) -> Tensor:
    return torch.arange(length) // 5 * torch.ones(BATCH, 1, dtype=torch.int64)


def lengths(keys: int) -> Tensor:
    return torch.tensor([keys // 2, keys + 3])


def dense(queries: int, keys: int) -> Tensor:
    """Some of everything: an empty row, an empty column, and a head that sees all."""
    keep = (torch.arange(queries)[:, None] * 7 + torch.arange(keys) * 3) % 5 > 1
    keep = keep.repeat(HEADS, 1, 1)[None]
    keep[:, :, 0], keep[:, :, :, -1], keep[:, 1] = False, False, True
    return keep


def slopes(queries: int, keys: int) -> Tensor:
    """A bias with minus infinity in it."""
    bias = torch.linspace(-2, 2, queries * keys).view(queries, keys).sin()
    bias[1:2, : keys // 2] = -torch.inf
    return bias


# name -> the mask and the bias of a call of so many queries and keys
HIDING: dict[str, Callable[[int, int], Hiding]] = {
    "causal": lambda q, k: (masks.Causal("bottom_right"), None),
    "causal from the left": lambda q, k: (masks.Causal("top_left"), None),
    "window": lambda q, k: (masks.Window(5, 2), None),
    "window behind": lambda q, k: (masks.Window(None, 1, "bottom_right"), None),
    "padding": lambda q, k: (masks.Padding(lengths(k)), None),
    "padding a head": lambda q, k: (masks.Padding(lengths(k)[:, None] - torch.arange(3)), None),
    "all three": lambda q, k: (
        masks.Padding(lengths(k)) & masks.Causal("top_left") & masks.Window(9, 9),
        None,
    ),
    "segments": lambda q, k: (masks.Segments(packed(q), packed(k)), None),
    "segments, causal": lambda q, k: (
        masks.Segments(packed(q), packed(k)) & masks.Causal("top_left"),
        None,
    ),
    "dense": lambda q, k: (masks.Dense(dense(q, k)), None),
    "keys": lambda q, k: (masks.Dense(torch.arange(k)[None] % 3 > 0), None),
    "a bias": lambda q, k: (None, slopes(q, k)),
    "a bias a head, padding": lambda q, k: (
        masks.Padding(lengths(k)),
        torch.randn(1, HEADS, 1, k).expand(BATCH, HEADS, 1, k),
    ),
    "distance": lambda q, k: (
        masks.Causal("top_left"),
        positions.ALiBi(torch.tensor([0.5, 1.0, 0.1])),
    ),
    "not causal": lambda q, k: (~masks.Causal("top_left") | masks.Window(1, 0), None),
}
# queries, keys, hidden, width
SIZES = {
    "one query": (1, 33, 9, 5),
    "odd": (21, 70, 19, 37),
    "several chunks": (37, 530, 16, 32),
    "several blocks": (300, 40, 5, 16),
}
Leaves = list[Tensor]


def drawn(queries: int, keys: int, hidden: int, width: int) -> Leaves:
    """Inputs of which none is contiguous, keys shared by the heads."""
    query = torch.randn(queries, BATCH, HEADS, 4).permute(1, 2, 0, 3)
    key = torch.randn(BATCH, 1, 6, keys).mT
    value = torch.randn(BATCH, HEADS, keys, 2 * width)[..., ::2]
    return [
        query,
        key,
        value,
        torch.randn(4, hidden) / 2,
        torch.randn(6, hidden) / 2,
        torch.randn(hidden) / hidden**0.5,
    ]


def cast(bias: Bias, dtype: torch.dtype) -> Bias:
    if isinstance(bias, positions.ALiBi):
        return positions.ALiBi(bias.slopes.to(dtype))
    return bias.to(dtype) if isinstance(bias, Tensor) else bias


def results(
    tensors: Leaves,
    hiding: Hiding,
    activation: str,
    dtype: torch.dtype,
    name: str,
    *,
    of_weights: bool = False,
) -> Leaves:
    """Output, weights and all gradients of one direction of the output, and of the weights if asked for."""
    leaves = [tensor.to(dtype).requires_grad_() for tensor in tensors]
    score = scores.Additive(*leaves[3:], activation=activation)  # type: ignore[arg-type]
    mask, bias = hiding
    output, weights = attend(
        *leaves[:3],
        score=score,
        mask=mask,
        bias=cast(bias, dtype),
        backend=name,
        return_weights=True,
    )
    assert weights is not None
    wanted = [output, weights] if of_weights else [output]
    directions = [
        torch.linspace(-1, 1, one.numel(), dtype=torch.float64).cos().view(one.shape).to(dtype)
        for one in wanted
    ]
    return [output.detach(), weights.detach(), *torch.autograd.grad(wanted, leaves, directions)]


def assert_agree(
    tensors: Leaves, hiding: Hiding, activation: str, dtype: torch.dtype, **options: bool
) -> None:
    wanted = results(tensors, hiding, activation, torch.float64, "reference", **options)
    got = results(tensors, hiding, activation, dtype, "additive", **options)
    names = ("output", "weights", "query", "key", "value", "W_q", "W_k", "vector")
    for name, one, other in zip(names, got, wanted, strict=True):
        assert_same(one.double(), other, name, dtype=dtype)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("activation", ACTIVATIONS)
@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("name", HIDING)
def test_outputs_weights_and_gradients(
    name: str, size: str, activation: str, dtype: torch.dtype, monkeypatch: pytest.MonkeyPatch
) -> None:
    # What is added two rows at a time, or all at once.
    monkeypatch.setattr(visible, "FEWEST_ROWS", 2 if activation == "tanh" else 1000)
    queries, keys, *_ = SIZES[size]
    assert_agree(drawn(*SIZES[size]), HIDING[name](queries, keys), activation, dtype)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("activation", ACTIVATIONS)
@pytest.mark.parametrize("size", SIZES)
def test_without_a_mask(size: str, activation: str, dtype: torch.dtype) -> None:
    assert_agree(drawn(*SIZES[size]), (None, None), activation, dtype)


@pytest.mark.parametrize("name", ["causal", "segments", "a bias a head, padding", "dense"])
def test_gradients_that_arrive_at_the_weights(name: str) -> None:
    tensors, hiding = drawn(21, 30, 9, 5), HIDING[name](21, 30)
    assert_agree(tensors, hiding, "tanh", torch.float64, of_weights=True)


def test_gradients_that_arrive_at_the_weights_alone_are_cut_into_blocks(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(attention, "BLOCK_BYTES", 3 * 30 * 6 * 8)
    query, key, value, *maps = (tensor.double().requires_grad_() for tensor in drawn(8, 30, 9, 5))
    found = []
    for name in ("additive", "reference"):
        weights = attend(
            query, key, value, score=scores.Additive(*maps), backend=name, return_weights=True
        ).weights
        assert weights is not None
        found.append(torch.autograd.grad((weights**2).sum(), (query, key, *maps)))
    for got, wanted in zip(*found, strict=True):
        assert_same(got, wanted)


@pytest.mark.parametrize("name", HIDING)
def test_asking_for_weights_changes_no_bit(name: str) -> None:
    query, key, value, *maps = drawn(70, 70, 20, 40)
    mask, bias = HIDING[name](70, 70)
    options = {"score": scores.Additive(*maps), "mask": mask, "bias": bias, "backend": "additive"}
    without = attend(query, key, value, **options)  # type: ignore[arg-type]
    asked = attend(query, key, value, return_weights=True, **options)  # type: ignore[arg-type]
    assert without.weights is None
    assert asked.weights is not None
    assert torch.equal(without.output, asked.output)
    assert_same(asked.weights @ value, asked.output)


@pytest.mark.parametrize("threads", [2, 3])
@pytest.mark.parametrize("name", ["causal", "padding", "segments"])
def test_any_share_of_the_work_gives_the_same(
    name: str, threads: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(launch, "parts_for", lambda work: threads)
    assert_agree(drawn(67, 70, 9, 16), HIDING[name](67, 70), "tanh", torch.float32)


@pytest.mark.parametrize("hidden", ["padding", "causal", "dense", "bias"])
@pytest.mark.parametrize("place", [0, 1, 2])
def test_what_is_hidden_reaches_nothing(place: int, hidden: str) -> None:
    """NaN in an unseen key or value, or in a query that sees nothing, changes no output and no gradient."""
    tensors = drawn(6, 9, 5, 4)
    keep = dense(6, 9)[:, :1] & (torch.arange(BATCH) > 0)[:, None, None, None]
    hiding: dict[str, Hiding] = {
        "padding": (masks.Padding(torch.tensor([0, 4])), None),
        "causal": (masks.Causal("top_left") & masks.Padding(torch.tensor([0, 9])), None),
        "dense": (masks.Dense(keep), None),
        "bias": (None, torch.where(keep, 0.5, -torch.inf)),
    }
    spoilt = [tensor.clone() for tensor in tensors]
    spoilt[place][0] = torch.nan
    if place:
        spoilt[place][1, ..., -1, 1] = torch.inf
    for name in ("tanh", "leaky_relu"):
        clean, got = (
            results(given, hiding[hidden], name, torch.float32, "additive")
            for given in (tensors, spoilt)
        )
        for one, other in zip(got, clean, strict=True):
            assert_same(one, other)


@pytest.mark.parametrize("place", [1, 2])
def test_what_is_seen_spoils_the_rows_that_see_it(place: int) -> None:
    query, key, value, *maps = drawn(9, 9, 5, 4)
    given = [query, key.clone(), value.clone()]
    given[place][:, :, 5, 1] = torch.nan
    output = attend(*given, score=scores.Additive(*maps), mask=masks.Causal(), backend="additive")
    assert bool(output.output[:, :, 5:].isnan().all())
    assert bool(output.output[:, :, :5].isfinite().all())


def test_keys_outside_the_bounds_are_not_computed(monkeypatch: pytest.MonkeyPatch) -> None:
    """A key that was read would spoil its row, since it is NaN."""
    query, key, value, *maps = drawn(200, 200, 5, 16)
    key, value = key.clone(), value.clone()
    key[:, :, 100:], value[:, :, 100:] = torch.nan, torch.nan
    monkeypatch.setattr(Chunked, "run", lambda self, call: pytest.fail("was read"))
    for mask in (masks.Padding(torch.tensor([100, 90])), masks.Causal("top_left")):
        rows = query if isinstance(mask, masks.Padding) else query[:, :, :100]
        output = attend(
            rows, key, value, score=scores.Additive(*maps), mask=mask, backend="additive"
        )
        assert bool(output.output.isfinite().all())


def test_operations_and_seconds_follow_the_bounds() -> None:
    x, maps = torch.randn(1, 512, 8), (torch.randn(8, 64), torch.randn(8, 64), torch.randn(64))
    options = {"score": scores.Additive(*maps), "backend": "additive"}
    whole, near = (
        plan(x, x, x, mask=mask, **options)  # type: ignore[arg-type]
        for mask in (None, masks.Window(8, 8))
    )
    assert near.flops < whole.flops / 5
    assert near.seconds < whole.seconds / 5


def test_only_some_rows_of_what_is_added_exist_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(visible, "PIECE_BYTES", 32 * 70 * 4)
    monkeypatch.setattr(visible, "FEWEST_ROWS", 8)
    tensors, hiding = drawn(100, 70, 5, 4), HIDING["segments"](100, 70)
    assert_agree(tensors, hiding, "tanh", torch.float32)
    rows: list[int] = []
    tile = visible.Added.tile

    def noted(self: visible.Added, part: object) -> Tensor:
        rows.append(tile(self, part).shape[-2])  # type: ignore[arg-type]
        return tile(self, part)  # type: ignore[arg-type]

    monkeypatch.setattr(visible.Added, "tile", noted)
    results(tensors, hiding, "tanh", torch.float32, "additive")
    assert max(rows) == 16
    assert sum(rows) >= 200


def test_a_bias_that_is_there_is_not_copied(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[int] = []
    real = launch.launch

    def noted(kernel: object, *arguments: object, **options: object) -> None:
        seen.extend(one.data_ptr() for one in arguments if isinstance(one, Tensor))
        real(kernel, *arguments, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(launch, "launch", noted)
    query, key, value, *maps = drawn(12, 9, 5, 4)
    bias = torch.randn(12, 9)
    attend(query, key, value, score=scores.Additive(*maps), bias=bias, backend="additive")
    assert bias.data_ptr() in seen


def kept(length: int) -> int:
    """Bytes that a causal call keeps for its backward pass."""
    storages: dict[int, int] = {}

    def pack(tensor: Tensor) -> Tensor:
        storages[tensor.untyped_storage().data_ptr()] = tensor.untyped_storage().nbytes()
        return tensor

    query, key, value, *maps = (tensor.requires_grad_() for tensor in drawn(length, length, 8, 16))
    mask = masks.Causal() & masks.Segments(packed(length), packed(length))
    with saved_tensors_hooks(pack, lambda tensor: tensor):
        attend(query, key, value, score=scores.Additive(*maps), mask=mask, backend="additive")
    return sum(storages.values())


def test_what_is_kept_is_linear_in_the_length() -> None:
    sizes = [kept(length) for length in (64, 128, 256)]
    first, second = (after - before for before, after in pairwise(sizes))
    assert 1.9 * first <= second <= 2.1 * first


@pytest.mark.parametrize("name", ["causal", "segments", "a bias a head, padding"])
def test_second_derivatives(name: str) -> None:
    found = []
    tensors, (mask, bias) = drawn(5, 8, 4, 3), HIDING[name](5, 8)
    for backend_name in ("additive", "reference"):
        leaves = [tensor.double().requires_grad_() for tensor in tensors]
        output = attend(
            *leaves[:3],
            score=scores.Additive(*leaves[3:]),
            mask=mask,
            bias=cast(bias, torch.float64),
            backend=backend_name,
        ).output
        first = torch.autograd.grad((output**2).sum(), leaves, create_graph=True)
        total = torch.stack([(gradient**2).sum() for gradient in first]).sum()
        found.append(torch.autograd.grad(total, leaves))
    for got, wanted in zip(*found, strict=True):
        assert_same(got, wanted)


@pytest.mark.parametrize("name", ["causal", "segments"])
def test_many_gradients_at_once(name: str) -> None:
    leaves = [tensor.requires_grad_() for tensor in drawn(9, 12, 5, 4)]
    mask, _ = HIDING[name](9, 12)
    score = scores.Additive(*leaves[3:])
    output = attend(*leaves[:3], score=score, mask=mask, backend="additive").output
    directions = torch.randn(3, *output.shape)
    together = torch.autograd.grad(
        output, leaves, directions, is_grads_batched=True, retain_graph=True
    )
    for place, direction in enumerate(directions):
        single = torch.autograd.grad(output, leaves, direction, retain_graph=True)
        for got, wanted in zip(together, single, strict=True):
            assert_same(got[place], wanted)


@pytest.mark.parametrize("create_graph", [False, True])
def test_a_backward_pass_under_autocast_keeps_its_precision(create_graph: bool) -> None:
    leaves = [tensor.requires_grad_() for tensor in drawn(9, 12, 5, 4)]
    output = attend(*leaves[:3], score=scores.Additive(*leaves[3:]), backend="additive").output
    upstream = torch.randn_like(output)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        found = torch.autograd.grad(
            output, leaves, upstream, retain_graph=True, create_graph=create_graph
        )
    for got, wanted in zip(found, torch.autograd.grad(output, leaves, upstream), strict=True):
        assert_same(got, wanted)


def test_lazily_negated_numbers() -> None:
    """`torch.compile` and complex numbers hand on views whose memory has the other sign."""
    tensors = [torch._neg_view(-tensor) for tensor in drawn(9, 12, 5, 4)]
    bias = torch._neg_view(torch.randn(9, 12))
    assert all(tensor.is_neg() for tensor in (*tensors, bias))
    solid = [tensor.resolve_neg() for tensor in tensors]
    output, wanted = (
        attend(*given[:3], score=scores.Additive(*given[3:]), bias=added, backend="additive").output
        for given, added in ((tensors, bias), (solid, bias.resolve_neg()))
    )
    assert_same(output, wanted)
    leaf = solid[0].requires_grad_()
    score = scores.Additive(*solid[3:])
    output = attend(leaf, *solid[1:3], score=score, backend="additive").output
    upstream = torch.randn_like(output)
    for given in (torch._neg_view(-upstream), upstream):
        found = torch.autograd.grad(output, leaf, given, retain_graph=True)[0]
        assert_same(found, torch.autograd.grad(output, leaf, upstream, retain_graph=True)[0])


def test_what_it_does_not_serve_it_says() -> None:
    x, bias = torch.randn(3, 4), torch.zeros(3, 3, requires_grad=True)
    score = scores.Additive(torch.eye(4), torch.eye(4), torch.ones(4))
    refused: list[tuple[str, dict[str, object]]] = [
        ("the score is dot", {"score": scores.Dot()}),
        ("not by sparsemax", {"normalizer": normalizers.Sparsemax()}),
        ("no dropout", {"dropout_p": 0.1}),
        ("no gradient of a bias", {"bias": bias}),
    ]
    for reason, options in refused:
        with pytest.raises(BackendError, match=reason):
            attend(x, x, x, **({"score": score, "backend": "additive"} | options))  # type: ignore[arg-type]
    meta = x.to("meta")
    held = scores.Additive(*(tensor.to("meta") for tensor in score.tensors()))
    with pytest.raises(BackendError, match="on meta"):
        attend(meta, meta, meta, score=held, backend="additive")


def test_numbers_are_looked_at_only_while_it_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    """A choice by shapes can be remembered: what is not finite is left to `chunked` by `run`."""
    query, key, value, *maps = drawn(9, 9, 5, 4)
    key[:, :, 8] = torch.nan
    options = {"score": scores.Additive(*maps), "mask": masks.Causal()}
    assert plan(query, key, value, **options).backend == "additive"  # type: ignore[arg-type]
    ran: list[str] = []
    real = Chunked.run

    def noted(self: Chunked, call: object) -> object:
        ran.append(self.name)
        return real(self, call)  # type: ignore[arg-type]

    monkeypatch.setattr(Chunked, "run", noted)
    attend(query, key, value, backend="additive", **options)  # type: ignore[arg-type]
    assert ran == ["chunked"]


@pytest.mark.parametrize("place", range(4))
def test_the_comparison_sees_a_fault(place: int, monkeypatch: pytest.MonkeyPatch) -> None:
    right = attention.attend_backward

    def wrong(*given: object) -> tuple[Tensor, ...]:
        found = right(*given)  # type: ignore[arg-type]
        found[place].view(-1)[0] += 1e-3
        return found

    monkeypatch.setattr(attention, "attend_backward", wrong)
    with pytest.raises(AssertionError, match="of"):
        assert_agree(drawn(9, 9, 5, 4), HIDING["causal"](9, 9), "tanh", torch.float32)


def test_intervals_are_those_masks_that_bounds_and_lengths_say() -> None:
    padding = masks.Padding(torch.tensor([1]))
    assert backend.is_interval(padding & masks.Causal() & masks.Window(1, 1))
    assert not backend.is_interval(padding | masks.Causal())
    assert not backend.is_interval(~masks.Causal())
