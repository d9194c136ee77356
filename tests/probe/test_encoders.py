"""Names of encoders with options, and what is wrong with wrong ones."""

from __future__ import annotations

import pytest
import torch

from heedful.errors import OptionError
from heedful.models.encoders import ENCODERS
from heedful.probe.encoders import Spec
from heedful.probe.settings import Settings


@pytest.mark.parametrize("kind", ENCODERS)
def test_every_encoder_has_states_of_the_width_and_no_dropout(kind: str) -> None:
    encoder = Spec.parse(kind).build(16, 40).train()
    inputs, lengths = torch.randn(2, 40, 16), torch.tensor([40, 40])
    one, same = (encoder(inputs, lengths).values for _ in range(2))
    assert one.shape == (2, 40, 16)
    assert torch.equal(one, same)


@pytest.mark.parametrize("kind", ["rnn", "lstm", "gru"])
def test_recurrence_looks_back_alone_unless_told(kind: str) -> None:
    assert Spec.parse(kind).build(8, 8).width == 8
    assert Spec.parse(f"{kind}:bidirectional=true").build(8, 8).width == 16


def test_options_are_the_configurations() -> None:
    spec = Spec.parse(" transformer : positions=rotary : heads=2:score = additive")
    config = spec.config(32, 64).model_dump()
    assert spec.name == "transformer:positions=rotary:heads=2:score = additive"
    assert (config["positions"], config["heads"], config["score"]) == ("rotary", 2, "additive")
    assert config["feed_forward"] == 64


def test_positions_are_taken_away() -> None:
    spec = Spec.parse("transformer:positions=learned:heads=2")
    assert spec.has_positions
    assert not Spec.parse("lstm").has_positions
    config = spec.without_positions().config(8, 8).model_dump()
    assert (config["positions"], config["heads"]) == ("none", 2)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("transfomer", r"unknown encoder 'transfomer'; did you mean 'transformer'\?"),
        ("", r"unknown encoder ''"),
        ("lstm:two", r"encoder 'lstm:two': 'two' has not the form option=value"),
        ("lstm:kind=gru", r"the kind is what stands first, 'lstm'"),
        ("lstm:heads=2", r"heads"),
        ("transformer:headz=2", r"did you mean 'heads'"),
        ("transformer:heads=0", r"heads"),
        ("transformer:score=dott", r"score"),
    ],
)
def test_wrong_names(text: str, message: str) -> None:
    with pytest.raises(OptionError, match=message):
        Spec.parse(text)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"width": 0}, r"width = 0: 1 or more"),
        ({"lengths": (8, 3)}, r"lengths = 3: 4 or more"),
        ({"steps": -1}, r"steps = -1: 0 or more"),
        ({"lengths": ()}, r"no length"),
        ({"symbols": 1}, r"symbols = 1 leaves nothing to remember"),
    ],
)
def test_wrong_settings(wrong: dict[str, object], message: str) -> None:
    with pytest.raises(OptionError, match=message):
        Settings(**wrong)  # type: ignore[arg-type]
