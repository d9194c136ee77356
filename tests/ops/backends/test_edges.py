"""The kernels for graphs against plain mathematics: outputs, weights, all gradients, dropout, second derivatives."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor
from torch.autograd import forward_ad

from heedful import attend, masks
from heedful.ops.backends.edges import attend as entry
from heedful.ops.backends.edges.attend import (
    EdgePair,
    EdgePlan,
    EdgeTensors,
    attend_edges,
    listed_edges,
    plan_edges,
)
from heedful.ops.backends.edges.dropout import NO_DROPOUT, draw_dropout, dropout_factors
from heedful.ops.backends.edges.plain import plain_attention
from heedful.ops.csr import rows as csr_rows
from heedful.ops.csr.rows import CompressedRows, compress, compress_unique
from heedful.ops.observe import Observed, ObservedEdges, observing

Dtype = torch.dtype


def case(
    pair: EdgePair, *, edge_dim: int = 0, bias: int = 0, edges: int = 40, width: int = 4,
    value_width: int = 6, dtype: Dtype = torch.float64, shared: bool = False, loops: bool = False,
) -> tuple[CompressedRows, EdgeTensors]:  # fmt: skip
    """Two graphs of 7 queries, the last of them without edges (unless it loops), and 5 keys; 3 heads."""
    listed = edges + 5 if loops else edges
    keys, queries = torch.randint(5, (edges,)), torch.randint(6, (edges,))
    rows = compress(keys, queries, 7, 5 if loops else None)

    def leaf(*shape: int) -> Tensor:
        return torch.randn(shape, dtype=dtype, requires_grad=True)

    key = leaf(2, 5, 3, width)
    added = torch.randn(bias, rows.count, 3, dtype=dtype) if bias else None
    if added is not None:
        added[:, ::3] = -torch.inf
        added.requires_grad_()
    return rows, EdgeTensors(
        leaf(2, 7, 3, width),
        key,
        key if shared else leaf(2, 5, 3, width if pair.edges_in_values else value_width),
        None if pair.kind == "dot" else leaf(3, width),
        leaf(listed, edge_dim) if edge_dim else None,
        leaf(edge_dim, 3, width) if edge_dim else None,
        added,
    )


def leaves_of(tensors: EdgeTensors) -> list[Tensor]:
    return list({id(one): one for one in vars(tensors).values() if one is not None}.values())


def assert_agree(
    rows: CompressedRows, pair: EdgePair, tensors: EdgeTensors, dropout_p: float = 0.0
) -> None:
    """Outputs, weights, and gradients of the output, of the weights and of both; asked for or not, the same output."""
    assert plan_edges(tensors, rows).backend == "compiled"
    torch.manual_seed(1)
    output, none = attend_edges(tensors, rows, pair, dropout_p=dropout_p)
    assert none is None
    torch.manual_seed(1)
    again, weights = attend_edges(tensors, rows, pair, dropout_p=dropout_p, needs_weights=True)
    assert torch.equal(output, again)
    assert weights is not None
    torch.manual_seed(1)
    dropout = draw_dropout(dropout_p)
    wide = tensors.to(torch.float64)
    factors = dropout_factors(dropout, rows.count, wide.query)
    wanted = plain_attention(rows, pair, wide, factors)
    exact = output.dtype == torch.float64
    tolerance = {"atol": 1e-10, "rtol": 1e-9} if exact else {"atol": 1e-3, "rtol": 1e-4}
    leaves = leaves_of(tensors)
    directions = [torch.randn_like(one) for one in wanted]
    for places in ([0], [1], [0, 1]):
        got = [(again, weights)[i] for i in places]
        truth = [wanted[i] for i in places]
        above = [directions[i] for i in places]
        for mine, true in zip(got, truth, strict=True):
            torch.testing.assert_close(mine, true.to(mine.dtype), **tolerance)
        mine_all = torch.autograd.grad(
            got, leaves, [one.to(output.dtype) for one in above],
            retain_graph=True, allow_unused=True, materialize_grads=True,
        )  # fmt: skip
        assert not any(one.requires_grad for one in mine_all)
        true_all = torch.autograd.grad(
            truth, leaves, above, retain_graph=True, allow_unused=True, materialize_grads=True
        )
        for mine, true in zip(mine_all, true_all, strict=True):
            torch.testing.assert_close(mine, true, **tolerance)
    unasked = torch.autograd.grad(
        output, leaves, directions[0].to(output.dtype), allow_unused=True, materialize_grads=True
    )
    truth = torch.autograd.grad(
        wanted[0], leaves, directions[0], allow_unused=True, materialize_grads=True
    )
    for one, true in zip(unasked, truth, strict=True):
        torch.testing.assert_close(one, true, **tolerance)


PAIRS = [EdgePair("dot"), EdgePair("leaky_relu", 0.3), EdgePair("leaky_relu", 2.0), EdgePair("tanh")]  # fmt: skip


@pytest.mark.parametrize("pair", PAIRS)
def test_agrees_with_plain_mathematics(pair: EdgePair) -> None:
    assert_agree(*_with(pair))
    assert_agree(*_with(pair, shared=True))
    assert_agree(*_with(pair, loops=True, edge_dim=2))
    assert_agree(*_with(pair, edge_dim=3, bias=1), 0.4)
    assert_agree(*_with(pair, bias=2, edges=400))
    assert_agree(*_with(pair, edges=0))


@pytest.mark.parametrize("pair", PAIRS)
def test_heads_of_sixteen_features(pair: EdgePair) -> None:
    assert_agree(*_with(pair, width=16, value_width=32, edges=150))
    assert_agree(*_with(pair, width=32, value_width=16, edge_dim=2, bias=2), 0.3)


def _with(pair: EdgePair, **options: int) -> tuple[CompressedRows, EdgePair, EdgeTensors]:
    rows, tensors = case(pair, **options)  # type: ignore[arg-type]
    return rows, pair, tensors


@pytest.mark.parametrize("width", [4, 16])
def test_edges_in_keys_and_values(width: int) -> None:
    pair = EdgePair("dot", edges_in_values=True)
    assert_agree(*_with(pair, edge_dim=2, width=width), 0.3)


def test_tanh_far_out() -> None:
    rows, pair, tensors = _with(EdgePair("tanh"))
    with torch.no_grad():
        tensors.query.mul_(500)
        tensors.key.mul_(-500)
    assert_agree(rows, pair, tensors)


# Each combination is a kernel of its own to compile.
@pytest.mark.parametrize(
    ("pair", "width"),
    [(EdgePair("dot"), 16), (EdgePair("leaky_relu"), 4), (EdgePair("tanh"), 16)],
)
def test_float32_and_several_threads(
    pair: EdgePair, width: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("heedful.ops.backends.edges.launch.parts_for", lambda work: 3)
    options = {"width": width, "value_width": width, "dtype": torch.float32}
    assert_agree(*_with(pair, edges=3000, **options))  # type: ignore[arg-type]
    assert_agree(*_with(pair, edge_dim=2, bias=2, edges=50, **options), 0.2)  # type: ignore[arg-type]


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_precision_is_widened(dtype: Dtype) -> None:
    rows, pair, tensors = _with(EdgePair("leaky_relu"), dtype=dtype, shared=True)  # type: ignore[arg-type]
    output, weights = attend_edges(tensors, rows, pair, needs_weights=True)
    assert weights is not None
    assert (output.dtype, weights.dtype) == (dtype, dtype)
    wanted = plain_attention(rows, pair, tensors.to(torch.float64), None)
    torch.testing.assert_close(output, wanted[0].to(dtype))
    torch.testing.assert_close(weights, wanted[1].to(dtype))
    (output.sum() + weights.square().sum()).backward()
    assert tensors.key.grad is not None
    assert tensors.key.grad.dtype == dtype


def test_scores_of_any_size_give_weights_that_sum_to_one() -> None:
    rows, pair, tensors = _with(EdgePair("dot"), edges=200, dtype=torch.float32)  # type: ignore[arg-type]
    with torch.no_grad():
        tensors.query.mul_(1e4)
        _, weights = attend_edges(tensors, rows, pair, needs_weights=True)
    assert weights is not None
    sums = torch.zeros(2, 7, 3).index_add(1, rows.queries(), weights)
    torch.testing.assert_close(sums[:, :6], torch.ones(2, 6, 3))
    assert bool((sums[:, 6] == 0).all())


def test_what_a_bias_hides_may_be_nan() -> None:
    rows, pair, tensors = _with(EdgePair("dot"), bias=1)
    assert tensors.bias is not None
    with torch.no_grad():
        tensors.bias[:] = 0
        tensors.bias[:, rows.keys == 2] = -torch.inf
        clean, clean_weights = attend_edges(tensors, rows, pair, needs_weights=True)
        tensors.key[:, 2] = torch.nan
        tensors.value[:, 2] = torch.inf
    output, weights = attend_edges(tensors, rows, pair, needs_weights=True)
    assert weights is not None
    assert clean_weights is not None
    assert torch.equal(output, clean)
    assert torch.equal(weights, clean_weights)
    gradients = torch.autograd.grad(output.square().sum(), (tensors.query, tensors.value))
    assert all(bool(one.isfinite().all()) for one in gradients)


def test_a_query_hidden_from_all_keys_gives_zero() -> None:
    rows, pair, tensors = _with(EdgePair("leaky_relu"), bias=1)
    assert tensors.bias is not None
    with torch.no_grad():
        tensors.bias[:] = -torch.inf
    output, weights = attend_edges(tensors, rows, pair, needs_weights=True)
    assert weights is not None
    assert bool((output == 0).all())
    assert bool((weights == 0).all())
    leaves = leaves_of(tensors)
    for result in (output, weights):
        found = torch.autograd.grad(
            result.sum(), leaves, retain_graph=True, materialize_grads=True, allow_unused=True
        )
        assert all(bool((one == 0).all()) for one in found)


@pytest.mark.parametrize("needs_weights", [False, True])
@pytest.mark.parametrize("pair", PAIRS)
def test_second_derivatives(pair: EdgePair, needs_weights: bool) -> None:
    rows, tensors = case(pair, bias=1, edges=12)

    def function(query: Tensor, key: Tensor, value: Tensor) -> tuple[Tensor, ...]:
        given = EdgeTensors(query, key, value, tensors.vector)
        found = attend_edges(given, rows, pair, needs_weights=needs_weights)
        return tuple(one for one in found if one is not None)

    leaves = (tensors.query, tensors.key, tensors.value)
    assert torch.autograd.gradcheck(function, leaves, fast_mode=True)
    assert torch.autograd.gradgradcheck(function, leaves, fast_mode=True)


@pytest.mark.parametrize("needs_weights", [False, True])
def test_nothing_is_kept_that_has_features_an_edge(needs_weights: bool) -> None:
    rows, pair, tensors = _with(EdgePair("leaky_relu"), edges=4000, edge_dim=2)
    sizes: list[int] = []

    def pack(tensor: Tensor) -> Tensor:
        sizes.append(tensor.numel())
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        attend_edges(tensors, rows, pair, needs_weights=needs_weights)
    assert max(sizes) == rows.count * 2, "nothing larger than the edges' own features"


@pytest.mark.parametrize("probability", [0.25, 1.0])
def test_dropout_drops_so_many(probability: float) -> None:
    factors = dropout_factors(draw_dropout(probability), 10_000, torch.empty(1, 1, 4, 1))
    assert factors is not None
    assert float((factors == 0).double().mean()) == pytest.approx(probability, abs=0.01)
    if probability < 1:
        assert float(factors.double().mean()) == pytest.approx(1, abs=0.02)
    assert dropout_factors(NO_DROPOUT, 10, torch.empty(1, 1, 4, 1)) is None


@pytest.mark.parametrize("compiled", [True, False])
def test_rows(compiled: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    if not compiled:
        monkeypatch.setattr(csr_rows, "unavailable", lambda: "not now")
    keys, queries = torch.tensor([2, 0, 1, 2, 0, 2]), torch.tensor([1, 3, 1, 1, 3, 0])
    rows = compress(keys, queries, 5)
    assert rows.start.tolist() == [0, 1, 4, 4, 6, 6]
    assert rows.keys.tolist() == [2, 2, 1, 2, 0, 0]
    assert rows.edges.tolist() == [5, 0, 2, 3, 1, 4]
    assert rows.queries().tolist() == [0, 1, 1, 1, 3, 3]
    looped = compress(keys, queries, 5, 3)
    assert looped.start.tolist() == [0, 2, 5, 6, 8, 8]
    assert looped.keys.tolist() == [2, 0, 2, 2, 1, 2, 0, 0]
    assert looped.edges.tolist() == [5, 6, 0, 3, 7, 8, 1, 4]
    once = compress_unique(keys, queries, 5, 3)
    assert once.start.tolist() == [0, 1, 3, 3, 4, 4]
    assert once.keys.tolist() == [2, 1, 2, 0]


@pytest.mark.parametrize("loops", [None, 2])
def test_edges_as_they_were_listed(loops: int | None) -> None:
    keys, queries = torch.tensor([2, 0, 1, 2, 0, 2]), torch.tensor([1, 3, 1, 1, 3, 0])
    rows = compress(keys, queries, 5, loops)
    index, weights = listed_edges(rows, rows.edges[None, :, None])
    wanted = torch.stack([keys, queries])
    if loops is not None:
        wanted = torch.cat([wanted[:, keys != queries], torch.arange(2).expand(2, 2)], 1)
        assert weights.flatten().tolist() == [0, 1, 3, 4, 5, 6, 7]
    else:
        assert weights.flatten().tolist() == list(range(6))
    assert torch.equal(index, wanted)


def test_plain_mathematics_serves_without_kernels(monkeypatch: pytest.MonkeyPatch) -> None:
    rows, pair, tensors = _with(EdgePair("tanh"), edge_dim=1)
    torch.manual_seed(1)
    wanted = attend_edges(tensors, rows, pair, dropout_p=0.5, needs_weights=True)
    monkeypatch.setattr(entry, "unavailable", lambda: "Numba is away")
    assert plan_edges(tensors, rows).rejected == {"compiled": "Numba is away"}
    torch.manual_seed(1)
    got = attend_edges(tensors, rows, pair, dropout_p=0.5, needs_weights=True)
    for mine, other in zip(got, wanted, strict=True):
        torch.testing.assert_close(mine, other)


@pytest.mark.filterwarnings(
    "ignore::torch.jit.TracerWarning", "ignore:.torch.jit.(trace|script). is"
)
def test_the_plan_tells_what_runs_and_why() -> None:
    rows, tensors = case(EdgePair("dot"))
    plans: list[EdgePlan] = [plan_edges(tensors, rows)]
    assert (plans[0].backend, list(plans[0].rejected)) == ("compiled", ["plain"])
    assert "1,440 numbers" in plans[0].rejected["plain"]  # 2 graphs, 40 edges, 3 heads, 6 features
    query, detached = tensors.query.detach(), tensors.key.detach()

    def under_func(one: Tensor) -> Tensor:
        plans.append(plan_edges(EdgeTensors(one[None], tensors.key, tensors.value), rows))
        return one

    torch.func.vmap(under_func)(query)
    with forward_ad.dual_level():
        plans.append(plan_edges(tensors, rows))

    def recorded(one: Tensor) -> Tensor:
        plans.append(plan_edges(EdgeTensors(one, detached, detached), rows))
        return one

    torch.jit.trace(recorded, query, check_trace=False)
    for plan, word in zip(plans[1:], ["vmap", "forward-mode", "jit.trace"], strict=True):
        assert plan.backend == "plain"
        assert word in plan.rejected["compiled"]
        assert str(plan) == f"plain: {plan.reason}\nnot compiled: {plan.rejected['compiled']}"


@pytest.mark.filterwarnings("ignore:.torch.jit.script. is")  # PyTorch calls it for forward mode
def test_transforms_of_torch_func_and_forward_mode() -> None:
    rows, pair, tensors = _with(EdgePair("leaky_relu"))

    def output(query: Tensor) -> Tensor:
        given = EdgeTensors(query[None], tensors.key[:1], tensors.value[:1], tensors.vector)
        return attend_edges(given, rows, pair).output[0]

    query = tensors.query.detach()
    torch.testing.assert_close(
        torch.func.vmap(output)(query), torch.stack([output(one) for one in query])
    )
    tangent = torch.randn_like(query[0])
    (_, slope) = torch.func.jvp(output, (query[0],), (tangent,))
    with forward_ad.dual_level():
        dual = output(forward_ad.make_dual(query[0], tangent))
        torch.testing.assert_close(forward_ad.unpack_dual(dual).tangent, slope)


def test_an_observer_receives_edges_as_listed() -> None:
    rows, pair, tensors = _with(EdgePair("dot"), loops=True)
    seen: list[ObservedEdges] = []
    with observing(seen.append):  # type: ignore[arg-type]
        output, none = attend_edges(tensors, rows, pair)
    assert none is None
    unseen, weights = attend_edges(tensors, rows, pair, needs_weights=True)
    assert torch.equal(output, unseen)
    (one,) = seen
    assert weights is not None
    index, listed = listed_edges(rows, weights)
    assert torch.equal(one.edge_index, index)
    assert torch.equal(one.weights, listed)
    assert not one.weights.requires_grad
    assert (one.num_queries, one.num_keys, one.backend) == (7, 5, "compiled")
    dense = one.dense()
    assert dense.weights.shape == (2, 3, 7, 5)
    assert dense.mask is not None
    assert bool((dense.weights[:, :, ~dense.mask] == 0).all())
    mixed = torch.einsum("bhqk,bkhc->bqhc", dense.weights, tensors.value)
    torch.testing.assert_close(mixed, output)


def test_attend_over_edges_is_observed_once() -> None:
    x, edges = torch.randn(2, 9, 4), masks.Edges(torch.randint(9, (2, 20)), 9, 9)
    seen: list[object] = []
    with observing(seen.append):
        observed = attend(x, x, x, mask=edges, backend="edges").output
    output, weights = attend(x, x, x, mask=edges, backend="edges", return_weights=True)
    assert torch.equal(observed, output)
    assert weights is not None
    (one,) = seen
    assert isinstance(one, Observed)
    torch.testing.assert_close(one.weights, weights)
