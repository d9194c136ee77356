"""The additive kernels against plain mathematics in float64: every shape, layout and size of number."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor
from torch.autograd import gradcheck, gradgradcheck
from torch.autograd.graph import saved_tensors_hooks

from heedful import BackendError, attend, masks, scores
from heedful.ops.backends.additive import scores as additive
from heedful.ops.backends.additive.scores import (
    additive_scores,
    fast_pair,
    has_fast_pair,
    scores_backward,
    scores_forward,
)
from heedful.ops.jit import kernel as runtime
from heedful.ops.scores.additive import ACTIVATIONS
from tests.ops.compare import assert_same

pytestmark = pytest.mark.skipif(runtime.unavailable() is not None, reason="kernels cannot run here")

Three = tuple[Tensor, Tensor, Tensor]


def plain(query: Tensor, key: Tensor, vector: Tensor, activation: str) -> Tensor:
    hidden = ACTIVATIONS[activation](query[..., :, None, :] + key[..., None, :, :])
    return (hidden * vector[..., None, None, :]).sum(-1)


def results(function: object, tensors: Three, activation: str, dtype: torch.dtype) -> list[Tensor]:
    """Scores, and the gradients of query, key and vector for one direction, as float64."""
    leaves = [tensor.detach().to(dtype).requires_grad_() for tensor in tensors]
    found = function(*leaves, activation)  # type: ignore[operator]
    direction = torch.linspace(-1, 1, found.numel(), dtype=torch.float64).cos().view(found.shape)
    gradients = torch.autograd.grad(found, leaves, direction.to(dtype))
    return [tensor.detach().double() for tensor in (found, *gradients)]


def normal(*shape: int) -> Tensor:
    """Float64 numbers that float32 holds exactly."""
    return torch.randn(shape).double()


def assert_agree(tensors: Three, activation: str, dtype: torch.dtype) -> None:
    wanted = results(plain, tensors, activation, torch.float64)
    for got, want in zip(results(additive_scores, tensors, activation, dtype), wanted, strict=True):
        assert_same(got, want, activation, dtype=dtype)


both = pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
activations = pytest.mark.parametrize("activation", ACTIVATIONS)


@both
@activations
@pytest.mark.parametrize("hidden", [1, 3, 15, 16, 17, 128, 131, 300])
def test_every_hidden_size(hidden: int, activation: str, dtype: torch.dtype) -> None:
    assert_agree((normal(2, 6, hidden), normal(2, 7, hidden), normal(hidden)), activation, dtype)


@both
@activations
@pytest.mark.parametrize(
    ("queries", "keys"), [(1, 1), (1, 40), (3, 5), (4, 4), (5, 129), (260, 3), (33, 31)]
)
def test_every_length(queries: int, keys: int, activation: str, dtype: torch.dtype) -> None:
    assert_agree((normal(queries, 9), normal(keys, 9), normal(9)), activation, dtype)


@both
@pytest.mark.parametrize(
    ("query", "key", "vector"),
    [((2, 3), (2, 3), (3,)), ((2, 1), (3,), ()), ((1, 3), (2, 1), (2, 1)), ((), (4,), (1,))],
)
def test_leading_axes_broadcast(
    query: tuple[int, ...], key: tuple[int, ...], vector: tuple[int, ...], dtype: torch.dtype
) -> None:
    assert_agree((normal(*query, 5, 7), normal(*key, 6, 7), normal(*vector, 7)), "tanh", dtype)


@activations
def test_views_of_any_strides(activation: str) -> None:
    memory = torch.randn(40, 20)
    overlapping = memory.as_strided((4, 12, 20), (160, 20, 1))
    heads = torch.randn(4, 6, 3, 20)[:, :, 1]
    turned = torch.randn(4, 20, 6).mT
    shared = torch.randn(1, 6, 20).expand(4, 6, 20)
    vector = torch.randn(20)
    for query in (heads, turned, shared):
        got = scores_forward(query, overlapping, vector, activation)
        found = scores_backward(query, overlapping, vector, activation, torch.ones_like(got))
        solid = (query.contiguous(), overlapping.contiguous(), vector)
        assert torch.equal(got, scores_forward(*solid, activation))
        upstream = torch.ones_like(got).expand_as(got)
        for one, other in zip(found, scores_backward(*solid, activation, upstream), strict=True):
            assert torch.equal(one, other)


@both
@pytest.mark.parametrize("size", [4.0, 9.9, 10.1, 19.0, 39.0, 41.0, 84.0, 86.0, 349.0, 1e4])
def test_numbers_of_any_size_are_exact(size: float, dtype: torch.dtype) -> None:
    """On either side of where exponentials overflow, also where a query cancels a key."""
    query, key = normal(9, 20), normal(11, 20)
    query[2], key[3], key[4] = size, -size, size
    query[5, 3], key[6, 3] = -size, size
    assert_agree((query, key, normal(20)), "tanh", dtype)


@pytest.mark.parametrize("rows", [1, 8])
def test_what_is_not_finite_stays_in_its_pairs(rows: int) -> None:
    query, key, vector = torch.randn(rows, 5), torch.randn(9, 5), torch.ones(5)
    key[1, 2], key[3, 0], key[4, 0] = torch.nan, torch.inf, -torch.inf
    got = additive_scores(query, key, vector, "tanh")
    wanted = plain(query, key, vector, "tanh")
    assert bool(got[:, 1].isnan().all())
    keep = [0, *range(2, 9)]
    assert_same(got[:, keep], wanted[:, keep])


def test_float32_is_as_good_as_the_formula() -> None:
    query, key, vector = torch.randn(256, 128), torch.randn(256, 128), torch.randn(128) / 128**0.5
    wanted = plain(query.double(), key.double(), vector.double(), "tanh")
    assert float((additive_scores(query, key, vector, "tanh") - wanted).abs().max()) < 1e-6


@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("units", [1, 3, 4])
def test_any_share_of_the_work_gives_the_same(
    units: int, threads: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(additive, "parts_for", lambda work: 3 * threads)
    tensors = (normal(units, 13, 20), normal(units, 50, 20), normal(20))
    assert_agree(tensors, "tanh", torch.float64)


@activations
def test_first_and_second_derivatives(activation: str) -> None:
    leaves = [tensor.requires_grad_() for tensor in (normal(2, 5, 3), normal(4, 3), normal(2, 3))]

    def function(query: Tensor, key: Tensor, vector: Tensor) -> Tensor:
        return additive_scores(query, key, vector, activation)

    assert gradcheck(function, leaves, fast_mode=True)
    assert gradgradcheck(function, leaves, fast_mode=True)


@pytest.mark.parametrize("place", range(4))
def test_the_comparison_sees_a_fault(place: int) -> None:
    tensors = (normal(6, 5), normal(7, 5), normal(5))
    wanted = results(plain, tensors, "tanh", torch.float64)
    got = results(additive_scores, tensors, "tanh", torch.float32)
    got[place].view(-1)[1] += 1e-3
    with pytest.raises(AssertionError, match="1 of"):
        assert_same(got[place], wanted[place], dtype=torch.float32)


def kept(queries: int, keys: int, hidden: int) -> int:
    """Bytes that a call's backward pass keeps beyond its inputs and parameters."""
    query, key = torch.randn(2, queries, 4, requires_grad=True), torch.randn(2, keys, 4)
    score = scores.Additive(torch.randn(4, hidden), torch.randn(4, hidden), torch.randn(hidden))
    storages: dict[int, int] = {}

    def pack(tensor: Tensor) -> Tensor:
        storages[tensor.untyped_storage().data_ptr()] = tensor.untyped_storage().nbytes()
        return tensor

    with saved_tensors_hooks(pack, lambda tensor: tensor):
        mask = masks.Padding(torch.tensor([keys, 1]))
        attend(query, key, key, score=score, mask=mask, backend="chunked")
    return sum(storages.values())


