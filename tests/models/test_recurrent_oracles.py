"""Recurrent decoders against the papers' formulas, written out with PyTorch's own cells."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from heedful.models import RecurrentConfig, RecurrentEncoderDecoder
from heedful.models.bahdanau import BahdanauDecoder
from heedful.models.recurrent_decoders import (
    FixedContextDecoder,
    LuongDecoder,
    RecurrentDecoder,
)
from heedful.nn.scores import AdditiveScore, BilinearScore

CELLS: dict[str, Any] = {"gru": nn.GRUCell, "lstm": nn.LSTMCell, "rnn": nn.RNNCell}
LAYERS: dict[str, Any] = {"gru": nn.GRU, "lstm": nn.LSTM, "rnn": nn.RNN}
EMBEDDING, HIDDEN = 7, 5


def make(kind: str, **options: Any) -> RecurrentEncoderDecoder:
    config = RecurrentConfig(
        kind=kind, embedding=EMBEDDING, hidden=HIDDEN, attention_hidden=4, **options
    )
    model = RecurrentEncoderDecoder(config, 20, 23).double()
    for parameter in model.parameters():
        nn.init.normal_(parameter, std=0.5)
    return model.eval()


def one_sentence() -> tuple[Tensor, Tensor, Tensor]:
    return torch.randint(20, (1, 6)), torch.tensor([6]), torch.randint(23, (1, 4))


def encoded(
    model: RecurrentEncoderDecoder, source: Tensor, kind: str
) -> tuple[Tensor, Tensor, Any]:
    """The memory (6, width), the summary (width,) and the decoder's first state, by PyTorch alone."""
    oracle = LAYERS[kind](EMBEDDING, HIDDEN, batch_first=True, bidirectional=True).double()
    oracle.load_state_dict(model.encoder.layers.state_dict())
    values, final = oracle(model.source_embedding.weight[source])
    parts = final if kind == "lstm" else (final,)
    joined = [torch.cat([part[0], part[1]], dim=-1) for part in parts]
    first = [bridge(part) for bridge, part in zip(model.bridges, joined, strict=True)]
    first[0] = torch.tanh(first[0])
    return values[0], joined[0][0], tuple(first) if kind == "lstm" else first[0]


def cell_of(decoder: RecurrentDecoder, kind: str, inputs: int) -> Any:
    cell = CELLS[kind](inputs, HIDDEN).double()
    layers = decoder.layers
    assert isinstance(layers, nn.RNNBase)
    state = layers.state_dict()
    cell.load_state_dict({name.removesuffix("_l0"): value for name, value in state.items()})
    return cell


def top(state: Any) -> Tensor:
    hidden: Tensor = state[0] if isinstance(state, tuple) else state
    return hidden[0]


@pytest.mark.parametrize("kind", CELLS)
def test_bahdanaus_order(kind: str) -> None:
    model = make(kind, attention="additive", order="bahdanau")
    source, lengths, target = one_sentence()
    memory, _, state = encoded(model, source, kind)
    decoder = model.decoder
    assert isinstance(decoder, BahdanauDecoder)
    cell = cell_of(decoder, kind, EMBEDDING + 2 * HIDDEN)
    score = decoder.attention.score
    assert isinstance(score, AdditiveScore)
    decoded = model(source, lengths, target, return_weights=True)
    for position, token in enumerate(target[0]):
        embedded = model.target_embedding.weight[token]
        hidden = torch.tanh(top(state) @ score.query_weight + memory @ score.key_weight)
        weights = torch.softmax(hidden @ score.vector, dim=0)
        context = weights @ memory
        state = cell(torch.cat([embedded, context]).unsqueeze(0), state)
        readout = torch.tanh(decoder.readout.linear(torch.cat([top(state), context, embedded])))
        torch.testing.assert_close(decoded.states[0, position], readout)
        torch.testing.assert_close(decoded.weights[0, 0, 0, position], weights)


