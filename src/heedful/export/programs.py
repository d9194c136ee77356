"""Models as programs of `torch.export`: ids in, answers out, for batches and lengths of any size.

Text models read `words` (batch, length), ids of the words of `vocabulary.json` from 2, with 1 for an unknown word and 0
for padding, and, if they read spellings, `characters` (batch, length, longest), the same of each word's characters.
Translators are two programs: `encoder` reads the ids of sources, (batch, length) with 3, the end, after each and 0 for
padding, and returns the log-probabilities of the first token and the state of the search; `step` reads a token of each
text and the state, and returns those of the next token and the next state.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Final, NamedTuple

import torch
from torch import Tensor, nn

from heedful.answers.label import Label, class_probabilities
from heedful.answers.number import Number
from heedful.answers.text import GeneratedText
from heedful.answers.token_label import PositionLabel
from heedful.errors import OptionError
from heedful.export.quiet import quiet
from heedful.export.states import rebuilt, tensors_of
from heedful.inputs.pieces import Pieces
from heedful.inputs.text import Text
from heedful.inputs.tokens import Tokens
from heedful.models.encoders.inputs import PADDING, TokenBatch
from heedful.ops.scores.additive import ACTIVATIONS

SIZES: Final = (3, 5, 7)
"""Of the inputs that a model is traced with: sizes that differ from each other and from 0 and 1 stay variables."""


class Program(NamedTuple):
    """An exported program and the names of what it reads and returns."""

    program: torch.export.ExportedProgram
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]


class TokenScores(nn.Module):
    """A text model that reads ids alone."""

    def __init__(self, model: nn.Module, finish: Callable[[Tensor], Tensor]):
        super().__init__()
        self.model, self.finish = model, finish

    def forward(self, words: Tensor, characters: Tensor | None = None) -> Tensor:
        """Return the answers of words (batch, length) and characters (batch, length, longest)."""
        if characters is None:
            characters = words[..., None]
        lengths = (words != PADDING).sum(1)
        spellings = characters.flatten(0, 1)
        # Every word has a spelling of its own: equal ones would have to be found in the data.
        places = torch.arange(spellings.shape[0]).view_as(words)
        counts = (spellings != PADDING).sum(1).clamp(min=1)
        batch = TokenBatch(words, lengths, places, spellings, counts)
        return self.finish(self.model(batch))


class Encode(nn.Module):
    """The encoder of a translator, and the first step of its decoder."""

    def __init__(self, model: Any, begin: int, padding: int):
        super().__init__()
        self.model, self.begin, self.padding = model, begin, padding

    def states(self, source: Tensor) -> tuple[Tensor, Any]:
        """Return the log-probabilities of the first token and the state after the begin token."""
        state = self.model.start(source, (source != self.padding).sum(1))
        begin = source.new_zeros(source.shape[0]) + self.begin
        return _advance(self.model, begin, state)

    def forward(self, source: Tensor) -> tuple[Tensor, ...]:
        """Return the log-probabilities (batch, vocabulary) and the tensors of the state."""
        scores, state = self.states(source)
        return scores, *tensors_of(state)


class Step(nn.Module):
    """One step of the decoder of a translator.

    Args:
        model: the translator.
        state: a state of the same structure.
    """

    def __init__(self, model: Any, state: Any):
        super().__init__()
        self.model, self.state = model, state

    def forward(self, token: Tensor, tensors: list[Tensor]) -> tuple[Tensor, ...]:
        """Read a token (batch,) and the tensors of the state; return as `Encode`."""
        scores, state = _advance(self.model, token, rebuilt(self.state, tensors))
        return scores, *tensors_of(state)


def _advance(model: Any, token: Tensor, state: Any) -> tuple[Tensor, Any]:
    states, state = model.step(token, state)
    return model.output(states).float().log_softmax(-1), state


def programs_of(predictor: Any) -> dict[str, Program]:
    """Return the programs of a model by name.

    Raises: OptionError for a model that cannot be exported.
    """
    for kinds, build in _BUILDERS:
        if isinstance(predictor.answer, kinds) and isinstance(
            predictor.input, Text | Tokens | Pieces
        ):
            predictor.model.eval().requires_grad_(False)
            return build(predictor)
    raise OptionError(
        f"the task {predictor.task.name!r} is not exported yet; classify, regress, tag and translate are."
    )


def _text_model(predictor: Any) -> dict[str, Program]:
    output, finish = _finish(predictor.answer)
    if any(member.encoder.reads_edges for member in predictor.model.members):
        raise OptionError("graph encoders are not exported; train with another --encoder.")
    batch, length, longest = SIZES
    inputs = [torch.randint(2, 3, (batch, length))]
    names = ["words"]
    if reads_characters(predictor):
        inputs.append(torch.randint(1, 2, (batch, length, longest)))
        names.append("characters")
    model = TokenScores(predictor.model, finish)
    return {"model": _exported(model, inputs, names, [output])}


def reads_characters(predictor: Any) -> bool:
    """Return whether a text model reads the spellings of words."""
    return bool(predictor.config.inputs.characters != "none")


def _finish(answer: Any) -> tuple[str, Callable[[Tensor], Tensor]]:
    """Return what the model's scores become, by name."""
    if isinstance(answer, Label):
        many, temperature = answer.multi_label, answer.temperature
        return "probabilities", lambda scores: class_probabilities(
            scores, multi_label=many, temperature=temperature
        )
    if isinstance(answer, Number):
        mean, scale = (
            torch.as_tensor(each).float()
            for each in (answer.standardizer.mean, answer.standardizer.scale)
        )
        return "values", lambda scores: mean + scale * scores
    if answer.options.chain:
        raise OptionError(
            "a chain of labels (labels.chain) needs a search, which is not exported; train without it."
        )
    return "scores", lambda scores: scores


