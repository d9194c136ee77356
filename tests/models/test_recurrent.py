"""Recurrent encoder–decoders: every kind, score and order keeps the contract of `EncoderDecoder`."""

from __future__ import annotations

import io
import itertools
import math
from typing import Any

import pytest
import torch
from pydantic import ValidationError
from torch import Tensor, nn

from heedful.errors import OptionError
from heedful.models import MODELS, RecurrentConfig, RecurrentEncoderDecoder
from heedful.models.recurrent_decoders import AttentionDecoder
from heedful.nn import recurrent_precision
from heedful.nn.normalizers import NORMALIZER_BUILDERS
from heedful.nn.scores import SCORE_MODULES

KINDS = ["gru", "lstm", "rnn"]
WAYS = [
    ("none", "bahdanau"),
    *itertools.product(SCORE_MODULES, ["bahdanau", "luong"]),
]
LENGTHS = torch.tensor([6, 3, 5])


def make(**options: Any) -> RecurrentEncoderDecoder:
    sizes: dict[str, Any] = {
        "embedding": 7,
        "hidden": 5,
        "attention_hidden": 4,
        "decoder_layers": 2,
    }
    torch.manual_seed(1)
    model = RecurrentEncoderDecoder(RecurrentConfig(**(sizes | options)), 20, 23).double()
    for parameter in model.parameters():
        # Larger than what training starts from, so that every part can be felt in the outputs.
        torch.nn.init.normal_(parameter, std=0.5)
    return model.eval()


def tokens() -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(2)
    source = torch.randint(4, 20, (3, 6), generator=generator)
    return source, torch.randint(4, 23, (3, 4), generator=generator)


@pytest.fixture(params=[(kind, *way) for kind in KINDS for way in WAYS], ids="-".join)
def model(request: pytest.FixtureRequest) -> RecurrentEncoderDecoder:
    kind, attention, order = request.param
    return make(kind=kind, attention=attention, order=order)


def test_steps_equal_the_forward_of_all_targets(model: RecurrentEncoderDecoder) -> None:
    source, target = tokens()
    decoded = model(source, LENGTHS, target)
    state = model.start(source, LENGTHS)
    for position in range(target.shape[1]):
        states, state = model.step(target[:, position], state)
        torch.testing.assert_close(states, decoded.states[:, position])
    assert model.output(decoded.states).shape == (3, 4, 23)


def test_a_batch_equals_a_loop(model: RecurrentEncoderDecoder) -> None:
    source, target = tokens()
    decoded = model(source, LENGTHS, target, return_weights=True)
    for row, length in enumerate(LENGTHS.tolist()):
        alone = model(
            source[row : row + 1, :length],
            LENGTHS[row : row + 1],
            target[row : row + 1],
            return_weights=True,
        )
        torch.testing.assert_close(decoded.states[row : row + 1], alone.states)
        if model.has_attention:
            torch.testing.assert_close(decoded.weights[row : row + 1, ..., :length], alone.weights)


def test_what_padding_holds_never_matters(model: RecurrentEncoderDecoder) -> None:
    source, target = tokens()
    source = source.clamp(max=18)
    padding = torch.arange(6) >= LENGTHS.unsqueeze(1)
    other = source.masked_fill(padding, 19)
    with torch.no_grad():
        model.source_embedding.weight[19] = torch.nan
    clean, dirty = model(source, LENGTHS, target), model(other, LENGTHS, target)
    assert torch.equal(clean.states, dirty.states)
    dirty.states.square().sum().backward()
    assert all(p.grad is None or torch.isfinite(p.grad).all() for p in model.parameters())


def test_weights_are_asked_for_without_changing_the_states(model: RecurrentEncoderDecoder) -> None:
    source, target = tokens()
    plain, asked = (
        model(source, LENGTHS, target),
        model(source, LENGTHS, target, return_weights=True),
    )
    assert torch.equal(plain.states, asked.states)
    assert plain.weights is None
    assert model.has_attention == (asked.weights is not None)
    if asked.weights is not None:
        assert asked.weights.shape == (3, 1, 1, 4, 6)
        torch.testing.assert_close(asked.weights.sum(-1), torch.ones(3, 1, 1, 4).double())
        assert not asked.weights[1, ..., 3:].any()


