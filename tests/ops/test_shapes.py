"""Axes, sizes and layouts: one call equals many smaller ones."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch import Tensor

from heedful import Attended, attend, masks, normalizers, plan, positions, scores
from heedful.ops.normalizers import NORMALIZERS
from heedful.ops.scores import SCORES
from tests.ops.compare import assert_all_same, assert_same, gradients, run
from tests.ops.examples import (
    EQUAL_SIZES,
    HEADS,
    HERE,
    KEY_DIM,
    KEYS,
    NORMALIZER_EXAMPLES,
    QUERIES,
    QUERY_DIM,
    VALUE_DIM,
    WITHOUT_BIAS_GRADIENT,
    Example,
    example,
    open_mask,
    served_pairs,
    served_triples,
)


def one(call: Example, index: tuple[int, ...]) -> Example:
    """The call at one place of its leading axes."""
    at = (*index, slice(None), slice(None))
    picked = replace(call, query=call.query[at], key=call.key[at], value=call.value[at])
    head = {
        name: tensor[index[-1]]
        for name, tensor in call.tensors().items()
        if "." in name and index and tensor.ndim
    }
    return picked.with_tensors(
        {**{n: t for n, t in picked.tensors().items() if "." not in n}, **head}
    )


@pytest.mark.parametrize("batch", [(), (2,), (3, 2), (2, 1, 2), (2, 2, 1, 2)])
@pytest.mark.parametrize(("score", "backend"), served_pairs())
def test_any_number_of_leading_axes_equals_a_loop(
    score: str, batch: tuple[int, ...], backend: str
) -> None:
    call = example(score, "dense", batch=batch, parameters=batch[-1:])
    output, weights = run(call, backend=backend, return_weights=True)
    assert output.shape == (*batch, QUERIES, VALUE_DIM)
    assert weights is not None
    assert weights.shape == (*batch, QUERIES, KEYS)
    for index in (
        torch.cartesian_prod(*map(torch.arange, batch)).reshape(-1, len(batch)).tolist()
        if batch
        else []
    ):
        assert_same(output[tuple(index)], run(one(call, tuple(index)), backend="reference").output)


@pytest.mark.parametrize(("score", "backend"), served_pairs("auto"))
@pytest.mark.parametrize("value_dim", [0, 1, 4, 9])
def test_any_value_size(score: str, backend: str, value_dim: int) -> None:
    call = replace(example(score, "causal"), value=torch.randn(2, HEADS, KEYS, value_dim).double())
    assert_all_same(gradients(call, backend=backend), gradients(call, backend="reference"))


@pytest.mark.parametrize("score", SCORES)
@pytest.mark.parametrize("normalizer", NORMALIZERS)
def test_parameters_shared_by_all_heads_equal_repeated_ones(score: str, normalizer: str) -> None:
    shared = example(score, "dense", normalizer, parameters=())
    repeated = shared.with_tensors(
        {
            name: tensor.expand(HEADS, *tensor.shape)
            for name, tensor in shared.tensors().items()
            if "." in name
        }
    )
    got, wanted = gradients(repeated), gradients(shared)
    summed = {name: tensor.sum(0) if "." in name else tensor for name, tensor in got.items()}
    assert_all_same(summed, wanted)


@pytest.mark.parametrize("backend", HERE)
@pytest.mark.parametrize("axes", [(1, HEADS), (2, 1), (1, 1)])
def test_leading_axes_broadcast(backend: str, axes: tuple[int, int]) -> None:
    call = example("scaled_dot", "padding")
    narrow = replace(
        call, key=call.key[: axes[0], : axes[1]], value=call.value[: axes[0], : axes[1]]
    )
    wide = replace(
        narrow, key=narrow.key.expand_as(call.key), value=narrow.value.expand_as(call.value)
    )
    assert_same(run(narrow, backend=backend).output, run(wide, backend="reference").output)
    few = replace(call, query=call.query[: axes[0], : axes[1]])
    many = replace(few, query=few.query.expand_as(call.query))
    assert_same(run(few, backend=backend).output, run(many, backend="reference").output)


@pytest.mark.parametrize(("score", "normalizer", "backend"), served_triples())
@pytest.mark.parametrize("key_heads", [1, 2])
def test_grouped_heads_equal_repeated_ones(
    score: str, normalizer: str, backend: str, key_heads: int
) -> None:
    call = example(score, "padding", normalizer, batch=(2, 4), parameters=())
    grouped = replace(call, key=call.key[:, :key_heads], value=call.value[:, :key_heads])
    repeated = replace(
        grouped,
        key=grouped.key.repeat_interleave(4 // key_heads, 1),
        value=grouped.value.repeat_interleave(4 // key_heads, 1),
    )
    got = gradients(grouped, backend=backend, enable_gqa=True)
    wanted = gradients(repeated, backend="reference")
    for name in ("key", "value"):
        wanted[name] = wanted[name].unflatten(1, (key_heads, -1)).sum(2)
    assert_all_same(got, wanted)


def test_grouped_heads_hide_what_a_mask_hides() -> None:
    call = example("additive", "padding", batch=(2, 4), parameters=())
    grouped = replace(call, key=call.key[:, :2].clone(), value=call.value[:, :2].clone())
    wanted = gradients(grouped, enable_gqa=True)
    grouped.key[1, :, 3] = torch.nan
    grouped.value[0] = torch.inf
    assert_all_same(gradients(grouped, enable_gqa=True), wanted)


@pytest.mark.parametrize("backend", HERE)
def test_grouped_heads_without_batch(backend: str) -> None:
    query, key = torch.randn(4, 3, 8), torch.randn(2, 5, 8)
    mask = open_mask(backend, 3, 5)
    got = attend(query, key, key, mask=mask, enable_gqa=True, backend=backend).output
    repeated = key.repeat_interleave(2, 0)
    assert_same(got, attend(query, repeated, repeated, backend="reference").output)


@pytest.mark.parametrize(("score", "backend"), served_pairs("auto"))
def test_a_prepared_key_equals_the_key(score: str, backend: str) -> None:
    call = example(score, "dense")
    leaves = call.leaves()
    prepared = leaves.score.prepare_key(leaves.key)
    output = attend(**{**leaves.arguments(backend), "key": prepared}, backend=backend).output  # type: ignore[arg-type]
    assert_same(output.detach(), run(call, backend=backend).output)
    direction = torch.linspace(-1, 1, output.numel(), dtype=torch.float64).view(output.shape)
    tensors = leaves.tensors()
    got = dict(
        zip(tensors, torch.autograd.grad(output, list(tensors.values()), direction), strict=True)
    )
    assert_all_same({"output": output.detach(), **got}, gradients(call, backend="reference"))


@pytest.mark.parametrize(("score", "backend"), served_pairs("auto"))
def test_strides_do_not_matter(score: str, backend: str) -> None:
    call = example(score, "dense")
    strided = call.with_tensors(
        {
            name: tensor.transpose(0, -1).contiguous().transpose(0, -1).expand(tensor.shape)
            for name, tensor in call.tensors().items()
        }
    )
    assert not strided.query.is_contiguous()
    assert_all_same(gradients(strided, backend=backend), gradients(call, backend="reference"))


# With one query every score, normalizer and backend runs; with nothing to do the door answers before any of them, so
# there each entry of a table comes once.
ONE = [(*triple, 1, keys) for triple in served_triples() for keys in (4, 1)]
NOTHING = [
    (score, normalizer, backend, queries, keys)
    for queries, keys in [(0, 4), (3, 0), (0, 0)]
    for score, normalizer, backend in served_triples("auto")
    if (normalizer == "softmax" and backend == "auto") or score == "scaled_dot"
]


@pytest.mark.parametrize(("score", "normalizer", "backend", "queries", "keys"), ONE + NOTHING)
def test_one_or_no_queries_and_keys(
    score: str, normalizer: str, backend: str, queries: int, keys: int
) -> None:
    learned = backend not in WITHOUT_BIAS_GRADIENT
    call = example(score, None, normalizer, queries=queries, keys=keys, bias=learned)
    leaves = call.leaves()
    output, weights = run(leaves, backend=backend, return_weights=True)
    assert output.shape == (2, HEADS, queries, VALUE_DIM)
    assert weights is not None
    assert weights.shape == (2, HEADS, queries, keys)
    output.sum().backward()
    for name, tensor in leaves.tensors().items():
        assert tensor.grad is not None, name
        assert tensor.grad.shape == tensor.shape
        assert queries * keys or not bool(tensor.grad.any()), name
    if queries * keys:
        assert_same(output.detach(), run(call, backend="reference").output)
    else:
        assert not bool(output.any())


WINDOWED: dict[str, dict[str, object]] = {
    **{
        f"{name} normalizer": {"normalizer": made((HEADS,), torch.float64)}
        for name, made in NORMALIZER_EXAMPLES.items()
    },
    **{f"{name} score": {"score": example(name).score} for name in SCORES},
    "position bias": {"bias": positions.ALiBi.for_heads(HEADS)},
    "dropout": {"dropout_p": 0.5},
    "weights": {"return_weights": True},
}


@pytest.mark.parametrize("queries_and_keys", [(0, 0), (0, 4), (3, 0)])
@pytest.mark.parametrize("options", WINDOWED.values(), ids=WINDOWED)
@pytest.mark.parametrize("backend", ["auto", "band", "chunked", "reference"])
@pytest.mark.parametrize("parameter", [False, True])
def test_a_bounded_window_over_no_queries_or_keys(
    backend: str, options: dict[str, object], queries_and_keys: tuple[int, int], parameter: bool
) -> None:
    queries, keys = queries_and_keys
    score = options.get("score", scores.ScaledDot())
    key_dim = QUERY_DIM if score.name in EQUAL_SIZES else KEY_DIM  # type: ignore[attr-defined]
    shapes = ((queries, QUERY_DIM), (keys, key_dim), (keys, VALUE_DIM))
    operands = [torch.randn(2, HEADS, *shape).double().requires_grad_() for shape in shapes]
    given = {"bias": torch.randn(queries, keys, requires_grad=parameter), **options}
    for mask in (masks.Window(1, 1), masks.Causal("bottom_right") & masks.Window(2, None)):
        call = {"mask": mask, "backend": backend, **given}
        plan(*operands, **call)  # type: ignore[arg-type]
        output = attend(*operands, **call).output  # type: ignore[arg-type]
        assert output.shape == (2, HEADS, queries, VALUE_DIM)
        assert not bool(output.any())
        gradients = torch.autograd.grad(output.sum(), operands)
        assert not any(bool(gradient.any()) for gradient in gradients)


NOTHING_KEPT = {
    "window beside another": masks.Window(9, 3) & ~masks.Window(9, 3),
    "behind the last key": masks.Window(9, 2) & ~masks.Causal("top_left"),
    "before the first key": masks.Causal("top_left") & ~masks.Window(9, None, align="top_left"),
    "and a tensor": masks.Window(3, 2) & ~masks.Causal("top_left") & torch.ones(5, 1).bool(),
}


@pytest.mark.parametrize("mask", NOTHING_KEPT.values(), ids=NOTHING_KEPT)
@pytest.mark.parametrize(("score", "normalizer", "backend"), served_triples("auto"))
def test_a_mask_that_keeps_no_cell(
    score: str, normalizer: str, backend: str, mask: masks.Mask
) -> None:
    call = replace(example(score, None, normalizer, queries=5, keys=1), mask=mask)
    for name, tensor in gradients(call, backend=backend).items():
        assert not bool(tensor.any()), name
    weights = run(call, backend=backend, return_weights=True).weights
    assert weights is not None
    assert not bool(weights.any())


@pytest.mark.parametrize("backend", ["auto", "edges", "chunked", "band"])
def test_an_additive_score_of_no_features(backend: str) -> None:
    made = scores.Additive(torch.ones(2, 0), torch.ones(2, 0), torch.ones(0))
    other = scores.Additive(torch.ones(0, 3), torch.ones(0, 3), torch.ones(3))
    value = torch.tensor([[2.0], [4.0]]).requires_grad_()
    for score, features in ((made, 2), (other, 0)):
        query, key = torch.ones(5, features), torch.ones(2, features)
        mask = open_mask(backend, 5, 2)
        output = attend(query, key, value, score=score, mask=mask, backend=backend).output
        assert output.tolist() == [[3.0]] * 5
        output.sum().backward()


def test_an_unknown_backend_is_refused_even_with_no_keys() -> None:
    with pytest.raises(ValueError, match="did you mean 'chunked'"):
        attend(torch.ones(1, 2), torch.ones(0, 2), torch.ones(0, 2), backend="chunkd")


def test_no_features_scores_zero() -> None:
    value = torch.tensor([[2.0], [4.0]])
    for score in (scores.Dot(), scores.ScaledDot()):
        output = attend(torch.ones(1, 0), torch.ones(2, 0), value, score=score).output
        assert output.tolist() == [[3.0]]


@pytest.mark.parametrize("backend", ["auto", *HERE])
def test_the_answer_is_always_of_one_type(backend: str) -> None:
    call = example("scaled_dot", "dense")
    for return_weights in (False, True):
        answer = run(call, backend=backend, return_weights=return_weights)
        assert type(answer) is Attended
        assert isinstance(answer.output, Tensor)
        assert (answer.weights is None) is not return_weights


def test_bias_of_another_dtype_is_welcome() -> None:
    call = example("dot", dtype=torch.float32, bias=True)
    assert call.bias is not None
    wide = replace(call, bias=call.bias.double())
    for backend in ("auto", *HERE):
        assert_same(run(wide, backend=backend).output, run(call).output)


def test_rotated_and_prepared() -> None:
    score = scores.Rotated(scores.Gaussian(2.0), positions.Rotary(2), query_start=3)
    call = replace(example("gaussian", "causal"), score=score)
    prepared = score.prepare_key(call.key)
    got = attend(call.query, prepared, call.value, score=score, mask=call.mask).output
    assert_same(got, run(call, backend="reference").output)


def test_autocast_lowers_and_hands_back_its_dtype() -> None:
    query = torch.randn(2, 3, 8)
    memory = torch.randn(2, 5, 6)
    score = scores.Additive(torch.randn(8, 4), torch.randn(6, 4), torch.randn(4))
    mask = masks.Padding(torch.tensor([5, 2]))
    wanted = attend(query, memory, memory, score=score, mask=mask).output
    for key in (memory, score.prepare_key(memory)):
        for backend in ("auto", "reference", "chunked"):
            with torch.autocast("cpu", dtype=torch.bfloat16):
                got = attend(query, key, memory, score=score, mask=mask, backend=backend).output
            assert got.dtype == torch.bfloat16
            assert_same(got.float(), wanted, dtype=torch.bfloat16)


@pytest.mark.parametrize("backend", HERE)
def test_autocast_leaves_float64_alone(backend: str) -> None:
    call = example("gaussian", "padding")
    with torch.autocast("cpu", dtype=torch.bfloat16):
        got = run(call, backend=backend).output
    assert_same(got, run(call).output)


def test_learned_alpha_a_head() -> None:
    call = example("dot", "causal", "entmax")
    assert isinstance(call.normalizer, normalizers.Entmax)
    for head in range(HEADS):
        alpha = float(call.normalizer.alpha[head])  # type: ignore[index]
        alone = replace(
            call,
            query=call.query[:, head],
            key=call.key[:, head],
            value=call.value[:, head],
            normalizer=normalizers.Entmax(alpha),
        )
        assert_same(run(call).output[:, head], run(alone).output)
