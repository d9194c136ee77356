from __future__ import annotations

import pytest
import torch

from heedful import attend, masks, plan
from heedful.errors import OptionError, ShapeError
from heedful.nn import (
    NORMALIZER_BUILDERS,
    SCORE_MODULES,
    Attention,
    LearnedEntmax,
    MultiHeadAttention,
    build_normalizer,
    build_score,
)
from heedful.ops.normalizers import Sigmoid
from heedful.ops.positions import Rotary

DOTS = [name for name in SCORE_MODULES if name != "additive"]
SHARED = [None, 2]


def built(score="scaled_dot", *, embed_dim=8, num_heads=4, **options):
    torch.manual_seed(3)
    attention = MultiHeadAttention(embed_dim, num_heads, score=score, **options)
    with torch.no_grad():
        for parameter in attention.parameters():
            parameter += 0.1 * torch.randn_like(parameter)  # so that heads and biases differ
    return attention


# One head, any score


@pytest.mark.parametrize("score", SCORE_MODULES)
def test_attention_is_attend_with_its_score(score):
    attention = Attention(build_score(score, 4, 4))
    query, key, value = torch.randn(2, 3, 4), torch.randn(2, 5, 4), torch.randn(2, 5, 6)
    mask = masks.Padding(torch.tensor([5, 2]))
    wanted = attend(query, key, value, score=attention.score(), mask=mask, return_weights=True)
    got = attention(query, key, value, mask=mask, return_weights=True)
    torch.testing.assert_close(got, wanted)
    prepared = attention(query, attention.prepare(key), value, mask=mask)
    torch.testing.assert_close(prepared.output, wanted.output)
    assert prepared.weights is None


def test_attention_takes_a_bias_a_normalizer_and_dropout():
    query, key = torch.randn(2, 3, 4), torch.randn(2, 5, 4)
    plain = Attention(build_score("dot", 4, 4))(query, key, key).output
    attention = Attention(build_score("dot", 4, 4), dropout=0.5, kind="self")
    assert attention.kind == "self"
    assert not torch.allclose(attention(query, key, key).output, plain)
    torch.testing.assert_close(attention.eval()(query, key, key).output, plain)
    assert not torch.allclose(attention(query, key, key, bias=torch.randn(3, 5)).output, plain)
    learned = Attention(build_score("dot", 4, 4), normalizer=LearnedEntmax())
    assert not torch.allclose(learned(query, key, key).output, plain)
    assert set(learned.state_dict()) == {"normalizer.raw_alpha"}


# Several heads: contracts of every score


@pytest.mark.parametrize("num_kv_heads", SHARED)
@pytest.mark.parametrize("score", SCORE_MODULES)
def test_one_call_is_projections_and_attend(score, num_kv_heads):
    attention = built(score, num_kv_heads=num_kv_heads)
    query, key = torch.randn(2, 3, 8), torch.randn(2, 5, 8)

    def heads(projected):
        return projected.unflatten(-1, (-1, 2)).transpose(-3, -2)

    attended = attend(
        heads(attention.query_projection(query)),
        heads(attention.key_projection(key)),
        heads(attention.value_projection(key)),
        score=attention.score(),
        enable_gqa=True,
        return_weights=True,
    )
    merged = attended.output.transpose(-3, -2).flatten(-2)
    got = attention(query, key, return_weights=True)
    torch.testing.assert_close(got.output, attention.output_projection(merged))
    torch.testing.assert_close(got.weights, attended.weights)
    assert got.weights.shape == (2, 4, 3, 5)