def test_a_selected_state_goes_on_as_its_rows_would(model: RecurrentEncoderDecoder) -> None:
    source, target = tokens()
    _, state = model.step(target[:, 0], model.start(source, LENGTHS))
    whole, _ = model.step(target[:, 1], state)
    for index in (torch.tensor([2, 0, 0, 1]), torch.tensor([1]), torch.tensor([0, 1, 2])):
        chosen, after = model.step(target[index, 1], state.select(index))
        torch.testing.assert_close(chosen, whole[index])
        assert after.origins.tolist() == index.tolist()


def test_every_parameter_is_trained(model: RecurrentEncoderDecoder) -> None:
    source, target = tokens()
    decoded = model(source, LENGTHS, target)
    model.output(decoded.states).square().sum().backward()
    for name, parameter in model.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.abs().sum() > 0, name


def test_beams_that_change_places_do_not_copy_the_memory() -> None:
    model = make()
    source, _ = tokens()
    state = model.start(source, LENGTHS).select(torch.tensor([0, 0, 1, 1]))
    assert state.select(torch.tensor([1, 0, 3, 3])).memory is state.memory
    assert state.select(torch.tensor([0, 0, 0, 2])).memory is not state.memory


@pytest.mark.parametrize("score", SCORE_MODULES)
def test_memory_is_resized_only_where_the_score_needs_equal_sizes(score: str) -> None:
    both, one = make(attention=score).decoder, make(attention=score, bidirectional=False).decoder
    assert isinstance(both, AttentionDecoder)
    assert isinstance(one, AttentionDecoder)
    assert (both.resize is not None) == SCORE_MODULES[score].needs_equal_dims
    assert one.resize is None


@pytest.mark.parametrize("normalizer", NORMALIZER_BUILDERS)
def test_every_normalizer_can_be_named(normalizer: str) -> None:
    source, target = tokens()
    decoded = make(normalizer=normalizer)(source, LENGTHS, target, return_weights=True)
    assert torch.isfinite(decoded.states).all()
    assert (decoded.weights >= 0).all()


BASE: dict[str, Any] = {"attention": "additive", "dropout": 0.0}
CHANGES: list[tuple[dict[str, Any], dict[str, Any]]] = [
    (BASE, {"kind": "lstm"}),
    (BASE, {"kind": "rnn"}),
    (BASE, {"embedding": 8}),
    (BASE, {"hidden": 6}),
    (BASE, {"encoder_hidden": 4}),
    (BASE, {"encoder_layers": 2}),
    (BASE, {"decoder_layers": 1}),
    (BASE, {"bidirectional": False}),
    (BASE, {"attention": "bilinear"}),
    (BASE, {"attention": "none"}),
    (BASE, {"order": "luong"}),
    (BASE, {"attention_hidden": 5}),
    (BASE, {"normalizer": "sparsemax"}),
    (BASE | {"attention": "none"}, {"feed_context": False}),
    (BASE, {"readout": "maxout"}),
    (BASE, {"tie_embeddings": False}),
]


@pytest.mark.parametrize(("base", "change"), CHANGES, ids=[str(change) for _, change in CHANGES])
def test_every_setting_changes_the_logits(base: dict[str, Any], change: dict[str, Any]) -> None:
    source, target = tokens()
    logits = []
    for options in (base, base | change):
        built = make(**options)
        logits.append(built.output(built(source, LENGTHS, target).states))
    assert not torch.allclose(*logits)


def test_dropout_acts_when_training_only() -> None:
    source, target = tokens()
    for rate, varies in ((0.5, True), (0.0, False)):
        built = make(dropout=rate)
        quiet = [built(source, LENGTHS, target).states for _ in range(2)]
        assert torch.equal(*quiet)
        built.train()
        noisy = [built(source, LENGTHS, target).states for _ in range(2)]
        assert torch.equal(*noisy) != varies


@pytest.mark.parametrize(("attention", "order"), [WAYS[0], *WAYS[-2:]])
@pytest.mark.parametrize("kind", KINDS)
def test_half_precision_products_leave_the_carried_state_whole(
    kind: str, attention: str, order: str
) -> None:
    source, target = tokens()
    model = make(kind=kind, attention=attention, order=order).float()
    wanted = model.output(model(source, LENGTHS, target).states)
    with torch.autocast("cpu", torch.bfloat16):
        state = model.start(source, LENGTHS)
        _, after = model.step(target[:, 0], state)
        got = model.output(model(source, LENGTHS, target).states)
    assert all(part.dtype == torch.float32 for part in state.hidden)
    if order == "bahdanau" and attention != "none":
        assert all(part.dtype == torch.float32 for part in after.hidden)
    assert got.dtype == torch.bfloat16
    torch.testing.assert_close(got.float(), wanted, atol=0.4, rtol=0.1)
    got.float().square().sum().backward()
    assert all(torch.isfinite(p.grad).all() for p in model.parameters() if p.grad is not None)