def _translator(predictor: Any) -> dict[str, Program]:
    batch, length, _ = SIZES
    vocabulary = predictor.answer.vocabulary
    encode = Encode(predictor.model, vocabulary.begin_id, vocabulary.pad_id)
    source = torch.randint(1, 2, (batch, length))
    with torch.no_grad():
        # A second token: a past of one is a size that would be taken for fixed.
        scores, state = encode.states(source)
        for _ in range(2):
            _, state = _advance(predictor.model, scores.argmax(-1), state)
    # Copies: what is known of a view's base would be taken for a condition on the state.
    tensors = [each.clone(memory_format=torch.contiguous_format) for each in tensors_of(state)]
    names = [f"state_{number}" for number in range(len(tensors))]
    outputs = ["log_probabilities", *names]
    # The names of a graph are unique, so those after the step differ.
    after = ["log_probabilities", *(f"next_{number}" for number in range(len(tensors)))]
    step = Step(predictor.model, state)
    token = torch.randint(1, 2, (batch,))
    return {
        "encoder": _exported(encode, [source], ["source"], outputs),
        "step": _exported(step, [token, tensors], ["token", *names], after),
    }


def _exported(
    module: nn.Module, inputs: Sequence[Any], names: Sequence[str], outputs: Sequence[str]
) -> Program:
    """Export a module with every axis a variable that the trace does not fix, in operators of PyTorch alone."""
    shapes = tuple(_axes(each) for each in inputs)
    with torch.no_grad(), quiet():
        program = torch.export.export(
            module.eval(), tuple(inputs), dynamic_shapes=shapes, strict=False
        )
        program = program.run_decompositions(_plain_operators())
    left = {str(node.target) for node in program.graph.nodes if "heedful" in str(node.target)}
    assert not left, f"operators of Heedful are left in the program: {left}"
    return Program(program, tuple(names), tuple(outputs))


def _axes(given: Any) -> Any:
    """Return that the axes of a tensor, or of each of a list, are variables."""
    if isinstance(given, list):
        return [_axes(each) for each in given]
    return dict.fromkeys(range(given.ndim), torch.export.Dim.AUTO)


def _plain_operators() -> dict[Any, Callable[..., Tensor]]:
    """Return what to put in place of operators of Heedful's own."""
    return {torch.ops.heedful.additive_scores.default: _additive_scores}


def _additive_scores(query: Tensor, key: Tensor, vector: Tensor, activation: str) -> Tensor:
    """Σ_h v_h φ(a_qh + b_kh)."""
    hidden = ACTIVATIONS[activation](query[..., :, None, :] + key[..., None, :, :])
    return (hidden * vector[..., None, None, :]).sum(-1)


_BUILDERS: tuple[tuple[tuple[type, ...], Callable[[Any], dict[str, Program]]], ...] = (
    ((Label, Number, PositionLabel), _text_model),
    ((GeneratedText,), _translator),
)
"""Answers -> what builds the programs of their models."""
