"""The fused decoding step against the layers that it stands for."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from heedful.models import TransformerEncoderDecoder
from heedful.models.transformer_step import FusedState
from heedful.models.transformer_text import TransformerState
from heedful.ops.observe import observing
from tests.models.decoder_steps import Batch, build_batch, build_model, check_steps

KINDS: dict[str, dict[str, Any]] = {
    "pre": {},
    "post": {"norm": "post"},
    "learned": {"positions": "learned", "max_length": 50},
    "none": {"positions": "none"},
    "concat": {"positions_how": "concat"},
    "gelu": {"activation": "gelu"},
    "gated": {"activation": "gated"},
    "biased": {"frequency": True},
}
OTHERS: dict[str, dict[str, Any]] = {
    "additive": {"score": "additive"},
    "sparse": {"normalizer": "sparsemax"},
    "grouped": {"key_heads": 1},
    "rotary": {"positions": "rotary"},
    "alibi": {"positions": "alibi"},
    "every layer": {"positions_how": "every_layer"},
}
ORDERS = {
    "same": [0, 1, 2, 3],
    "repeated": [0, 0, 1, 1, 2, 2, 3, 3],
    "ragged": [0, 0, 0, 1, 3, 3],
    "one left": [2],
    "two left": [1, 3, 3],
    "mixed": [3, 0, 0, 2, 1],
}


def built(frequency: bool = False, **options: Any) -> TransformerEncoderDecoder:
    return build_model({"width": 16, "feed_forward": 12, **options}, frequency=frequency)


def batch(longest: bool = False) -> Batch:
    return build_batch([6, 6, 6, 6] if longest else [6, 3, 1, 4])


@pytest.mark.parametrize("name", KINDS)
@pytest.mark.parametrize("order", ORDERS)
@torch.inference_mode()
def test_steps_are_those_of_the_layers(name: str, order: str) -> None:
    model = built(**KINDS[name])
    within = {"atol": 1e-5, "rtol": 1e-4}
    check_steps(
        model, model, batch(longest=order == "ragged"), ORDERS[order], FusedState,
        states_within=within, weights_within=within,
    )  # fmt: skip


@torch.inference_mode()
def test_a_state_is_a_value() -> None:
    model = built()
    source, lengths, target = batch()
    _, first = model.step(target[:, 0], model.start(source, lengths))
    one, after_one = model.step(target[:, 1], first)
    other, after_other = model.step(target[:, 2], first)
    again, _ = model.step(target[:, 1], first)
    assert torch.equal(one, again)
    assert not torch.equal(one, other)
    for place, after in ((1, after_one), (2, after_other)):
        tokens = target[:, [0, place, 3]]
        states, _ = model.step(target[:, 3], after)
        wanted = model(source, lengths, tokens).states[:, 2]
        torch.testing.assert_close(states, wanted, atol=1e-5, rtol=1e-4)


@torch.inference_mode()
def test_the_memory_is_copied_only_when_sentences_have_left() -> None:
    model = built()
    source, lengths, target = batch()
    state = model.start(source, lengths).select(torch.arange(4).repeat_interleave(2))
    _, state = model.step(target[:, 0].repeat_interleave(2), state)
    for rows in ([1, 0, 2, 2, 5, 4, 7, 7], [0, 2, 3, 4, 6], [0, 1, 2, 4]):
        assert state.select(torch.tensor(rows)).memory is state.memory
    smaller = state.select(torch.tensor([4, 7, 6]))
    assert smaller.memory[0][0].shape[0] == 2
    assert smaller.sentence.tolist() == [0, 1, 1]


@pytest.mark.parametrize("name", OTHERS)
@torch.inference_mode()
def test_other_decoders_keep_their_own_steps(name: str) -> None:
    model = built(**OTHERS[name])
    source, lengths, _ = batch()
    assert isinstance(model.start(source, lengths), TransformerState)


def test_training_gradients_and_observers_keep_the_layers() -> None:
    model = built()
    source, lengths, _ = batch()
    assert isinstance(model.start(source, lengths), TransformerState)
    with torch.inference_mode():
        assert isinstance(model.start(source, lengths), FusedState)
        with observing(lambda _: None):
            assert isinstance(model.start(source, lengths), TransformerState)
        assert isinstance(model.train().start(source, lengths), TransformerState)
