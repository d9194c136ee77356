"""What holds for every score × mask × normalizer × backend."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from heedful import BackendError, attend, plan
from heedful.ops.backends import BACKENDS
from heedful.ops.normalizers import NORMALIZERS
from heedful.ops.scores import SCORES
from tests.ops.compare import assert_all_same, assert_same, gradients, run
from tests.ops.examples import (
    BACKEND_EXAMPLES,
    WITHOUT_BIAS_GRADIENT,
    Example,
    example,
    served,
    served_pairs,
    served_triples,
)

COMBINATIONS = pytest.mark.parametrize(("score", "mask", "normalizer", "backend"), list(served()))
HUGE = 1e300


def poisoned(call: Example, keys: Tensor, queries: Tensor, poison: tuple[float, ...]) -> Example:
    """Fill the marked keys, their values and the marked queries with `poison`, one after the other."""

    def fill(tensor: Tensor, where: Tensor) -> Tensor:
        contents = torch.tensor(poison, dtype=tensor.dtype).repeat(tensor.numel())[: tensor.numel()]
        return torch.where(where[..., None], contents.view(tensor.shape), tensor)

    return call.with_tensors(
        {
            "query": fill(call.query, queries),
            "key": fill(call.key, keys),
            "value": fill(call.value, keys),
        }
    )


@COMBINATIONS
def test_gradients_agree_with_reference(
    score: str, mask: str, normalizer: str, backend: str
) -> None:
    learned = backend not in WITHOUT_BIAS_GRADIENT
    call = example(score, mask, normalizer, bias=learned)
    if call.bias is not None:
        call.bias[..., 2, 0] = -torch.inf
    got = gradients(call, backend=backend)
    assert_all_same(got, gradients(call, backend="reference"))
    assert not learned or not bool(got["bias"][..., 2, 0].any()), (
        "no gradient where the bias is minus infinity"
    )


@COMBINATIONS
def test_empty_rows_give_zero_and_hidden_contents_reach_nothing(
    score: str, mask: str, normalizer: str, backend: str
) -> None:
    call = example(score, mask, normalizer)
    keep = call.keep()
    empty, hidden = ~keep.any(-1), ~keep.any(-2)
    wanted = gradients(call, backend=backend)
    assert bool((wanted["output"][empty] == 0).all())
    assert bool((wanted["query"][empty] == 0).all())
    assert bool((wanted["key"][hidden] == 0).all())
    assert bool((wanted["value"][hidden] == 0).all())
    poison = (torch.nan, torch.inf, -torch.inf, HUGE**0.5, HUGE)
    assert_all_same(gradients(poisoned(call, hidden, empty, poison), backend=backend), wanted)


@COMBINATIONS
def test_weights_are_what_was_used_and_change_nothing(
    score: str, mask: str, normalizer: str, backend: str
) -> None:
    call = example(score, mask, normalizer)
    without, with_weights = (
        run(call, backend=backend),
        run(call, backend=backend, return_weights=True),
    )
    assert without.weights is None
    assert torch.equal(without.output, with_weights.output)
    weights = with_weights.weights
    assert weights is not None
    assert weights.shape == call.keep().shape
    assert not bool(weights[~call.keep()].any())
    assert_same(weights @ call.value, with_weights.output)


@pytest.mark.parametrize("normalizer", NORMALIZERS)
@pytest.mark.parametrize("score", SCORES)
@pytest.mark.parametrize("backend", ["auto", "reference", "chunked"])
@pytest.mark.parametrize("mask", ["causal", "window", "edges"])
def test_keys_hidden_from_some_rows_reach_no_other(
    score: str, normalizer: str, backend: str, mask: str
) -> None:
    call = example(score, mask, normalizer)
    keys = torch.zeros(call.key.shape[:-1], dtype=torch.bool)
    keys[..., -1] = True
    sees = call.keep()[..., -1]
    assert bool(sees.any())
    direction = torch.ones(*sees.shape, call.value.shape[-1]).double() * ~sees[..., None]
    wanted = gradients(call, direction, backend=backend)
    bad = poisoned(call, keys, torch.zeros_like(sees), (torch.nan, torch.inf))
    got = gradients(bad, direction, backend=backend)
    assert bool(got["output"][sees].isnan().all()), "a row that may see them is NaN"
    got["output"][sees] = wanted["output"][sees]
    assert_all_same(got, wanted)
    assert not bool(got["key"][keys].any())
    assert not bool(got["value"][keys].any())


@pytest.mark.parametrize(
    ("score", "backend"), [pair for pair in served_pairs() if pair[1] not in WITHOUT_BIAS_GRADIENT]
)
def test_minus_infinity_in_a_bias_hides_like_a_mask(score: str, backend: str) -> None:
    masked = example(score, "dense")
    keep = masked.keep()
    bias = torch.where(keep, 0.0, -torch.inf).double()
    biased = masked.with_tensors({"bias": bias})
    biased = type(biased)(**{**biased.arguments(), "mask": None})
    wanted = gradients(masked, backend=backend)
    got = gradients(biased, backend=backend)
    assert not bool(got.pop("bias")[~keep].any())
    assert_all_same(got, wanted)
    poison = (torch.nan, torch.inf, HUGE**0.5, HUGE)
    got = gradients(poisoned(biased, ~keep.any(-2), ~keep.any(-1), poison), backend=backend)
    assert bool(got.pop("bias").isfinite().all())
    assert_all_same(got, wanted)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
@pytest.mark.parametrize(
    ("score", "normalizer", "backend"),
    served_triples(),
)
def test_half_precision_against_float32_of_the_same_inputs(
    score: str, normalizer: str, backend: str, dtype: torch.dtype
) -> None:
    half = example(score, "dense", normalizer, dtype=dtype)
    wide = half.with_tensors({name: tensor.float() for name, tensor in half.tensors().items()})
    got, wanted = gradients(half, backend=backend), gradients(wide, backend=backend)
    assert got["output"].dtype == dtype
    assert_all_same(
        {name: tensor.float() for name, tensor in got.items() if "." not in name},
        {name: tensor for name, tensor in wanted.items() if "." not in name},
        dtype=dtype,
    )
    weights = run(half, backend=backend, return_weights=True).weights
    assert weights is not None
    assert weights.dtype == dtype


def test_half_precision_hides_what_overflows_it() -> None:
    call = example("gaussian", "padding", dtype=torch.float16)
    keep = call.keep()
    bad = poisoned(call, ~keep.any(-2), ~keep.any(-1), (6e4, -6e4))
    assert_all_same(gradients(bad), gradients(call))


@pytest.mark.parametrize("score", SCORES)
@pytest.mark.parametrize("normalizer", NORMALIZERS)
@pytest.mark.parametrize("backend", BACKENDS)
def test_backends_serve_what_is_claimed(score: str, normalizer: str, backend: str) -> None:
    call = example(score, "dense", normalizer)
    if BACKEND_EXAMPLES[backend](score, normalizer):
        assert plan(**call.arguments(backend), backend=backend).backend == backend
        return
    with pytest.raises(
        BackendError, match=f'backend="{backend}" cannot serve this call: .*Use backend="auto"'
    ) as error:
        attend(**call.arguments(backend), backend=backend)
    assert plan(**call.arguments()).rejected[backend] in str(error.value)


def test_sdpa_leaves_what_is_not_finite_behind_a_mask_to_plain_mathematics() -> None:
    call = example("dot", "padding")
    hidden = ~call.keep().any(-2)
    bad = poisoned(call, hidden, torch.zeros_like(call.query[..., 0]).bool(), (torch.nan,))
    assert plan(**bad.arguments(), backend="sdpa").backend == "sdpa"
    assert_same(run(bad, backend="sdpa").output, run(call, backend="sdpa").output)
