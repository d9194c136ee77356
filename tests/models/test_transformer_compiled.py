"""The compiled decoding step against the layers that it stands for."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from heedful.models import TransformerEncoderDecoder
from heedful.models import transformer_compiled as compiled
from heedful.models.transformer_compiled import CompiledState
from heedful.models.transformer_step import FusedState
from heedful.ops.jit.kernel import unavailable
from tests.models.decoder_steps import Batch, build_batch, build_model, check_steps

pytestmark = pytest.mark.skipif(unavailable() is not None, reason=str(unavailable()))

KINDS: dict[str, dict[str, Any]] = {
    "pre": {},
    "post": {"norm": "post"},
    "learned": {"positions": "learned", "max_length": 50},
    "concat": {"positions_how": "concat"},
    "biased": {"frequency": True},
    "whole panels": {"width": 64, "heads": 4, "feed_forward": 64},
    "wide heads": {"width": 96, "heads": 2, "feed_forward": 100},
}
OTHERS: dict[str, dict[str, Any]] = {
    "gelu": {"activation": "gelu"},
    "gated": {"activation": "gated"},
    "narrow heads": {"width": 32, "heads": 4},
}
ORDERS = {
    "same": [0, 1, 2, 3],
    "repeated": [0, 0, 1, 1, 2, 2, 3, 3],
    "ragged": [0, 0, 0, 1, 3, 3],
    "one left": [2],
    "mixed": [3, 0, 0, 2, 1],
    "many": [0] * 19 + [1] * 3 + [3] * 20,
}


def built(frequency: bool = False, **options: Any) -> TransformerEncoderDecoder:
    model = build_model({"width": 32, "feed_forward": 24, **options}, frequency=frequency)
    for name, each in model.named_parameters():
        if name.endswith("bias"):  # zeros at first, which would hide that one is left out
            torch.nn.init.normal_(each, std=0.2)
    return model


def batch() -> Batch:
    return build_batch([18, 3, 1, 16])


@pytest.mark.parametrize("name", KINDS)
@pytest.mark.parametrize("order", ORDERS)
@torch.inference_mode()
def test_steps_are_those_of_the_layers(name: str, order: str) -> None:
    check_steps(
        built(**KINDS[name]), built(**KINDS[name]).double(), batch(), ORDERS[order], CompiledState,
        states_within={"atol": 2e-5, "rtol": 1e-5}, weights_within={"atol": 2e-6, "rtol": 1e-5},
    )  # fmt: skip


@torch.inference_mode()
def test_parts_of_the_rows_are_computed_alike(monkeypatch: pytest.MonkeyPatch) -> None:
    model = built()
    source, lengths, target = batch()
    rows = torch.arange(4).repeat_interleave(20)
    found = []
    for parts in (1, 3):
        monkeypatch.setattr(compiled, "parts_for", lambda _, parts=parts: parts)
        _, state = model.step(target[:, 0], model.start(source, lengths))
        found.append(model.step(target[rows, 1], state.select(rows))[0])
    assert torch.equal(*found)


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
        states, _ = model.step(target[:, 3], after)
        wanted = model(source, lengths, target[:, [0, place, 3]]).states[:, 2]
        torch.testing.assert_close(states, wanted, atol=1e-5, rtol=1e-4)


@torch.inference_mode()
def test_selecting_copies_no_keys() -> None:
    model = built()
    source, lengths, target = batch()
    _, state = model.step(target[:, 0], model.start(source, lengths))
    assert isinstance(state, CompiledState)
    chosen = state.select(torch.tensor([3, 0]))
    assert chosen.slots is state.slots
    assert chosen.ancestors.tolist() == [[3], [0]]


@torch.inference_mode()
def test_what_padding_holds_does_not_matter() -> None:
    model = built()
    source, lengths, target = batch()
    memory = model.encode(source, lengths)
    _, wanted = _two_steps(model, memory, target)
    for row, length in enumerate(lengths.tolist()):
        memory.values[row, length:] = torch.nan
    found, _ = _two_steps(model, memory, target)
    assert torch.equal(found, wanted)


def _two_steps(model: Any, memory: Any, target: Tensor) -> tuple[Tensor, Tensor]:
    _, state = model.step(target[:, 0], model.begin(memory))
    assert isinstance(state, CompiledState)
    states, _ = model.step(target[:, 1], state)
    return states, states


@torch.inference_mode()
def test_weights_that_were_written_since_are_used() -> None:
    model = built()
    source, lengths, target = batch()
    before, _ = model.step(target[:, 0], model.start(source, lengths))
    model.decoder.layers[0].feed_forward.narrow.weight.data.mul_(2.0)  # type: ignore[union-attr]
    after, _ = model.step(target[:, 0], model.start(source, lengths))
    wanted = model(source, lengths, target[:, :1]).states[:, 0]
    torch.testing.assert_close(after, wanted, atol=1e-5, rtol=1e-4)
    assert not torch.equal(before, after)


@torch.inference_mode()
def test_not_a_number_is_not_lost() -> None:
    model = built()
    source, lengths, target = batch()
    model.decoder.layers[1].feed_forward.widen.bias[3] = torch.nan  # type: ignore[union-attr,index]
    states, _ = model.step(target[:, 0], model.start(source, lengths))
    assert states.isnan().all()


@pytest.mark.parametrize("name", OTHERS)
@torch.inference_mode()
def test_other_layers_keep_steps_of_operators(name: str) -> None:
    model = built(**OTHERS[name])
    source, lengths, _ = batch()
    assert isinstance(model.start(source, lengths), FusedState)


@torch.inference_mode()
def test_other_numbers_and_large_decoders_keep_steps_of_operators(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    source, lengths, _ = batch()
    assert isinstance(built().double().start(source, lengths), FusedState)
    monkeypatch.setattr(compiled, "MOST_WEIGHTS", 20_000)
    assert isinstance(built().start(source, lengths), FusedState)
    monkeypatch.setattr(compiled, "MOST_WEIGHTS", 30_000)
    assert isinstance(built().start(source, lengths), CompiledState)
