"""Bahdanau's encoder-decoder as it is ordinarily written in PyTorch: a loop over `GRUCell`.

The model of `heedful.models.RecurrentEncoderDecoder` with a GRU, additive attention and the same parameters, so that
losses and gradients are equal. Keys are projected once for all steps, the readout and the output layer run once for
all positions, and padding never reaches the output layer: what a careful author does by hand.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

from heedful.bench.values import Inputs


def plain_encoder(inputs: Inputs, width: int) -> nn.GRU:
    """PyTorch's GRU in both directions, with the parameters of the inputs."""
    layer = nn.GRU(width, width, batch_first=True, bidirectional=True)
    for name in list(dict(layer.named_parameters())):
        setattr(layer, name, inputs[f"encoder.layers.{name}"])
    return layer


def plain_cell(inputs: Inputs) -> nn.GRUCell:
    """PyTorch's GRU cell, with the parameters of the inputs."""
    weight = inputs["decoder.layers.weight_ih_l0"]
    cell = nn.GRUCell(weight.shape[1], weight.shape[0] // 3)
    for name in list(dict(cell.named_parameters())):
        setattr(cell, name, inputs[f"decoder.layers.{name}_l0"])
    return cell


def decode(
    cell: nn.GRUCell, inputs: Inputs, embedded: Tensor, first: Tensor, values: Tensor
) -> Tensor:
    """Read embedded target tokens one after the other, and return the states after the readout."""
    score = "decoder.attention.score"
    query_weight, vector = inputs[f"{score}.query_weight"], inputs[f"{score}.vector"]
    keys = values @ inputs[f"{score}.key_weight"]
    padding = torch.arange(values.shape[1]) >= inputs["source_lengths"][:, None]
    hidden, states, contexts = first, [], []
    for token in embedded.unbind(1):
        query = (hidden @ query_weight).unsqueeze(1)
        scores = torch.tanh(query + keys) @ vector
        weights = torch.softmax(scores.masked_fill(padding, -torch.inf), dim=-1)
        context = torch.bmm(weights.unsqueeze(1), values).squeeze(1)
        hidden = cell(torch.cat([token, context], dim=-1), hidden)
        states.append(hidden)
        contexts.append(context)
    joined = torch.cat([torch.stack(states, 1), torch.stack(contexts, 1), embedded], dim=-1)
    return torch.tanh(
        functional.linear(
            joined, inputs["decoder.readout.linear.weight"], inputs["decoder.readout.linear.bias"]
        )
    )


def plain_loss(encoder: nn.GRU, cell: nn.GRUCell, inputs: Inputs) -> Tensor:
    """The mean cross-entropy of a batch: encoder, decoder, output layer."""
    lengths = inputs["source_lengths"]
    source = functional.embedding(inputs["source"], inputs["source_embedding.weight"])
    packed = pack_padded_sequence(source, lengths, batch_first=True, enforce_sorted=False)
    outputs, final = encoder(packed)
    values, _ = pad_packed_sequence(outputs, batch_first=True, total_length=source.shape[1])
    summary = torch.cat([final[0], final[1]], dim=-1)
    bridge = functional.linear(summary, inputs["bridges.0.weight"], inputs["bridges.0.bias"])
    target = functional.embedding(inputs["target"], inputs["target_embedding.weight"])
    states = decode(cell, inputs, target, torch.tanh(bridge), values)
    kept = torch.arange(target.shape[1]) < inputs["target_lengths"][:, None]
    logits = functional.linear(
        states[kept], inputs["target_embedding.weight"], inputs["output_bias"]
    )
    return functional.cross_entropy(logits, inputs["wanted"][kept])
