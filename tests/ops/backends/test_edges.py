"""The kernels for graphs against plain mathematics: outputs, all gradients, dropout, second derivatives."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from heedful.ops.backends.edges.attention import attend_edges, kernels_serve
from heedful.ops.backends.edges.backend import attention as edges
from heedful.ops.backends.edges.dropout import NEVER, Dropping, dropping, kept
from heedful.ops.backends.edges.plain import EdgePair, EdgeTensors, plain_attention
from heedful.ops.csr import rows as edges_graph
from heedful.ops.csr.rows import CompressedRows, compress, compress_unique

Dtype = torch.dtype


def case(
    pair: EdgePair, *, extra: int = 0, bias: int = 0, edges: int = 40, width: int = 4,
    mixed: int = 6, dtype: Dtype = torch.float64, shared: bool = False,
) -> tuple[CompressedRows, EdgeTensors]:  # fmt: skip
    """Two graphs of 7 queries, the last of them without edges, and 5 keys; 3 heads."""
    rows = compress(torch.randint(5, (edges,)), torch.randint(6, (edges,)), 7)

    def leaf(*shape: int) -> Tensor:
        return torch.randn(shape, dtype=dtype, requires_grad=True)

    key = leaf(2, 5, 3, width)
    added = torch.randn(bias, edges, 3, dtype=dtype) if bias else None
    if added is not None:
        added[:, ::3] = -torch.inf
        added.requires_grad_()
    return rows, EdgeTensors(
        leaf(2, 7, 3, width),
        key,
        key if shared else leaf(2, 5, 3, width if pair.mixes_edges else mixed),
        None if pair.kind == "dot" else leaf(3, width),
        leaf(edges, extra) if extra else None,
        leaf(extra, 3, width) if extra else None,
        added,
    )


def assert_agree(
    rows: CompressedRows, pair: EdgePair, given: EdgeTensors, dropped: Dropping = NEVER
) -> None:
    assert kernels_serve(given)
    keep = None if dropped is NEVER else kept(dropped, rows.count, given.query)
    wanted = plain_attention(rows, pair, given, keep)
    got, _ = attend_edges(rows, pair, given, dropped)
    wide = got.dtype == torch.float64
    tolerance = {"atol": 1e-10, "rtol": 1e-9} if wide else {"atol": 1e-3, "rtol": 1e-4}
    torch.testing.assert_close(got, wanted, **tolerance)
    leaves = list({id(t): t for t in vars(given).values() if t is not None}.values())
    direction = torch.randn_like(got)
    pairs = (torch.autograd.grad(output, leaves, direction) for output in (got, wanted))
    for mine, truth in zip(*pairs, strict=True):
        torch.testing.assert_close(mine, truth, **tolerance)


PAIRS = [EdgePair("dot"), EdgePair("leaky_relu", 0.3), EdgePair("leaky_relu", 2.0), EdgePair("tanh")]  # fmt: skip


@pytest.mark.parametrize("pair", PAIRS)
def test_agrees_with_plain_mathematics(pair: EdgePair) -> None:
    assert_agree(*_with(pair))
    assert_agree(*_with(pair, shared=True))
    assert_agree(*_with(pair, extra=3, bias=1), dropping(0.4))
    assert_agree(*_with(pair, bias=2, edges=400))
    assert_agree(*_with(pair, edges=0))


def _with(pair: EdgePair, **options: int) -> tuple[CompressedRows, EdgePair, EdgeTensors]:
    rows, given = case(pair, **options)  # type: ignore[arg-type]
    return rows, pair, given


def test_edges_in_keys_and_values() -> None:
    pair = EdgePair("dot", mixes_edges=True)
    assert_agree(*_with(pair, extra=2), dropping(0.3))


def test_tanh_far_out() -> None:
    rows, pair, given = _with(EdgePair("tanh"))
    with torch.no_grad():
        given.query.mul_(500)
        given.key.mul_(-500)
    assert_agree(rows, pair, given)


def test_float32_and_several_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("heedful.ops.backends.edges.launch.parts_for", lambda work: 3)
    assert_agree(*_with(EdgePair("leaky_relu"), edges=3000, dtype=torch.float32))  # type: ignore[arg-type]
    assert_agree(*_with(EdgePair("leaky_relu"), extra=2, bias=2, edges=50), dropping(0.2))


@pytest.mark.parametrize("pair", PAIRS)
def test_second_derivatives(pair: EdgePair) -> None:
    rows, given = case(pair, bias=1)

    def function(query: Tensor, key: Tensor, value: Tensor) -> Tensor:
        return attend_edges(rows, pair, EdgeTensors(query, key, value, given.vector))[0]

    leaves = (given.query, given.key, given.value)
    assert torch.autograd.gradcheck(function, leaves, fast_mode=True)
    assert torch.autograd.gradgradcheck(function, leaves, fast_mode=True)


def test_nothing_is_kept_that_has_features_an_edge() -> None:
    rows, pair, given = _with(EdgePair("leaky_relu"), edges=4000, extra=2)
    sizes: list[int] = []

    def pack(tensor: Tensor) -> Tensor:
        sizes.append(tensor.numel())
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        attend_edges(rows, pair, given)
    assert max(sizes) == rows.count * 2, "nothing larger than the edges' own features"


@pytest.mark.parametrize("probability", [0.25, 1.0])
def test_dropout_drops_so_many(probability: float) -> None:
    dropped = dropping(probability)
    keep = kept(dropped, 10_000, torch.empty(1, 1, 4, 1))
    assert float((keep == 0).double().mean()) == pytest.approx(probability, abs=0.01)
    if probability < 1:
        assert float(keep.double().mean()) == pytest.approx(1, abs=0.02)


@pytest.mark.parametrize("compiled", [True, False])
def test_rows(compiled: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    if not compiled:
        monkeypatch.setattr(edges_graph, "unavailable", lambda: "not now")
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


def test_plain_mathematics_serves_without_kernels(monkeypatch: pytest.MonkeyPatch) -> None:
    rows, pair, given = _with(EdgePair("tanh"), extra=1)
    dropped = dropping(0.5)
    wanted, _ = attend_edges(rows, pair, given, dropped)
    monkeypatch.setattr(edges, "unavailable", lambda: "not now")
    got, logsumexp = attend_edges(rows, pair, given, dropped)
    assert logsumexp is None
    torch.testing.assert_close(got, wanted)
