"""Masks: each against its definition, the algebra, and tile by tile against the whole."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from heedful import attend, masks, plan
from heedful.ops.masks import MASKS, Mask
from heedful.ops.rows import Rows
from tests.ops import strategies
from tests.ops.compare import assert_same
from tests.ops.examples import MASK_EXAMPLES, example


def whole(mask: Mask, rows: Rows) -> torch.Tensor:
    return mask.dense(rows.num_queries, rows.num_keys, lead=rows.lead).expand(rows.shape)


def test_every_mask_has_a_strategy() -> None:
    drawn = set()

    @settings(max_examples=200)
    @given(st.data())
    def draw(data: st.DataObject) -> None:
        drawn.add(type(data.draw(strategies.single_masks(3, 4))))

    draw()
    assert drawn == set(MASKS.values())


@given(strategies.masked_calls(count=2))
def test_algebra(drawn: tuple[Rows, tuple[Mask, ...]]) -> None:
    rows, (left, right) = drawn
    one, two = whole(left, rows), whole(right, rows)
    assert one.dtype == torch.bool
    assert torch.equal(whole(left & right, rows), one & two)
    assert torch.equal(whole(left | right, rows), one | two)
    assert torch.equal(whole(~left, rows), ~one)
    assert torch.equal(whole(~(left & right), rows), whole(~left | ~right, rows))
    assert torch.equal(whole(~(left | right), rows), whole(~left & ~right, rows))
    assert torch.equal(whole(~~left, rows), one)


@given(strategies.masked_calls(), st.data())
def test_a_tile_is_the_slice_of_the_whole(
    drawn: tuple[Rows, tuple[Mask, ...]], data: st.DataObject
) -> None:
    rows, (mask,) = drawn
    start = data.draw(st.integers(0, rows.num_queries - 1))
    stop = data.draw(st.integers(start + 1, rows.num_queries))
    block = rows.block(start, stop)
    tile = mask.tile(block).expand(*rows.lead, stop - start, rows.num_keys)
    assert torch.equal(tile, whole(mask, rows)[..., start:stop, :])


@given(strategies.masked_calls())
def test_attend_reads_a_mask_as_its_dense_form(drawn: tuple[Rows, tuple[Mask, ...]]) -> None:
    rows, (mask,) = drawn
    query = torch.randn(*rows.lead, rows.num_queries, 2)
    key = torch.randn(*rows.lead, rows.num_keys, 2)
    got = attend(query, key, key, mask=mask, return_weights=True)
    keep = whole(mask, rows)
    assert got.weights is not None
    assert not bool(got.weights[~keep].any())
    assert torch.equal(got.output, attend(query, key, key, mask=keep).output)


@pytest.mark.parametrize("align", ["top_left", "bottom_right"])
@pytest.mark.parametrize(("queries", "keys"), [(3, 3), (2, 5), (5, 2), (1, 4)])
def test_causal_and_window_by_counting(align: str, queries: int, keys: int) -> None:
    shift = keys - queries if align == "bottom_right" else 0
    causal = masks.Causal(align=align).dense(queries, keys)  # type: ignore[arg-type]
    window = masks.Window(2, 1, align=align).dense(queries, keys)  # type: ignore[arg-type]
    for i in range(queries):
        for j in range(keys):
            assert bool(causal[i, j]) == (j <= i + shift)
            assert bool(window[i, j]) == (i + shift - 2 <= j <= i + shift + 1)


@pytest.mark.parametrize(("count", "keys"), [(0, None), (1, None), (2, 0), (1, 3), (9, None)])
def test_global_by_counting(count: int, keys: int | None) -> None:
    found = masks.Global(count, keys).dense(4, 5)
    for i in range(4):
        for j in range(5):
            assert bool(found[i, j]) == (i < count or j < (count if keys is None else keys))


def test_window_without_bounds_keeps_all() -> None:
    assert bool(masks.Window(None, None).dense(3, 4).all())
    assert masks.Window(None, 0).dense(4, 4).tolist() == masks.Causal().dense(4, 4).tolist()


def test_padding_by_batch_and_by_head() -> None:
    by_batch = masks.Padding(torch.tensor([1, 0], dtype=torch.int32)).dense(1, 2, lead=(2, 3))
    assert by_batch.shape == (2, 1, 1, 2)
    assert by_batch[:, 0, 0].tolist() == [[True, False], [False, False]]
    by_head = masks.Padding(torch.tensor([[2, 1]])).dense(1, 2, lead=(1, 2))
    assert by_head[0, :, 0].tolist() == [[True, True], [True, False]]


def test_edges_run_from_source_to_target() -> None:
    keep = masks.Edges(torch.tensor([[2, 2, 0], [1, 1, 0]], dtype=torch.int32), 2, 3).dense(2, 3)
    assert keep.int().tolist() == [[1, 0, 0], [0, 0, 1]]
    none = masks.Edges(torch.empty(2, 0, dtype=torch.long), 2, 3)
    assert not bool(none.dense(2, 3).any())
    assert not bool(none.tile(Rows.all(2, 3, (), torch.device("cpu")).block(1, 2)).any())


@pytest.mark.parametrize("name", MASKS)
def test_a_boolean_tensor_combines_from_either_side(name: str) -> None:
    mask = MASK_EXAMPLES[name]()
    keep = torch.rand(6, 4) > 0.5
    for left, right in ((keep & mask, mask & keep), (keep | mask, mask | keep)):
        assert isinstance(left, Mask)
        assert torch.equal(left.dense(6, 4, lead=(2, 2)), right.dense(6, 4, lead=(2, 2)))


@pytest.mark.parametrize("name", MASKS)
def test_masks_lie_where_their_tensors_lie(name: str) -> None:
    mask = MASK_EXAMPLES[name]()
    assert mask.dense(6, 4, lead=(2, 2)).device.type == "cpu"
    assert all(tensor.device.type == "cpu" for tensor in (~(mask & mask)).tensors())


@pytest.mark.parametrize("name", MASKS)
def test_every_mask_changes_something(name: str) -> None:
    call = example("dot", name)
    open_call = attend(call.query, call.key, call.value).output
    assert not torch.allclose(
        attend(call.query, call.key, call.value, mask=call.mask).output, open_call
    )


LENGTHS = [(3, 5), (1, 5), (3, 2), (2, 2), (0, 4), (3, 0)]


@pytest.mark.parametrize("backend", ["auto", "reference", "sdpa", "chunked", "band"])
@pytest.mark.parametrize("sides", [(None, 0), (1, 0), (2, 1), (None, 2)])
def test_alignment_by_own_lengths_equals_a_loop(
    sides: tuple[int | None, int | None], backend: str
) -> None:
    """Each sequence alone, cut to its lengths, where `Window` is aligned by the shapes."""
    query_lengths, key_lengths = torch.tensor(LENGTHS).T
    query, key = torch.randn(6, 2, 3, 4).double(), torch.randn(6, 2, 5, 4).double()
    mask = masks.Ragged(query_lengths, key_lengths, *sides)
    if backend == "band":
        mask = mask & masks.Window(9, 9)  # type: ignore[assignment]
    got = attend(query, key, key, mask=mask, backend=backend).output
    for i, (queries, keys) in enumerate(LENGTHS):
        window = masks.Window(*sides, align="bottom_right")
        cut = key[i, :, :keys]
        wanted = attend(query[i, :, :queries], cut, cut, mask=window, backend="reference").output
        assert_same(got[i, :, :queries], wanted)


@pytest.mark.parametrize("backend", ["auto", "reference", "sdpa", "chunked"])
def test_left_padding_equals_a_loop(backend: str) -> None:
    starts = torch.tensor([0, 2, 5, 4])
    x = torch.randn(4, 2, 5, 4).double()
    got = attend(x, x, x, mask=masks.LeftPadding(starts) & masks.Causal(), backend=backend).output
    for i, start in enumerate(starts.tolist()):
        own = x[i, :, start:]
        wanted = attend(own, own, own, mask=masks.Causal(), backend="reference").output
        assert_same(got[i, :, start:], wanted)
        assert not bool(got[i, :, :start].any())


@pytest.mark.parametrize("name", ["left_padding", "ragged"])
def test_masks_of_sequences_run_on_the_fused_kernel(name: str) -> None:
    lengths = torch.tensor([3, 200])
    mask = {"left_padding": masks.LeftPadding(lengths), "ragged": masks.Ragged(lengths, lengths)}
    x = torch.randn(2, 4, 300, 16, requires_grad=True)
    assert plan(x, x, x, mask=mask[name]).backend == "sdpa"
    assert plan(x, x, x, mask=mask[name] & masks.Window(20, 20)).backend == "band"
