"""Models that write text as two programs: what reads the source, and one step of the decoder.

`encoder` reads the source and returns the state of the search before the first token; of a model with CTC also the
log-probabilities of its symbols. `step` reads a token of each row and the state, and returns the log-probabilities of
the next token and the next state.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from heedful.answers.text import GeneratedText
from heedful.errors import OptionError
from heedful.export.program import Given, Program, any_size, exported, traced
from heedful.export.reading import reading_of
from heedful.export.reading.base import BATCH, LENGTH
from heedful.export.states import begun, rebuilt, tensors_of
from heedful.inputs.pieces import Pieces
from heedful.inputs.turns import Turns


class Writer(NamedTuple):
    """A model that writes text."""

    model: Any
    decoder: Any
    """The module with the method `step`; None of a model of CTC alone."""
    given: Sequence[Given]
    start: Callable[..., tuple[list[Tensor], Any]]
    """What is given -> tensors that are no part of the state, and the first state."""
    names: Sequence[str]
    """Of these tensors."""


def writing_programs(predictor: Any) -> Mapping[str, Program]:
    """Return the programs of a model that writes text."""
    others: Mapping[str, Program] = {}
    if isinstance(predictor.answer, GeneratedText):
        writer = _text_writer(predictor)
    else:
        reading = reading_of(predictor)
        writer, others = _transcriber(predictor, reading), reading.programs()
    if writer.decoder is None:
        encoder = traced(
            writer.model, lambda *given: tuple(writer.start(*given)[0]), writer.given, writer.names
        )
        return {**others, "encoder": encoder}
    return {**others, **_with_steps(writer)}


def _text_writer(predictor: Any) -> Writer:
    if not isinstance(predictor.input, Pieces | Turns):
        raise OptionError(f"the task {predictor.task.name!r} reads what no program reads.")
    model, padding = predictor.model, predictor.answer.vocabulary.pad_id
    source = Given("source", ("batch", "length"), torch.ones(BATCH, LENGTH).long())
    return Writer(
        model, model, [source], lambda ids: ([], model.start(ids, (ids != padding).sum(1))), ()
    )


def _transcriber(predictor: Any, reading: Any) -> Writer:
    model = predictor.model

    def start(*given: Tensor) -> tuple[list[Tensor], Any]:
        states = model.states(reading.batch(*given))
        found = [states.lengths]
        if model.has_ctc:
            found.append(model.ctc_log_probabilities(states))
        state = None if model.decoder is None else model.decoder.begin(model.memory(states))
        return found, state

    names = ["positions", *(["ctc"] if model.has_ctc else [])]
    return Writer(model, model.decoder, reading.given, start, names)


class _Step(nn.Module):
    """One step of a decoder.

    Args:
        decoder: the decoder.
        state: a state of the same structure.
    """

    def __init__(self, decoder: Any, state: Any):
        super().__init__()
        self.decoder, self.state = decoder, state

    def forward(self, token: Tensor, tensors: list[Tensor]) -> tuple[Tensor, ...]:
        """Read a token (batch,) and the tensors of the state; return log-probabilities and the next tensors."""
        states, state = self.decoder.step(token, rebuilt(self.state, tensors))
        scores = self.decoder.output(states).float().log_softmax(-1)
        return scores, *tensors_of(state)


def _with_steps(writer: Writer) -> Mapping[str, Program]:
    state = _example(writer)
    tensors = tensors_of(state)
    names = [f"state_{number}" for number in range(len(tensors))]

    def encode(*given: Tensor) -> tuple[Tensor, ...]:
        found, first = writer.start(*given)
        return *found, *tensors_of(begun(first, state))

    # The names of a graph are unique, so those after the step differ.
    after = ["log_probabilities", *(f"next_{number}" for number in range(len(tensors)))]
    token = torch.ones(BATCH).long()
    # Copies: what is known of a view's base would be taken for a condition on the state.
    copies = [each.clone(memory_format=torch.contiguous_format) for each in tensors]
    step = exported(
        _Step(writer.decoder, state),
        (token, copies),
        (any_size(token), any_size(copies)),
        ["token", *names],
        after,
    )
    encoder = traced(writer.model, encode, writer.given, [*writer.names, *names])
    return {"encoder": encoder, "step": step}


def _example(writer: Writer) -> Any:
    """Return a state after some tokens: a past of none or one is a size that would be taken for fixed."""
    with torch.no_grad():
        _, state = writer.start(*(each.example for each in writer.given))
        for _ in range(2):
            _, state = writer.decoder.step(torch.ones(BATCH).long(), state)
    return state