@pytest.mark.parametrize("num_kv_heads", SHARED)
@pytest.mark.parametrize("score", SCORE_MODULES)
@pytest.mark.parametrize("rotary", [False, True])
def test_step_by_step_with_a_cache_is_the_whole(score, num_kv_heads, rotary):
    if rotary and score == "additive":
        pytest.skip("rotary positions need an inner product")
    features = build_score(score, 4, 4).projected_dim
    options = {"rotary": Rotary(features)} if rotary else {}
    attention = built(score, embed_dim=16, num_kv_heads=num_kv_heads, **options)
    x = torch.randn(3, 6, 16)
    whole = attention(x, mask=masks.Causal()).output
    cache, steps = None, []
    for first, last in ((0, 1), (1, 2), (2, 5), (5, 6)):
        part = x[:, first:last]
        after = attention(part, part, mask=masks.Causal(align="bottom_right"), cache=cache)
        cache = after.cache
        steps.append(after.output)
        assert cache.length == last
    torch.testing.assert_close(torch.cat(steps, 1), whole, atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("num_kv_heads", SHARED)
@pytest.mark.parametrize("score", SCORE_MODULES)
def test_a_prepared_memory_serves_many_calls_and_rows_can_be_selected(score, num_kv_heads):
    attention = built(score, num_kv_heads=num_kv_heads)
    query, key, value = torch.randn(3, 2, 8), torch.randn(3, 5, 8), torch.randn(3, 5, 8)
    cache = attention.prepare(key, value)
    wanted = attention(query, key, value).output
    after = attention(query, cache=cache)
    torch.testing.assert_close(after.output, wanted)
    assert after.cache is cache
    rows = torch.tensor([2, 0, 0])
    selected = attention(query[rows], cache=cache.select(rows)).output
    torch.testing.assert_close(selected, wanted[rows])
    torch.testing.assert_close(
        attention(query, cache=attention.prepare(key)).output, attention(query, key).output
    )


@pytest.mark.parametrize("num_kv_heads", SHARED)
@pytest.mark.parametrize("score", SCORE_MODULES)
def test_a_batch_is_a_loop_and_padding_never_matters(score, num_kv_heads):
    attention = built(score, num_kv_heads=num_kv_heads)
    query, key = torch.randn(3, 4, 8), torch.randn(3, 6, 8)
    lengths = torch.tensor([6, 1, 4])
    padded = key.clone()
    for row, length in enumerate(lengths.tolist()):
        padded[row, length:] = float("nan")
    batch = attention(query, padded, mask=masks.Padding(lengths), return_weights=True)
    unasked = attention(query, padded, mask=masks.Padding(lengths))
    assert torch.equal(batch.output, unasked.output)
    assert unasked.weights is None
    for row, length in enumerate(lengths.tolist()):
        alone = attention(query[row], key[row, :length], return_weights=True)
        torch.testing.assert_close(batch.output[row], alone.output, atol=1e-5, rtol=1e-4)
        torch.testing.assert_close(batch.weights[row, ..., :length], alone.weights)
        assert bool((batch.weights[row, ..., length:] == 0).all())


@pytest.mark.parametrize("num_kv_heads", SHARED)
@pytest.mark.parametrize("score", SCORE_MODULES)
def test_gradients_of_inputs_and_parameters(score, num_kv_heads):
    attention = built(score, embed_dim=4, num_heads=2, num_kv_heads=num_kv_heads and 1).double()
    query = torch.randn(1, 2, 4, dtype=torch.float64, requires_grad=True)
    key = torch.randn(1, 3, 4, dtype=torch.float64, requires_grad=True)
    names = [name for name, _ in attention.named_parameters()]

    def call(query, key, *parameters):
        own = dict(zip(names, parameters, strict=True))
        mask = masks.Dense(torch.tensor([[True, True, False], [True, True, True]]))
        return torch.func.functional_call(attention, own, (query, key), {"mask": mask}).output

    assert torch.autograd.gradcheck(call, (query, key, *attention.parameters()))


@pytest.mark.parametrize("score", SCORE_MODULES)
def test_save_and_load(score):
    first, second = (
        built(score, num_kv_heads=2),
        MultiHeadAttention(8, 4, num_kv_heads=2, score=score),
    )
    x = torch.randn(2, 3, 8)
    assert not torch.allclose(first(x).output, second(x).output)
    second.load_state_dict(first.state_dict())
    assert torch.equal(first(x).output, second(x).output)


@pytest.mark.parametrize("name", NORMALIZER_BUILDERS)
def test_every_normalizer(name):
    attention = built(num_heads=2, normalizer=build_normalizer(name, num_heads=2))
    x = torch.randn(2, 3, 8)
    output, weights, _ = attention(x, mask=masks.Causal(), return_weights=True)
    assert bool((weights.triu(1) == 0).all())
    if name not in ("sigmoid", "relu", "sink_softmax", "learned_sink_softmax"):
        torch.testing.assert_close(weights.sum(-1), torch.ones(2, 2, 3))
    output.sum().backward()
    assert all(parameter.grad is not None for parameter in attention.parameters())


def test_a_row_that_sees_nothing_gives_the_output_bias():
    attention = built()
    x = torch.randn(2, 3, 8)
    output = attention(x, mask=torch.zeros(3, 3, dtype=torch.bool)).output
    torch.testing.assert_close(output, attention.output_projection.bias.expand(2, 3, 8))


def test_other_widths_batch_axes_and_dtypes():
    attention = built(embed_dim=8, num_heads=2, kdim=6, vdim=5, head_dim=3)
    query, key, value = torch.randn(2, 7, 3, 8), torch.randn(2, 7, 4, 6), torch.randn(2, 7, 4, 5)
    output, weights, cache = attention(query, key, value, return_weights=True)
    assert (output.shape, weights.shape) == ((2, 7, 3, 8), (2, 7, 2, 3, 4))
    assert cache.value.shape == (2, 7, 2, 4, 3)
    torch.testing.assert_close(attention(query[1, 2], key[1, 2], value[1, 2]).output, output[1, 2])
    half = attention.bfloat16()(query.bfloat16(), key.bfloat16(), value.bfloat16()).output
    assert half.dtype == torch.bfloat16
    torch.testing.assert_close(half.float(), output, atol=0.1, rtol=0.1)
    assert MultiHeadAttention(8, 2, kdim=6).value_projection.in_features == 6


def test_one_tensor_is_projected_at_once_and_the_parts_are_the_same():
    attention = built()
    x = torch.randn(2, 3, 8)
    torch.testing.assert_close(attention(x).output, attention(x, x.clone(), x.clone()).output)
    unbiased = built(bias=False)
    torch.testing.assert_close(unbiased(x).output, unbiased(x, x.clone(), x.clone()).output)


@pytest.mark.parametrize(
    "options",
    [
        {"num_heads": 2},
        {"num_kv_heads": 1},
        {"head_dim": 3},
        {"score": "dot"},
        {"normalizer": Sigmoid()},
        {"dropout": 0.5},
        {"bias": False},
        {"rotary": Rotary(2)},
    ],
    ids=lambda options: next(iter(options)),
)
def test_every_argument_changes_the_output(options):
    x = torch.randn(2, 5, 8)
    assert not torch.allclose(built()(x).output, built(**options)(x).output, atol=1e-4)


def test_dropout_acts_while_training_alone_and_kind_never():
    x = torch.randn(2, 5, 8)
    dropping = built(dropout=0.5, kind="decoder")
    assert dropping.kind == "decoder"
    torch.testing.assert_close(dropping.eval()(x).output, built()(x).output)


def test_a_bias_on_the_scores_is_heard():
    x = torch.randn(2, 5, 8)
    assert not torch.allclose(built()(x).output, built()(x, bias=torch.randn(1, 4, 5, 5)).output)


def test_self_attention_of_plain_options_is_left_to_the_fused_call():
    x = torch.randn(2, 4, 16, 8)
    prepared = built().score().prepare_key(x)
    assert plan(x, prepared, x, mask=masks.Causal()).backend == "sdpa"


# Mistakes


def test_sizes_that_do_not_divide_are_named():
    with pytest.raises(ShapeError, match="num_heads=3 does not divide embed_dim=8"):
        MultiHeadAttention(8, 3)
    with pytest.raises(ShapeError, match="num_kv_heads=3 does not divide num_heads=4"):
        MultiHeadAttention(8, 4, num_kv_heads=3)
    with pytest.raises(ShapeError, match="num_heads=0 does not divide embed_dim=8"):
        MultiHeadAttention(8, 0)
    assert MultiHeadAttention(8, 3, head_dim=5).output_projection.in_features == 15


def test_options_that_do_not_exist_are_named():
    with pytest.raises(OptionError, match="did you mean 'bilinear'"):
        MultiHeadAttention(8, 4, score="bilinaer")
    with pytest.raises(OptionError, match=r"dropout=1.0 is not a probability in \[0, 1\)"):
        MultiHeadAttention(8, 4, dropout=1.0)
    with pytest.raises(OptionError, match=r"dropout=-1 is not a probability"):
        Attention(build_score("dot", 2, 2), dropout=-1)
    with pytest.raises(OptionError, match=r"rotary positions want .* inner product"):
        MultiHeadAttention(8, 4, score="additive", rotary=Rotary(2))


@pytest.mark.parametrize("what", ["query", "key", "value"])
def test_inputs_of_another_width_are_named(what):
    inputs = {
        "query": torch.zeros(1, 2, 8),
        "key": torch.zeros(1, 3, 8),
        "value": torch.zeros(1, 3, 8),
    }
    inputs[what] = inputs[what][..., :5]
    with pytest.raises(ShapeError, match=rf"{what} has shape \(1, ., 5\), wanted .* 8\)"):
        built()(**inputs)
    with pytest.raises(ShapeError, match=r"query has shape \(8,\)"):
        built()(torch.zeros(8))


def test_a_value_without_a_key_is_refused():
    attention = built()
    x = torch.randn(1, 2, 8)
    with pytest.raises(OptionError, match="value without a key"):
        attention(x, value=x, cache=attention.prepare(x))
