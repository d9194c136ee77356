from __future__ import annotations

import pytest
import torch

from heedful import attend
from heedful.errors import OptionError, ShapeError
from heedful.nn import (
    POSITIONS,
    ALiBiPositions,
    LearnedPositions,
    RelativePositions,
    SinusoidalPositions,
    build_bias,
    build_input_positions,
    build_rotary,
)
from heedful.ops.positions import Rotary

INPUT = {
    "sinusoidal": lambda how="add": SinusoidalPositions(4, how=how),
    "learned": lambda how="add": LearnedPositions(10, 4, how=how),
}
BIASES = {
    "alibi": lambda: ALiBiPositions(2),
    "relative": lambda: RelativePositions(2, buckets=8, max_distance=16),
    "relative to the past": lambda: RelativePositions(2, bidirectional=False, buckets=8),
}


@pytest.mark.parametrize("name", INPUT)
def test_added_or_concatenated(name):
    torch.manual_seed(0)
    added, joined = INPUT[name]("add"), INPUT[name]("concat")
    joined.load_state_dict(added.state_dict())
    x = torch.randn(2, 3, 5, 4)
    table = added(torch.zeros(5, 4))
    torch.testing.assert_close(added(x), x + table)
    assert torch.equal(joined(x), torch.cat([x, table.expand(2, 3, 5, 4)], -1))
    assert joined(torch.randn(5, 3)).shape == (5, 7)


@pytest.mark.parametrize("name", INPUT)
def test_start_continues_where_the_cache_ends(name):
    positions = INPUT[name]()
    x = torch.randn(1, 6, 4)
    whole = positions(x)
    torch.testing.assert_close(positions(x[:, 2:], 2), whole[:, 2:])
    assert positions(x.double()).dtype == torch.float64


@pytest.mark.parametrize("name", INPUT)
def test_mistakes_are_named(name):
    with pytest.raises(OptionError, match="unknown how 'ad'; did you mean 'add'"):
        INPUT[name]("ad")
    with pytest.raises(ShapeError, match=r"wanted \(\*batch, length, 4\)"):
        INPUT[name]()(torch.zeros(2, 3, 5))


def test_learned_positions_end():
    positions = LearnedPositions(10, 4)
    assert positions(torch.zeros(1, 10, 4)).shape == (1, 10, 4)
    with pytest.raises(ShapeError, match="positions 8 to 10 .* those learned are 0 to 9"):
        positions(torch.zeros(1, 3, 4), start=8)


@pytest.mark.parametrize("name", BIASES)
def test_biases_go_into_attend_whole_and_step_by_step(name):
    torch.manual_seed(0)
    module = BIASES[name]()
    x = torch.randn(3, 2, 6, 4)
    whole = attend(x, x, x, bias=module()).output
    assert not torch.allclose(whole, attend(x, x, x).output)
    later = attend(x[:, :, 4:], x, x, bias=module(4)).output
    torch.testing.assert_close(later, whole[:, :, 4:])


def test_relative_positions_learn_and_are_saved_and_alibi_has_nothing_to_save():
    module = RelativePositions(2, buckets=8, max_distance=16)
    x = torch.randn(1, 2, 6, 4)
    attend(x, x, x, bias=module()).output.square().sum().backward()
    assert module.table.grad.abs().sum() > 0
    assert set(module.state_dict()) == {"table"}
    assert not ALiBiPositions(2).state_dict()


def test_relative_positions_refuse_sizes_that_do_not_fit():
    with pytest.raises(OptionError, match="max_distance is 2"):
        RelativePositions(2, buckets=32, max_distance=2)


@pytest.mark.parametrize("name", POSITIONS)
def test_bias_by_name(name):
    bias = build_bias(name, 2, bidirectional=True)
    assert (bias is not None) == (name in ("alibi", "relative"))


def test_each_scheme_enters_in_one_place_and_none_in_none():
    for name in POSITIONS:
        built = [
            build_input_positions(name, 4, max_length=6),
            build_rotary(name, 4),
            build_bias(name, 2, bidirectional=True),
        ]
        assert sum(part is not None for part in built) == (name != "none"), name


def test_options_reach_what_is_built():
    learned = build_input_positions("learned", 4, max_length=6, how="concat")
    assert (learned.max_length, learned.embed_dim, learned.how) == (6, 4, "concat")
    assert build_input_positions("sinusoidal", 4, max_length=6, how="concat").how == "concat"
    assert build_rotary("rotary", 8) == Rotary(8)
    assert build_rotary("rotary", 8, score="low_rank") == Rotary(4)
    assert build_bias("alibi", 3, bidirectional=True).slopes.shape == (3,)
    relative = build_bias("relative", 3, bidirectional=False)
    assert (relative.table.shape[0], relative.bidirectional) == (3, False)


def test_an_unknown_name_names_the_nearest():
    for build in (
        lambda name: build_bias(name, 2, bidirectional=True),
        lambda name: build_rotary(name, 4),
        lambda name: build_input_positions(name, 4, max_length=6),
    ):
        with pytest.raises(OptionError, match="did you mean 'rotary'"):
            build("rotery")
