"""Positions against the papers' formulas, written here a second time and one number at a time."""

from __future__ import annotations

import math
from typing import Literal

import pytest
import torch

from heedful import OptionError, ShapeError, attend, masks, nn, positions, scores
from heedful.ops.positions import PositionBias
from heedful.ops.rows import Rows
from tests.ops.compare import assert_same

CPU = torch.device("cpu")


def biases() -> dict[str, PositionBias]:
    return {
        "alibi": positions.ALiBi.for_heads(4),
        "alibi later": positions.ALiBi(torch.tensor([0.5]), query_start=3),
        "buckets": positions.RelativeBuckets(torch.randn(4, 8), max_distance=12),
        "buckets backward": positions.RelativeBuckets(
            torch.randn(4, 6), bidirectional=False, max_distance=9, query_start=2
        ),
    }


@pytest.mark.parametrize("length", [1, 7])
@pytest.mark.parametrize("features", [2, 8])
@pytest.mark.parametrize("start", [0, 5])
def test_sinusoidal_is_the_formula(length: int, features: int, start: int) -> None:
    got = positions.sinusoidal(length, features, start=start)
    for t in range(length):
        for i in range(features // 2):
            angle = (start + t) / 10000 ** (2 * i / features)
            assert got[t, 2 * i] == pytest.approx(math.sin(angle), abs=1e-6)
            assert got[t, 2 * i + 1] == pytest.approx(math.cos(angle), abs=1e-6)


def test_sinusoidal_options() -> None:
    got = positions.sinusoidal(2, 4, base=100.0, dtype=torch.float64)
    assert got.dtype == torch.float64
    assert float(got[1, 2]) == pytest.approx(math.sin(0.1))
    far = positions.sinusoidal(1, 2, start=10_000_019)
    assert float(far[0, 0]) == pytest.approx(math.sin(10_000_019), abs=1e-6)


def test_alibi_slopes_are_the_papers() -> None:
    assert positions.ALiBi.for_heads(8).slopes.tolist() == [2.0**-i for i in range(1, 9)]
    assert_same(
        positions.ALiBi.for_heads(16).slopes, torch.tensor([2 ** (-i / 2) for i in range(1, 17)])
    )
    # Between powers of two: those of the power below, then every other one of the power above.
    twelve = [2.0**-i for i in range(1, 9)] + [2 ** (-i / 2) for i in (1, 3, 5, 7)]
    assert_same(positions.ALiBi.for_heads(12).slopes, torch.tensor(twelve))
    assert positions.ALiBi.for_heads(1).slopes.tolist() == [2.0**-8]


def test_alibi_falls_with_distance() -> None:
    tile = positions.ALiBi(torch.tensor([1.0, 0.5]), query_start=1).tile(Rows.all(2, 3, (2,), CPU))
    assert tile.tolist() == [[[-1, 0, -1], [-2, -1, 0]], [[-0.5, 0, -0.5], [-1, -0.5, 0]]]


def t5_bucket(distance: int, bidirectional: bool, buckets: int, max_distance: int) -> int:
    """The bucket of key position − query position, as T5's paper and code describe it."""
    first = 0
    if bidirectional:
        buckets //= 2
        if distance > 0:
            first = buckets
        behind = abs(distance)
    else:
        behind = max(-distance, 0)
    exact = buckets // 2
    if behind < exact:
        return first + behind
    ratio = math.log(behind / exact) / math.log(max_distance / exact)
    return first + min(exact + int(ratio * (buckets - exact)), buckets - 1)


@pytest.mark.parametrize("bidirectional", [True, False])
@pytest.mark.parametrize(("buckets", "max_distance"), [(32, 128), (8, 20), (12, 40), (6, 9)])
def test_buckets_are_t5s(bidirectional: bool, buckets: int, max_distance: int) -> None:
    bias = positions.RelativeBuckets(
        torch.zeros(1, buckets), bidirectional=bidirectional, max_distance=max_distance
    )
    distances = range(-150, 151)
    got = bias.bucket(torch.tensor(distances)).tolist()
    assert got == [t5_bucket(d, bidirectional, buckets, max_distance) for d in distances]


@pytest.mark.parametrize("name", biases())
def test_tiles_are_slices_of_the_whole(name: str) -> None:
    bias = biases()[name]
    rows = Rows.all(7, 9, (4,), CPU)
    whole = bias.tile(rows)
    for start, stop in ((0, 3), (3, 7), (6, 7)):
        assert torch.equal(bias.tile(rows.block(start, stop)), whole[..., start:stop, :])


@pytest.mark.parametrize("name", biases())
@pytest.mark.parametrize("backend", ["auto", "sdpa", "chunked", "reference"])
def test_a_position_bias_equals_its_tensor(name: str, backend: str) -> None:
    bias = biases()[name]
    query, key = torch.randn(2, 4, 7, 4), torch.randn(2, 4, 9, 4)
    tensor = bias.tile(Rows.all(7, 9, (2, 4), CPU)).expand(1, 4, 7, 9)
    got = attend(query, key, key, bias=bias, backend=backend).output
    assert_same(got, attend(query, key, key, bias=tensor, backend="reference").output)


@pytest.mark.parametrize("backend", ["auto", "chunked", "reference"])
def test_a_learned_table_gets_its_gradient(backend: str) -> None:
    table = torch.randn(4, 8, requires_grad=True)
    query, key = torch.randn(2, 4, 7, 4), torch.randn(2, 4, 9, 4)
    bias = positions.RelativeBuckets(table, max_distance=12)
    attend(query, key, key, bias=bias, backend=backend).output.square().sum().backward()
    got, table.grad = table.grad, None
    tensor = bias.tile(Rows.all(7, 9, (2, 4), CPU))[None]
    attend(query, key, key, bias=tensor, backend="reference").output.square().sum().backward()
    assert got is not None
    assert table.grad is not None
    assert_same(got, table.grad)


def test_decoding_step_by_step_sees_the_same_positions() -> None:
    query, key = torch.randn(2, 4, 5, 4), torch.randn(2, 4, 5, 4)
    whole = attend(query, key, key, bias=positions.ALiBi.for_heads(4)).output
    slopes = positions.ALiBi.for_heads(4).slopes
    for step in range(5):
        bias = positions.ALiBi(slopes, query_start=step)
        one = attend(query[..., step : step + 1, :], key, key, bias=bias).output
        assert_same(one, whole[..., step : step + 1, :])


INNER = {
    "dot": scores.Dot(),
    "scaled_dot": scores.ScaledDot(),
    "cosine": scores.Cosine(2.0),
    "gaussian": scores.Gaussian(1.5),
    "bilinear": scores.Bilinear(torch.eye(6).double()),
    "low_rank": scores.LowRank(torch.eye(6).double(), torch.eye(6).double()),
}


@pytest.mark.parametrize("name", INNER)
def test_rotation_depends_on_distance_alone(name: str) -> None:
    rotary = positions.Rotary(4)
    query, key = torch.randn(1, 6).double(), torch.randn(1, 6).double()

    def score(i: int | torch.Tensor, j: int | torch.Tensor) -> torch.Tensor:
        value = scores.Rotated(INNER[name], rotary, query_start=i, key_start=j)
        return value.pair(value.prepare_query(query), value.prepare_key(key).features)

    assert_same(score(7, 3), score(104, 100))
    assert_same(
        score(0, 0),
        INNER[name].pair(INNER[name].prepare_query(query), INNER[name].prepare_key(key).features),
    )
    assert_same(score(torch.tensor([9]), torch.tensor([4])), score(5, 0))
    assert not torch.allclose(score(7, 3), score(7, 2))


def test_rotation_is_the_papers() -> None:
    x = torch.randn(3, 6).double()
    got = positions.Rotary(4, base=100.0).rotate(x, start=2)
    for t in range(3):
        for i in range(2):
            turn = (t + 2) * 100.0 ** (-2 * i / 4)
            matrix = torch.tensor(
                [[math.cos(turn), -math.sin(turn)], [math.sin(turn), math.cos(turn)]]
            )
            assert_same(
                got[t, 2 * i : 2 * i + 2],
                matrix.double() @ x[t, 2 * i : 2 * i + 2],
                dtype=torch.float32,
            )
    assert torch.equal(got[:, 4:], x[:, 4:]), "features past those turned stay"


def test_rotated_keys_grow_like_a_cache() -> None:
    rotary = positions.Rotary(8)
    query, key = torch.randn(2, 3, 8), torch.randn(2, 5, 8)
    whole = scores.Rotated(scores.ScaledDot(), rotary, query_start=2)
    parts = [
        scores.Rotated(scores.ScaledDot(), rotary, key_start=start)
        .prepare_key(key[:, start:stop])
        .features
        for start, stop in ((0, 2), (2, 5))
    ]
    cache = whole.prepare_key(key).with_features(torch.cat(parts, 1))
    assert_same(
        attend(query, cache, key, score=whole).output, attend(query, key, key, score=whole).output
    )


@pytest.mark.parametrize("features", [8, 6])
def test_rotation_by_halves_is_that_of_llama_and_neox(features: int) -> None:
    """`apply_rotary_pos_emb` and `rotate_half` as Hugging Face has them, with positions (batch, length)."""
    query = torch.randn(3, 2, 5, 8, dtype=torch.float64)
    index = torch.randint(0, 50, (3, 5))
    inverse = 1.0 / 500.0 ** (torch.arange(0, features, 2, dtype=torch.float64) / features)
    angles = index[:, :, None] * inverse
    embedded = torch.cat([angles, angles], -1)[:, None]
    turned, rest = query[..., :features], query[..., features:]
    half = torch.cat([-turned[..., features // 2 :], turned[..., : features // 2]], -1)
    wanted = torch.cat([turned * embedded.cos() + half * embedded.sin(), rest], -1)
    rotary = positions.Rotary(features, base=500.0, layout="half")
    assert_same(rotary.rotate(query, index), wanted)


def test_layouts_differ_by_the_order_of_features_alone() -> None:
    x = torch.randn(2, 5, 8)
    order = torch.tensor([0, 2, 4, 6, 1, 3, 5, 7])
    by_halves = positions.Rotary(8, layout="half").rotate(x[..., order], start=3)
    assert_same(by_halves, positions.Rotary(8).rotate(x, start=3)[..., order])
    scaled = scores.ScaledDot()
    kinds = {
        scores.Rotated(scaled, positions.Rotary(8, layout=layout)).key_kind
        for layout in ("interleaved", "half")
    }
    assert len(kinds) == 2


@pytest.mark.parametrize("layout", ["interleaved", "half"])
@pytest.mark.parametrize("backend", ["auto", "reference", "sdpa", "band", "chunked"])
def test_positions_of_each_sequence_equal_a_loop(
    backend: str, layout: Literal["interleaved", "half"]
) -> None:
    query, key, value = (
        torch.randn(3, 4, n, 8, dtype=torch.float64, requires_grad=True) for n in (5, 6, 6)
    )
    places = torch.randint(0, 90, (3, 5)), torch.randint(0, 90, (3, 6))
    rotary, mask = positions.Rotary(8, layout=layout), masks.Window(2, 3)
    score = scores.Rotated(scores.ScaledDot(), rotary, *places)
    got = attend(query, key, value, score=score, mask=mask, backend=backend).output
    wanted = torch.stack(
        [
            attend(
                query[i],
                key[i],
                value[i],
                score=scores.Rotated(scores.ScaledDot(), rotary, places[0][i], places[1][i]),
                mask=mask,
                backend="reference",
            ).output
            for i in range(3)
        ]
    )
    assert_same(got, wanted.detach())
    for one, other in zip(
        torch.autograd.grad(got.square().sum(), (query, key, value)),
        torch.autograd.grad(wanted.square().sum(), (query, key, value)),
        strict=True,
    ):
        assert_same(one, other)


def test_shapes_of_positions() -> None:
    rotary, whole = positions.Rotary(4), torch.randn(2, 3, 5, 4)
    index = torch.randint(0, 9, (2, 5))
    wanted = rotary.rotate(whole, index)
    assert torch.equal(rotary.rotate(whole, index[:, None]), wanted)
    assert torch.equal(rotary.rotate(whole, index[:, None].expand(2, 3, 5)), wanted)
    assert torch.equal(rotary.rotate(whole[:, 0], index), wanted[:, 0])
    assert torch.equal(rotary.rotate(whole, index[:1]), rotary.rotate(whole, index[0]))


@pytest.mark.parametrize("score", ["scaled_dot", "cosine"])
def test_left_padding_does_not_count_in_a_module(score: str) -> None:
    """Two sequences padded on the left against each on its own; then one token more by the cache."""
    rotary = positions.Rotary(4, layout="half")
    module = nn.MultiHeadAttention(8, 2, score=score, rotary=rotary).double()
    x, lengths = torch.randn(2, 6, 8).double(), torch.tensor([3, 5])
    starts = 5 - lengths
    places = (torch.arange(6) - starts[:, None]).clamp(min=0)
    mask = masks.LeftPadding(starts) & masks.Causal("bottom_right")
    first = module(x[:, :5], mask=mask, positions=places[:, :5])
    then = module(x[:, 5:], x[:, 5:], cache=first.cache, mask=mask, positions=places[:, 5:])
    for i, start in enumerate(starts.tolist()):
        wanted = module(x[i, start:], mask=masks.Causal()).output
        assert_same(first.output[i, start:], wanted[:-1])
        assert_same(then.output[i], wanted[-1:])
    with pytest.raises(
        OptionError, match="positions were given to a MultiHeadAttention without rotary"
    ):
        nn.MultiHeadAttention(8, 2)(x.float(), positions=places)


def _quadratic() -> positions.Quadratic:
    return positions.Quadratic(
        torch.randn(5, 2, dtype=torch.float64, requires_grad=True),
        torch.randn(7, 2, dtype=torch.float64),
        torch.rand(5, dtype=torch.float64, requires_grad=True),
    )


@pytest.mark.parametrize("backend", ["reference", "chunked", "edges"])
def test_quadratic_is_its_formula_in_each_backend(backend: str) -> None:
    bias = _quadratic()
    query, key, value = (torch.randn(2, 3, n, 4, dtype=torch.float64) for n in (5, 7, 7))
    index = torch.cartesian_prod(torch.arange(7), torch.arange(5)).t()
    edges = masks.Edges(index, num_queries=5, num_keys=7) if backend == "edges" else None
    square = (bias.key[None] - bias.target[:, None]).square().sum(-1)
    wanted = attend(query, key, value, bias=-bias.sharpness[:, None] * square).output
    got = attend(query, key, value, bias=bias, mask=edges, backend=backend).output
    torch.testing.assert_close(got, wanted)
    learned = [bias.target, bias.sharpness]
    factor = torch.randn_like(wanted)
    for one, other in zip(
        torch.autograd.grad((got * factor).sum(), learned),
        torch.autograd.grad((wanted * factor).sum(), learned),
        strict=True,
    ):
        torch.testing.assert_close(one, other)


def test_quadratic_keeps_neighbours_apart_in_bfloat16() -> None:
    places = torch.arange(256.0)[:, None].bfloat16()
    bias = positions.Quadratic(places[200:201], places, torch.ones(1))
    assert bias.tile(Rows.all(1, 256, (), torch.device("cpu")))[0, 198:203].tolist() == [
        -4,
        -1,
        0,
        -1,
        -4,
    ]


def test_quadratic_that_does_not_fit() -> None:
    one, two = torch.zeros(4, 1), torch.zeros(4, 2)
    with pytest.raises(ShapeError, match="the same number of axes"):
        positions.Quadratic(one, two, torch.ones(1))
    with pytest.raises(ShapeError, match=r"sharpness has shape \(3,\)"):
        positions.Quadratic(one, one, torch.ones(3))
    with pytest.raises(ShapeError, match="made for 4 queries and 4 keys, but the call has 5 and 4"):
        attend(
            torch.zeros(5, 2),
            torch.zeros(4, 2),
            torch.zeros(4, 2),
            bias=positions.Quadratic(one, one, torch.ones(1)),
        )