def test_what_is_kept_grows_with_lengths_not_with_their_product() -> None:
    base = kept(16, 16, 8)
    for sizes in ((32, 16, 8), (16, 32, 8), (16, 16, 16)):
        assert kept(*sizes) <= 2 * base
    assert kept(32, 32, 16) <= 4 * base
    assert kept(64, 64, 8) <= 4 * base


@pytest.mark.filterwarnings("ignore:.torch.jit.script. is")  # PyTorch calls it for forward mode
def test_forward_mode_derivatives_go_another_way() -> None:
    score = scores.Additive(torch.randn(4, 3), torch.randn(4, 3), torch.randn(3))
    x, tangent = torch.randn(2, 5, 4), torch.randn(2, 5, 4)
    with torch.autograd.forward_ad.dual_level():
        dual = torch.autograd.forward_ad.make_dual(x, tangent)
        output = attend(dual, dual, dual, score=score).output
        assert torch.autograd.forward_ad.unpack_dual(output).tangent is not None
        with pytest.raises(BackendError, match="forward-mode"):
            attend(dual, dual, dual, score=score, backend="chunked")


def test_without_kernels_the_score_is_the_plain_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(additive, "unavailable", lambda: "switched off")
    score = scores.Additive(torch.randn(4, 3), torch.randn(4, 3), torch.randn(3))
    assert not has_fast_pair(score, torch.device("cpu"))
    x = torch.randn(2, 5, 4)
    query, key = score.prepare_query(x), score.prepare_key(x).features
    assert torch.equal(fast_pair(score, query, key), score.pair(query, key))
    assert_same(
        attend(x, x, x, score=score, backend="chunked").output,
        attend(x, x, x, score=score, backend="reference").output,
    )
    assert "meta" in (additive.refusal(torch.device("meta")) or "")
