"""What the scripts of claims make and do: held-out pairs, cut attention, keys that occur once."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
import torch

from claims import pronouns, slots
from heedful.nn.multi_head import MultiHeadAttention


def test_it_stands_for_nouns_that_never_met_the_adjective_in_training() -> None:
    train, test = pronouns.split(0)

    def adjective(item: pronouns.Item) -> str:
        return item.words[item.words.index("too") + 1]

    seen = {(item.words[place], adjective(item)) for item in train for place in (item.right, item.wrong)}  # fmt: skip
    assert not {(item.words[item.right], adjective(item)) for item in test} & seen
    assert {item.frame for item in test} == {"cross", "fit"}


@pytest.mark.parametrize("after", [False, True])
def test_the_adjective_decides_what_it_stands_for(after: bool) -> None:
    for adjective, noun in (("tired", "animal"), ("wide", "street")):
        item = pronouns.cross("animal", "street", adjective, after=after)
        assert item.words[item.right] == noun
        assert item.sentence().labels[item.it] == noun
    for adjective, noun in (("big", "trophy"), ("small", "case")):
        item = pronouns.fit("trophy", "case", adjective, after=after)
        assert {item.words[item.right], item.words[item.wrong]} == {"trophy", "case"}
        assert item.words[item.right] == noun


def test_cut_hides_one_position_from_another_alone_and_leaves_nothing_behind() -> None:
    attention = MultiHeadAttention(8, 2).eval()
    predictor: Any = SimpleNamespace(model=attention)
    states = torch.randn(1, 4, 8)
    plain = attention(states, return_weights=True).weights
    assert plain is not None
    with pronouns.cut(predictor, 1, 2):
        hidden = attention(states, return_weights=True).weights
    assert hidden is not None
    assert hidden[0, :, 1, 2].tolist() == [0, 0]
    torch.testing.assert_close(hidden[0, :, [0, 2, 3]], plain[0, :, [0, 2, 3]])
    again = attention(states, return_weights=True).weights
    torch.testing.assert_close(again, plain)


def test_every_key_stands_once_and_the_answer_is_its_value() -> None:
    keys, values, asked, wanted = slots.draw(5, torch.Generator().manual_seed(0))
    assert keys.sort(dim=1).values.tolist() == [list(range(slots.PAIRS))] * 5
    for row in range(5):
        [place] = (keys[row] == asked[row]).nonzero()
        assert values[row, place] == wanted[row]