class Joined(nn.Module):
    """Instead of a readout: all that the recurrence made, unchanged."""

    def forward(self, *parts: Tensor) -> Tensor:
        return torch.cat([part.float() for part in parts], dim=-1)


@pytest.mark.parametrize(("attention", "order"), WAYS)
@pytest.mark.parametrize("kind", KINDS)
def test_decoders_stay_in_float32_where_a_processor_has_no_half_lstm(
    kind: str, attention: str, order: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(recurrent_precision, "runs_lstm_in", lambda dtype: False)
    source, target = tokens()
    for layers in (1, 2):
        model = make(kind=kind, attention=attention, order=order, decoder_layers=layers).float()
        decoder = model.decoder
        decoder.readout = Joined()
        state = model.start(source, LENGTHS)
        embedded = model.target_embedding(target).detach()
        given = list(decoder.layers.parameters())
        found = []
        for enabled, inputs in ((True, embedded.bfloat16()), (False, embedded.bfloat16().float())):
            with torch.autocast("cpu", torch.bfloat16, enabled=enabled):
                stepped = decoder(inputs, state.hidden, state.memory)
            # Luong's attention comes after the recurrence, and is under autocast.
            states = stepped.states if order == "bahdanau" else stepped.states[..., -5:]
            made = [states, *stepped.hidden]
            loss = sum(part.square().sum() for part in made)
            found.append([*made, *torch.autograd.grad(loss, given, retain_graph=True)])
        assert all(part.dtype == torch.float32 for part in found[0])
        assert all(torch.equal(*pair) for pair in zip(*found, strict=True))


def test_embeddings_are_shared_and_tied() -> None:
    config = RecurrentConfig(embedding=6, hidden=5, share_embeddings=True)
    shared = RecurrentEncoderDecoder(config, 20, 20)
    assert shared.source_embedding is shared.target_embedding
    states = torch.randn(2, 6)
    wanted = states @ shared.target_embedding.weight.t() + shared.output_bias
    torch.testing.assert_close(shared.output(states), wanted)
    apart = make(tie_embeddings=False)
    assert apart.output_weight is not None
    assert apart.source_embedding is not apart.target_embedding


def test_sharing_needs_one_vocabulary() -> None:
    with pytest.raises(OptionError, match="one vocabulary; got 20 source and 21 target tokens"):
        RecurrentEncoderDecoder(RecurrentConfig(share_embeddings=True), 20, 21)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"attention": "aditive"}, "did you mean 'additive'"),
        ({"normalizer": "sofmax"}, "did you mean 'softmax'"),
        ({"kind": "grru"}, "'gru', 'lstm' or 'rnn'"),
        ({"hiden": 5}, "hiden"),
        ({"dropout": 1.0}, "less than 1"),
    ],
)
def test_wrong_settings_are_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        RecurrentConfig(**options)


def test_settings_are_frozen_and_described() -> None:
    config = RecurrentConfig()
    with pytest.raises(ValidationError, match="frozen"):
        config.hidden = 3
    assert all(field.description for field in RecurrentConfig.model_fields.values())


@pytest.mark.parametrize("kind", KINDS)
def test_the_table_builds_and_the_state_dict_restores(kind: str) -> None:
    config = RecurrentConfig(kind=kind, embedding=6, hidden=5)
    first, second = (MODELS[kind](config, 20, 23).eval() for _ in range(2))
    buffer = io.BytesIO()
    torch.save(first.state_dict(), buffer)
    buffer.seek(0)
    second.load_state_dict(torch.load(buffer, weights_only=True))
    source, target = tokens()
    assert torch.equal(
        first(source, LENGTHS, target).states, second(source, LENGTHS, target).states
    )


def test_logits_start_near_uniform() -> None:
    model = RecurrentEncoderDecoder(RecurrentConfig(embedding=64, hidden=64), 20, 500).eval()
    source, target = tokens()
    logits = model.output(model(source, LENGTHS, target).states)
    loss = torch.nn.functional.cross_entropy(logits.flatten(0, 1), target.flatten())
    assert abs(loss.item() - math.log(500)) < 0.5