@pytest.mark.parametrize("kind", CELLS)
def test_luongs_order(kind: str) -> None:
    model = make(kind, attention="bilinear", order="luong")
    source, lengths, target = one_sentence()
    memory, _, state = encoded(model, source, kind)
    decoder = model.decoder
    assert isinstance(decoder, LuongDecoder)
    cell = cell_of(decoder, kind, EMBEDDING)
    score = decoder.attention.score
    assert isinstance(score, BilinearScore)
    decoded = model(source, lengths, target, return_weights=True)
    for position, token in enumerate(target[0]):
        state = cell(model.target_embedding.weight[token].unsqueeze(0), state)
        weights = torch.softmax(top(state) @ score.weight @ memory.t(), dim=0)
        vector = torch.tanh(decoder.readout.linear(torch.cat([weights @ memory, top(state)])))
        torch.testing.assert_close(decoded.states[0, position], vector)
        torch.testing.assert_close(decoded.weights[0, 0, 0, position], weights)


@pytest.mark.parametrize("feed_context", [True, False])
@pytest.mark.parametrize("kind", CELLS)
def test_a_fixed_context(kind: str, feed_context: bool) -> None:
    model = make(kind, attention="none", feed_context=feed_context)
    source, lengths, target = one_sentence()
    _, summary, state = encoded(model, source, kind)
    decoder = model.decoder
    assert isinstance(decoder, FixedContextDecoder)
    context = [summary] if feed_context else []
    cell = cell_of(decoder, kind, EMBEDDING + 2 * HIDDEN * feed_context)
    decoded = model(source, lengths, target)
    for position, token in enumerate(target[0]):
        embedded = model.target_embedding.weight[token]
        state = cell(torch.cat([embedded, *context]).unsqueeze(0), state)
        parts = torch.cat([top(state), embedded, *context])
        torch.testing.assert_close(
            decoded.states[0, position], torch.tanh(decoder.readout.linear(parts))
        )


def test_maxout_takes_the_larger_of_each_two() -> None:
    model = make("gru", attention="none", readout="maxout")
    readout = model.decoder.readout
    assert isinstance(readout, nn.Module)
    parts = torch.randn(2, 3, HIDDEN + EMBEDDING + 2 * HIDDEN, dtype=torch.double)
    sums = readout.linear(parts)
    torch.testing.assert_close(readout(parts), torch.maximum(sums[..., ::2], sums[..., 1::2]))


@pytest.mark.parametrize("kind", CELLS)
def test_gradients_of_the_stepped_layers_are_those_of_the_fused_ones(kind: str) -> None:
    """With attention to a memory of zeros, Bahdanau's loop is the fused recurrence on the embeddings."""
    model = make(kind, attention="additive", decoder_layers=2)
    decoder = model.decoder
    assert isinstance(decoder, BahdanauDecoder)
    _, lengths, target = one_sentence()
    with torch.no_grad():
        # A source embedding of any kind: the encoder is silenced, so the memory is zero.
        for parameter in model.encoder.parameters():
            parameter.zero_()
    embedded = torch.cat(
        [model.target_embedding(target), torch.zeros(1, 4, 2 * HIDDEN).double()], dim=-1
    )
    state = model.start(torch.zeros(1, 6, dtype=torch.long), lengths)
    hidden = state.hidden if kind == "lstm" else state.hidden[0]
    outputs, _ = decoder.layers(embedded, hidden)
    memory = torch.zeros(1, 4, 2 * HIDDEN).double()
    wanted = decoder.readout(outputs, memory, model.target_embedding(target))
    got = model(torch.zeros(1, 6, dtype=torch.long), lengths, target).states
    torch.testing.assert_close(got, wanted)
    parameters = list(decoder.layers.parameters())
    for first, second in zip(
        torch.autograd.grad(wanted.square().sum(), parameters),
        torch.autograd.grad(got.square().sum(), parameters),
        strict=True,
    ):
        torch.testing.assert_close(first, second)
