"""Training with Bahdanau's attention: the decoder alone, and a whole translation model with its loss."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn

from heedful.bench.operations.plain_decoder import decode, plain_cell, plain_encoder, plain_loss
from heedful.bench.values import Contender, Inputs, Operation, Run, Sizes
from heedful.models.recurrent import RecurrentConfig, RecurrentEncoderDecoder
from heedful.nn.cross_entropy import smoothed_cross_entropy
from heedful.nn.recurrent import States

SIZES = {"batch": 256, "queries": 16, "keys": 16, "hidden": 256}
WITH_VOCABULARY = {**SIZES, "vocabulary": 8000}


def model_of(sizes: Sizes) -> RecurrentEncoderDecoder:
    """A GRU with additive attention in Bahdanau's order, without dropout, so that results can be compared."""
    hidden = sizes["hidden"]
    config = RecurrentConfig(kind="gru", embedding=hidden, hidden=hidden, dropout=0.0)
    vocabulary = sizes.get("vocabulary", 8)
    return RecurrentEncoderDecoder(config, vocabulary, vocabulary)


def own(module: nn.Module, inputs: Inputs) -> None:
    """Give a module the inputs that are named as its parameters are; those it does not use have none."""
    for name in [name for name, _ in module.named_parameters() if name in inputs]:
        owner, _, attribute = name.rpartition(".")
        setattr(module.get_submodule(owner), attribute, inputs[name])


def lengths(count: int, longest: int) -> Tensor:
    """Lengths from half the longest to the longest, as sentences of one batch have."""
    return torch.linspace(longest, max(1, longest // 2), count).long()


def draw_model(sizes: Sizes) -> dict[str, Tensor]:
    """The model's parameters, and a batch of sentences in both languages."""
    batch, vocabulary = sizes["batch"], sizes["vocabulary"]
    read = (batch, sizes["queries"])
    return {
        **{name: tensor.detach() for name, tensor in model_of(sizes).named_parameters()},
        "source": torch.randint(4, vocabulary, (batch, sizes["keys"])),
        "source_lengths": lengths(batch, sizes["keys"]),
        "target": torch.randint(4, vocabulary, read),
        "wanted": torch.randint(4, vocabulary, read),
        "target_lengths": lengths(batch, sizes["queries"])[torch.randperm(batch)],
    }


def draw_decoder(sizes: Sizes) -> dict[str, Tensor]:
    """The decoder's parameters, embedded target tokens, the first state and the encoder's states."""
    batch, hidden = sizes["batch"], sizes["hidden"]
    named = model_of(sizes).named_parameters()
    return {
        **{name: tensor.detach() for name, tensor in named if name.startswith("decoder.")},
        "embedded": torch.randn(batch, sizes["queries"], hidden),
        "first": torch.tanh(torch.randn(batch, hidden)),
        "values": torch.tanh(torch.randn(batch, sizes["keys"], 2 * hidden)),
        "source_lengths": lengths(batch, sizes["keys"]),
    }


def expected_loss(sizes: Sizes, inputs: Inputs, rows: Tensor | None) -> Tensor:
    """The plain loop."""
    return plain_loss(plain_encoder(inputs, sizes["hidden"]), plain_cell(inputs), inputs)


def expected_states(sizes: Sizes, inputs: Inputs, rows: Tensor | None) -> Tensor:
    """The plain loop."""
    cell = plain_cell(inputs)
    return decode(cell, inputs, inputs["embedded"], inputs["first"], inputs["values"])


def _our_loss(sizes: Sizes, inputs: Inputs) -> Run:
    model = model_of(sizes)
    own(model, inputs)

    def run() -> Tensor:
        states: Tensor = model(inputs["source"], inputs["source_lengths"], inputs["target"]).states
        kept = torch.arange(states.shape[1]) < inputs["target_lengths"][:, None]
        wanted = inputs["wanted"][kept]
        return smoothed_cross_entropy(states[kept], *model.output_layer(), wanted) / len(wanted)

    return run


def _our_states(sizes: Sizes, inputs: Inputs) -> Run:
    decoder = model_of(sizes).decoder
    own(decoder, {name.removeprefix("decoder."): tensor for name, tensor in inputs.items()})

    def run() -> Tensor:
        encoded = States(inputs["values"], inputs["source_lengths"], ())
        memory = decoder.prepare(encoded)
        states: Tensor = decoder(inputs["embedded"], (inputs["first"][None],), memory).states
        return states

    return run


def _plain_loss(sizes: Sizes, inputs: Inputs) -> Run:
    encoder, cell = plain_encoder(inputs, sizes["hidden"]), plain_cell(inputs)
    return lambda: plain_loss(encoder, cell, inputs)


def _plain_states(sizes: Sizes, inputs: Inputs) -> Run:
    cell = plain_cell(inputs)
    return lambda: decode(cell, inputs, inputs["embedded"], inputs["first"], inputs["values"])


def _operation(
    name: str,
    title: str,
    sizes: Sizes,
    draw: Callable[[Sizes], dict[str, Tensor]],
    expected: Callable[[Sizes, Inputs, Tensor | None], Tensor],
    contenders: tuple[Contender, Contender],
) -> Operation:
    return Operation(
        name=name,
        title=title,
        sizes=sizes,
        scans=("queries", "keys"),
        inputs=draw,
        expected=expected,
        contenders=contenders,
        rows=lambda sizes: 0,
        cost_of_row=lambda sizes: 1,
        axis="source length = target length",
    )


DECODER = _operation(
    "bahdanau-decoder",
    "Bahdanau's decoder over whole target sentences",
    SIZES,
    draw_decoder,
    expected_states,
    (Contender("heedful", _our_states, ours=True), Contender("GRUCell loop", _plain_states)),
)
TRAINING = _operation(
    "bahdanau-training",
    "A training step of Bahdanau's model: encoder, decoder, output layer and loss",
    WITH_VOCABULARY,
    draw_model,
    expected_loss,
    (Contender("heedful", _our_loss, ours=True), Contender("GRUCell loop", _plain_loss)),
)
