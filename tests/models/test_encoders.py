"""The contract that every encoder keeps, and what sets each apart: how far a token sees."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from pydantic import ValidationError
from torch import Tensor

from heedful.errors import HeedfulError, OptionError, ShapeError
from heedful.models.config import choices_of
from heedful.models.encoders import ENCODER_CONFIGS, ENCODERS, Encoder
from heedful.models.encoders.inputs import (
    CHARACTER_ENCODERS,
    TokenBatch,
    TokenInputs,
    TokenInputsConfig,
)

SMALL: dict[str, dict[str, Any]] = {
    "none": {"hidden": 6},
    "window": {"hidden": 6, "size": 1},
    "convolution": {"hidden": 6, "layers": 2},
    "ngrams": {"hidden": 6, "widths": (2, 3)},
    "rnn": {"kind": "rnn", "hidden": 3},
    "lstm": {"kind": "lstm", "hidden": 3},
    "gru": {"kind": "gru", "hidden": 3},
    "attention": {"width": 8, "heads": 2, "feed_forward": 8},
    "transformer": {"width": 8, "heads": 2, "feed_forward": 8},
    "lstm+attention": {"hidden": 4, "heads": 2},
    "gat": {"width": 8, "heads": 2},
    "gatv2": {"width": 8, "heads": 2},
    "graph-transformer": {"width": 8, "heads": 2},
    "gcn": {"width": 8},
    "convolution+attention": {"hidden": 6, "heads": 2, "layers": 1},
}
VALUES: dict[str, list[Any]] = {
    "hidden": [4, 8],
    "layers": [1, 2],
    "size": [0, 1, 2],
    "widths": [(1,), (3,), (1, 3), (2, 3, 4)],
    "dropout": [0.0, 0.5],
    "heads": [1, 2],
    "width": [4, 8],
    "feed_forward": [4, 8],
    "window": [0, 1],
    "attention_dropout": [0.0, 0.5],
    "activation_dropout": [0.0, 0.5],
    "max_length": [5, 9],
    "window_after": [None, 0, 2],
    "global_positions": [0, 1, 2],
}
LENGTHS = torch.tensor([5, 2, 4])


def build(kind: str, **options: Any) -> Encoder:
    torch.manual_seed(0)
    return ENCODERS[kind](ENCODER_CONFIGS[kind](**{**SMALL[kind], **options}), 4).eval()


def inputs() -> Tensor:
    return torch.randn(3, 5, 4, generator=torch.Generator().manual_seed(1))


@pytest.fixture(params=ENCODERS)
def encoder(request: pytest.FixtureRequest) -> Encoder:
    return build(request.param)


def test_the_tables_have_the_same_entries() -> None:
    assert ENCODERS.keys() == ENCODER_CONFIGS.keys() == SMALL.keys()


def test_values_lengths_and_summary(encoder: Encoder) -> None:
    values, lengths, summary = encoder(inputs(), LENGTHS)
    assert values.shape == (3, 5, encoder.width)
    assert lengths is LENGTHS
    assert summary[0].shape[1:] == (3, encoder.width)
    assert not values[1, 2:].any()


def test_a_batch_equals_a_loop(encoder: Encoder) -> None:
    values, _, summary = encoder(inputs(), LENGTHS)
    for row, length in enumerate(LENGTHS.tolist()):
        alone = encoder(inputs()[row : row + 1, :length], LENGTHS[row : row + 1])
        torch.testing.assert_close(values[row, :length], alone.values[0])
        torch.testing.assert_close(summary[0][:, row], alone.summary[0][:, 0])


def test_what_padding_holds_never_matters(encoder: Encoder) -> None:
    clean, dirty = inputs(), inputs()
    dirty[1, 2:] = torch.nan
    dirty[2, 4:] = torch.inf
    dirty.requires_grad_()
    assert torch.equal(encoder(clean, LENGTHS).values, encoder(dirty, LENGTHS).values)
    encoder(dirty, LENGTHS).values.square().sum().backward()
    assert all(p.grad is None or torch.isfinite(p.grad).all() for p in encoder.parameters())
    assert dirty.grad is not None
    assert not dirty.grad[1, 2:].any()


def test_every_parameter_learns(encoder: Encoder) -> None:
    encoder.train()
    encoder(inputs(), LENGTHS).values.square().sum().backward()
    assert [name for name, p in encoder.named_parameters() if p.grad is None] == []


def test_weights_are_saved_and_read(encoder: Encoder) -> None:
    state = {name: tensor.clone() for name, tensor in encoder.state_dict().items()}
    before = encoder(inputs(), LENGTHS).values
    with torch.no_grad():
        for parameter in encoder.parameters():
            parameter.add_(1.0)
    encoder.load_state_dict(state)
    assert torch.equal(encoder(inputs(), LENGTHS).values, before)


def reach(encoder: Encoder, position: int = 4, length: int = 9) -> list[int]:
    """The positions that the state at `position` answers to."""
    given = torch.randn(1, length, 4, generator=torch.Generator().manual_seed(2)).requires_grad_()
    values = encoder(given, torch.tensor([length])).values[0, position]
    (gradient,) = torch.autograd.grad(values.square().sum(), given)
    return gradient[0].abs().sum(-1).nonzero().flatten().tolist()


@pytest.mark.parametrize(
    ("kind", "options", "seen"),
    [
        ("none", {"hidden": 32}, [4]),
        ("window", {"size": 2}, [2, 3, 4, 5, 6]),
        ("convolution", {"layers": 3}, [1, 2, 3, 4, 5, 6, 7]),
        ("ngrams", {"widths": (1,), "hidden": 32}, [4]),
        ("ngrams", {"widths": (2,), "hidden": 32}, [4, 5]),
        ("ngrams", {"widths": (3, 4), "hidden": 32}, [3, 4, 5, 6]),
        ("transformer", {"mask": "window", "window": 1, "layers": 1}, [3, 4, 5]),
        ("transformer", {"mask": "window", "window": 1, "layers": 2}, [2, 3, 4, 5, 6]),
        ("transformer", {"mask": "causal"}, [0, 1, 2, 3, 4]),
        ("attention", {"mask": "causal"}, [0, 1, 2, 3, 4]),
        ("attention", {}, list(range(9))),
        ("transformer", {}, list(range(9))),
    ],
)
def test_how_far_a_token_sees(kind: str, options: dict[str, Any], seen: list[int]) -> None:
    assert reach(build(kind, **options)) == seen


@pytest.mark.parametrize("kind", ["rnn", "lstm", "gru", "lstm+attention"])
def test_one_direction_sees_what_came_before(kind: str) -> None:
    both, one = build(kind), build(kind, bidirectional=False)
    assert reach(both) == list(range(9))
    assert reach(one) == (list(range(9)) if "attention" in kind else [0, 1, 2, 3, 4])


def test_without_positions_attention_knows_no_order() -> None:
    turned = torch.tensor([1, 3, 0, 2, 4])
    back_again = turned.argsort()
    one = inputs()[:1]
    for positions in ("none", "sinusoidal", "learned", "rotary", "alibi", "relative"):
        encoder = build("transformer", positions=positions)
        there, back = (encoder(x, torch.tensor([5])).values for x in (one, one[:, turned]))
        same = torch.allclose(there, back[:, back_again], atol=1e-5)
        assert same == (positions == "none"), positions


def fields() -> list[Any]:
    return [
        pytest.param(kind, name, id=f"{kind}.{name}")
        for kind, config in ENCODER_CONFIGS.items()
        for name in config.model_fields
        if name != "kind"
    ]


@pytest.mark.parametrize(("kind", "name"), fields())
def test_every_value_of_every_field_does_something(kind: str, name: str) -> None:
    choices = choices_of(ENCODER_CONFIGS[kind].model_fields[name])
    values = choices or VALUES.get(name, [True, False])
    seen = []
    for value in values:
        options: dict[str, Any] = {name: value}
        if name in ("window", "window_after", "global_positions"):
            options = {"mask": "window", "window": 1, **options}
        if name == "mask":
            options["window"] = 1
        if name == "max_length":
            options["positions"] = "learned"
        try:
            built = build(kind, **options).train()
            torch.manual_seed(1)
            seen.append([round(x, 6) for x in built(inputs(), LENGTHS).values.flatten().tolist()])
            seen[-1].append(sum(p.numel() for p in built.parameters()))
        except HeedfulError as error:
            seen.append([str(error)])
    assert all(one != other for i, one in enumerate(seen) for other in seen[:i])


@pytest.mark.parametrize("widths", [(), (0, 1), (2, 2)])
def test_widths_of_ngrams_that_cannot_be(widths: tuple[int, ...]) -> None:
    with pytest.raises(OptionError, match="expected at least one width, all different"):
        build("ngrams", widths=widths)
    with pytest.raises(OptionError, match="expected at least one feature for each of the 3 widths"):
        build("ngrams", widths=(1, 2, 3), hidden=2)


def test_ngrams_are_convolutions_side_by_side() -> None:
    encoder = build("ngrams", widths=(2, 3), hidden=5)
    values = encoder(inputs(), torch.tensor([5, 5, 5])).values
    assert [filters.out_channels for filters in encoder.filters] == [3, 2]
    padded = torch.cat([inputs(), torch.zeros(3, 1, 4)], dim=1)
    for place in range(5):
        pair = padded[:, place : place + 2].transpose(1, 2)
        wanted = torch.einsum("bit,oit->bo", pair, encoder.filters[0].weight)
        torch.testing.assert_close(values[:, place, :3], (wanted + encoder.filters[0].bias).relu())


def test_wrong_shapes_are_refused(encoder: Encoder) -> None:
    with pytest.raises(ShapeError, match=r"(expected|wanted) \(batch, length, 4\)"):
        encoder(torch.zeros(1, 2, 3), torch.tensor([2]))
    with pytest.raises(ShapeError, match=r"(expected|wanted) \(1,\), one"):
        encoder(torch.zeros(1, 2, 4), torch.tensor([2, 2]))


@pytest.mark.parametrize("kind", ["attention", "transformer"])
def test_heads_that_do_not_divide_the_width_are_refused_in_the_names_of_the_settings(
    kind: str,
) -> None:
    with pytest.raises(ValidationError, match="heads = 3 does not divide width = 8"):
        build(kind, heads=3)


def test_heads_that_do_not_divide_the_states_of_an_lstm_are_refused() -> None:
    with pytest.raises(OptionError, match="encoder.heads = 3 does not divide the width of the"):
        build("lstm+attention", heads=3)


def test_a_misspelt_field_is_refused() -> None:
    with pytest.raises(ValidationError, match="Extra inputs"):
        ENCODER_CONFIGS["lstm"](hiden=3)


def token_batch() -> TokenBatch:
    words = torch.tensor([[2, 3, 2], [4, 0, 0]])
    spelling_ids = torch.tensor([[0, 1, 0], [2, 0, 0]])
    characters = torch.tensor([[5, 6, 0], [7, 8, 9], [5, 0, 0]])
    return TokenBatch(
        words, torch.tensor([3, 1]), spelling_ids, characters, torch.tensor([2, 3, 1])
    )


@pytest.mark.parametrize("characters", ["none", *CHARACTER_ENCODERS])
def test_a_word_reads_the_same_wherever_it_stands(characters: Any) -> None:
    torch.manual_seed(0)
    config = TokenInputsConfig(characters=characters, word_width=4, character_width=6)
    built = TokenInputs(config, 10, 12).eval()
    embedded = built(token_batch())
    assert embedded.shape == (2, 3, built.width)
    assert torch.equal(embedded[0, 0], embedded[0, 2])
    alone = token_batch()._replace(
        characters=torch.tensor([[5, 6]]), character_lengths=torch.tensor([2]),
        words=torch.tensor([[2]]), spelling_ids=torch.tensor([[0]]), lengths=torch.tensor([1]),
    )  # fmt: skip
    torch.testing.assert_close(built(alone)[0, 0], embedded[0, 0])


def test_many_words_are_read_in_groups_of_about_one_length() -> None:
    torch.manual_seed(0)
    built = TokenInputs(TokenInputsConfig(word_width=0, character_width=6), 10, 12).eval()
    lengths = torch.randint(1, 20, (300,))
    characters = torch.randint(2, 12, (300, 20))
    batch = token_batch()._replace(characters=characters, character_lengths=lengths)
    read = built.encode_spellings(batch)
    for row in (0, 17, 299):
        one = batch._replace(
            characters=characters[row : row + 1], character_lengths=lengths[row : row + 1]
        )
        torch.testing.assert_close(built.encode_spellings(one)[0], read[row])


def test_words_are_dropped_in_training_alone_and_padding_never() -> None:
    torch.manual_seed(0)
    config = TokenInputsConfig(characters="none", word_width=4, word_dropout=0.99, dropout=0.0)
    built = TokenInputs(config, 10, 12).train()
    dropped = built(token_batch())
    assert torch.equal(dropped[0, 0], built.words.weight[1])
    assert not dropped[1, 1:].any()
    assert not torch.equal(built.eval()(token_batch())[0, 0], built.words.weight[1])


def test_inputs_of_nothing_are_refused() -> None:
    with pytest.raises(OptionError, match="leave a token without features"):
        TokenInputs(TokenInputsConfig(characters="none", word_width=0), 5, 5)
    with pytest.raises(OptionError, match="it must be even"):
        TokenInputs(TokenInputsConfig(character_width=5), 5, 5)
