from __future__ import annotations

import pytest
import torch

from heedful import attend
from heedful.errors import OptionError, ShapeError
from heedful.nn import SCORE_MODULES, build_score
from heedful.ops.scores import SCORES

UNEQUAL = ("bilinear", "low_rank", "additive")
EQUAL = tuple(name for name in SCORE_MODULES if name not in UNEQUAL)


def test_every_score_has_its_module():
    assert list(SCORE_MODULES) == list(SCORES)


@pytest.mark.parametrize("name", SCORE_MODULES)
@pytest.mark.parametrize("heads", [None, 3])
def test_gives_the_score_it_is_named_after_and_trains(name, heads):
    module = build_score(name, 4, 4, num_heads=heads)
    score = module()
    assert score.name == name
    assert isinstance(score, SCORES[name])
    query, key = torch.randn(2, 3, 5, 4, requires_grad=True), torch.randn(2, 3, 6, 4)
    attend(query, key, key, score=score).output.square().sum().backward()
    for parameter in module.parameters():
        assert parameter.grad is not None
        assert parameter.grad.abs().sum() > 0
        if heads:
            assert parameter.shape[0] == heads


@pytest.mark.parametrize("name", UNEQUAL)
def test_takes_queries_and_keys_of_different_sizes(name):
    score = build_score(name, 5, 3)()
    query, key = torch.randn(2, 4, 5), torch.randn(2, 6, 3)
    assert attend(query, key, key, score=score).output.shape == (2, 4, 3)


@pytest.mark.parametrize("name", EQUAL)
def test_refuses_different_sizes_where_the_score_cannot_bridge_them(name):
    with pytest.raises(ShapeError, match=f"{name}.*query_dim=5 and key_dim=3.*bilinear"):
        build_score(name, 5, 3)


def test_an_unknown_name_names_the_nearest():
    with pytest.raises(OptionError, match="did you mean 'additive'"):
        build_score("aditive", 4, 4)


@pytest.mark.parametrize("name", ["additive", "low_rank"])
def test_hidden_is_the_size_that_is_paired(name):
    module = build_score(name, 4, 6, hidden_dim=7)
    assert module().prepare_key(torch.randn(2, 6)).features.shape == (2, 7)
    assert build_score(name, 4, 6)().prepare_key(torch.randn(2, 6)).features.shape != (2, 7)


@pytest.mark.parametrize("name", SCORE_MODULES)
@pytest.mark.parametrize("heads", [None, 2])
def test_projected_dim_is_what_rotary_positions_turn(name, heads):
    module = build_score(name, 6, 6, num_heads=heads)
    assert module().project_query(torch.randn(1, 2, 3, 6)).shape[-1] == module.projected_dim
    assert module().project_key(torch.randn(1, 2, 3, 6)).shape[-1] == module.projected_dim


@pytest.mark.parametrize("name", ["bilinear", "low_rank", "scaled_dot", "cosine"])
def test_random_inputs_start_with_scores_of_unit_size(name):
    torch.manual_seed(0)
    score = build_score(name, 32, 32, num_heads=8)()
    query, key = torch.randn(4, 8, 30, 32), torch.randn(4, 8, 30, 32)
    scores = score.pair(score.prepare_query(query), score.prepare_key(key).features)
    assert 0.7 < float(scores.detach().std()) < 1.4


@pytest.mark.parametrize("name", SCORE_MODULES)
def test_save_load_and_draw_anew(name):
    torch.manual_seed(0)
    first, second = build_score(name, 4, 4, num_heads=2), build_score(name, 4, 4, num_heads=2)
    second.load_state_dict(first.state_dict())
    query, key = torch.randn(1, 2, 3, 4), torch.randn(1, 2, 5, 4)
    before = attend(query, key, key, score=first()).output
    assert torch.equal(before, attend(query, key, key, score=second()).output)
    second.reset_parameters()
    drawn = name in UNEQUAL
    assert torch.equal(before, attend(query, key, key, score=second()).output) is not drawn


def test_repr_tells_the_sizes():
    assert "query_dim=4, key_dim=6" in repr(build_score("bilinear", 4, 6))
