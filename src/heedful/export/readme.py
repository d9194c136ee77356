"""The README of an exported model: about ten lines of Python that run it without Heedful."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, NamedTuple

from heedful.answers.ranked_reply import ReplyRanking
from heedful.answers.text import GeneratedText
from heedful.answers.transcript import TranscribedText
from heedful.data.dialogue.turns import SPEAKERS
from heedful.data.words import SPACE_MARK
from heedful.export.answering import answering_of
from heedful.export.reading import reading_of
from heedful.inputs.turns import Turns


class Engine(NamedTuple):
    """How Python opens and calls the programs of a format."""

    head: str
    suffix: str

    def opened(self, name: str) -> str:
        """Return the line that opens a program."""
        if self.suffix == ".onnx":
            return f'{name} = onnxruntime.InferenceSession("{name}.onnx")'
        return f'{name} = torch.export.load("{name}.pt2").module()'

    def called(self, name: str, inputs: Sequence[str], outputs: Sequence[str]) -> str:
        """Return the line that calls a program with arrays named as its inputs; a last output `*name` is a list."""
        named = ", ".join(outputs)
        if len(outputs) == 1:
            named = named.removeprefix("*") if named.startswith("*") else f"[{named}]"
        if self.suffix == ".onnx":
            given = ", ".join(f'"{each}": {each}' for each in inputs)
            return f"{named} = {name}.run(None, {{{given}}})"
        given = ", ".join(f"torch.as_tensor({each})" for each in inputs)
        if named.startswith("["):
            return f"{outputs[0]} = {name}({given}).numpy()"
        return f"{named} = [each.numpy() for each in {name}({given})]"

    def stepped(self) -> str:
        """Return the line that calls a step of a decoder."""
        if self.suffix == ".onnx":
            feed = "dict(zip(names, [np.array([token]), *state]))"
            return f"log_probabilities, *state = step.run(None, {feed})"
        tensors = "list(map(torch.as_tensor, state))"
        return f"log_probabilities, *state = step(torch.tensor([token]), {tensors})"

    def names(self) -> list[str]:
        """Return the line that tells the names of what a step reads, where they are needed."""
        return (
            ["names = [each.name for each in step.get_inputs()]"] if self.suffix == ".onnx" else []
        )


ENGINES: Final = {
    "onnx": Engine("import onnxruntime", ".onnx"),
    "torch": Engine("import torch", ".pt2"),
}


class Text(NamedTuple):
    """Code and notes of a README."""

    imports: Sequence[str]
    lines: Sequence[str]
    notes: str


def readme(predictor: Any, engine: str, format_name: str) -> str:
    """Return the text of the file.

    Args:
        predictor: the model.
        engine: "onnx", "torch" or "ctranslate2".
        format_name: what was asked for.
    """
    text = _text(predictor, engine)
    shown = "\n".join([*text.imports, "", *text.lines])
    return (
        f"# A model of the task {predictor.task.name}\n\n"
        f"Written by `heedful export --format {format_name}`. It runs without Heedful:\n\n"
        f"```python\n{shown}\n```\n\n{text.notes}\n"
    )


def _text(predictor: Any, engine: str) -> Text:
    if engine == "ctranslate2":
        return _ctranslate2(predictor)
    for kind, make in _OTHERS.items():
        if isinstance(predictor.answer, kind):
            return make(predictor, ENGINES[engine])
    return _answered(predictor, ENGINES[engine])


def _answered(predictor: Any, engine: Engine) -> Text:
    reading, answering = reading_of(predictor), answering_of(predictor)
    code, shown = reading.code(), answering.lines(predictor)
    lines = [*_read(reading, engine), engine.opened("model")]
    lines.append(engine.called("model", [each.name for each in reading.given], answering.outputs))
    if "vocabulary" in "".join([*code.lines, *shown]):
        lines.insert(0, 'vocabulary = json.load(open("vocabulary.json", encoding="utf-8"))')
    lines += shown
    notes = f"{reading.notes}\n\nReturned: {answering.note}"
    return Text(_imports(engine, code.imports, lines), lines, notes)


def _read(reading: Any, engine: Engine) -> list[str]:
    """Return the lines that make an example of an input, with the programs that come before the model."""
    code, first = reading.code(), reading.first
    if first is None:
        return list(code.lines)
    return [*code.lines, engine.opened(first.name), engine.called(*first), *code.later]


def _imports(engine: Engine, others: Sequence[str], lines: Sequence[str]) -> list[str]:
    needs_json = any("json." in line for line in lines)
    own = ["import json"] if needs_json else []
    return [*own, "import numpy as np", engine.head, *others]


def _written(predictor: Any, engine: Engine) -> Text:
    """Return how a source is read and a text written by greedy search."""
    source = _source(predictor)
    lines = [
        *source.lines,
        engine.opened("encoder"),
        engine.called("encoder", ["source"], ["*state"]),
        *_greedy(engine),
    ]
    imports = [*_imports(engine, source.imports, lines)]
    return Text(imports, lines, f"{source.notes}\n\n{_STEPS.format(end=_BATCHES)}")


def _source(predictor: Any) -> Text:
    imports = ["from tokenizers import Tokenizer"]
    notes = (
        "`source.json` and `target.json` are tokenizers of the library tokenizers. Texts are in Unicode's form NFC, "
        f"with single spaces{', in lower case' if predictor.input.vocabulary.lowercase else ''}. Ids: 0 padding, 1 "
        "unknown, 2 begin, 3 end. `source` (batch, length) ends with 3 and is padded with 0."
    )
    if isinstance(predictor.input, Turns):
        return Text(imports, _history(predictor, with_ages=False), f"{notes} {_turns(predictor)}")
    lines = [
        f'text = "{_begin(predictor)}" + "a man sleeps".replace(" ", "{SPACE_MARK}")',
        'source = np.array([Tokenizer.from_file("source.json").encode(text).ids + [3]])',
    ]
    return Text(imports, lines, notes)


def _begin(predictor: Any) -> str:
    return "" if predictor.input.vocabulary.kind == "char" else SPACE_MARK


def _history(predictor: Any, *, with_ages: bool) -> list[str]:
    begin, first = _begin(predictor), len(predictor.input.vocabulary)
    speakers = ", ".join(f'"{name}": {first + n}' for n, name in enumerate(SPEAKERS))
    lines = [
        f"speakers = {{{speakers}}}",
        'tokenizer, ids, ages = Tokenizer.from_file("source.json"), [], []',
        'turns = [("user", "are you free now")]  # the last ones before the reply',
        "for age, (speaker, text) in zip(range(len(turns))[::-1], turns):",
        f'    pieces = tokenizer.encode("{begin}" + text.replace(" ", "{SPACE_MARK}")).ids',
        "    ids += [speakers[speaker], *pieces]",
        "    ages += [min(age, 15)] * (1 + len(pieces))",
        "source = np.array([ids + [3]])",
    ]
    return [*lines, "ages = np.array([ages + [0]])"] if with_ages else lines


def _turns(predictor: Any) -> str:
    return (
        f"Of a history the last {predictor.input.max_turns} turns are read, each with a token for its speaker, and of "
        f"these the last {predictor.input.max_tokens} tokens."
    )


def _greedy(engine: Engine) -> list[str]:
    return [
        engine.opened("step"),
        *engine.names(),
        "tokens, token = [], 2",
        "while token != 3 and len(tokens) < 100:",
        f"    {engine.stepped()}",
        "    token = int(log_probabilities[0].argmax())",
        "    tokens.append(token)",
        *_decoded("tokens"),
    ]


def _decoded(tokens: str) -> list[str]:
    return [
        'target = Tokenizer.from_file("target.json")',
        f'print("".join(target.id_to_token(n) for n in {tokens} if n > 3).replace("{SPACE_MARK}", " ").strip())',
    ]


_STEPS: Final = (
    "`encoder` returns the state of the search; `step` reads a `token` (batch,), 2 at first, and the state, and "
    "returns the log-probabilities of the next token, (batch, vocabulary), and the next state. A text is scored by "
    "giving its own tokens. {end}"
)
_BATCHES: Final = (
    "For a beam, take rows of the state along its axis of the batch, which is the second of recurrent states and the "
    "first of all others."
)


def _transcribed(predictor: Any, engine: Engine) -> Text:
    reading, model = reading_of(predictor), predictor.model
    names = [each.name for each in reading.given]
    outputs = ["positions", *(["ctc"] if model.has_ctc else [])]
    has_decoder = model.decoder is not None
    lines = [
        *_read(reading, engine),
        engine.opened("encoder"),
        engine.called("encoder", names, [*outputs, *(["*state"] if has_decoder else [])]),
    ]
    notes = f"{reading.notes}\n\nIds: 0 padding and the blank of CTC, 1 unknown, 2 begin, 3 end."
    if model.has_ctc:
        notes += (
            " `ctc` (batch, positions, symbols) are the log-probabilities of CTC, of which `positions` (batch,) are "
            "real."
        )
    if has_decoder:
        lines += _greedy(engine)
        joint = (
            " Heedful's own search adds CTC's scores of prefixes to those of the decoder."
            if model.has_ctc and predictor.answer.decoding.ctc_weight
            else ""
        )
        notes += f"\n\n{_STEPS.format(end=_BATCHES)}{joint}"
    else:
        lines += [
            "best = ctc[0, :, :].argmax(-1)",
            "tokens = [n for n, before in zip(best, [0, *best]) if n != before]",
            *_decoded("tokens"),
        ]
    imports = _imports(engine, ["from tokenizers import Tokenizer"], lines)
    return Text(imports, lines, notes)


def _ranked(predictor: Any, engine: Engine) -> Text:
    lines = [
        *_history(predictor, with_ages=True),
        engine.opened("history"),
        engine.called("history", ["source", "ages"], ["vectors"]),
        'scores = vectors[0] @ np.load("replies.npy").T',
        'replies = json.load(open("replies.json", encoding="utf-8"))["replies"]',
        "print(replies[scores.argmax()], scores.max())",
    ]
    notes = (
        f"`source` and `ages` (batch, length) end with 3 and 0 and are padded with 0. {_turns(predictor)} Ids: 0 "
        "padding, 1 unknown, 3 end. `reply` makes the vectors of other replies, from their pieces without begin and "
        "end, `source` (batch, length). Vectors have length 1; a score is the cosine."
    )
    return Text(_imports(engine, ["from tokenizers import Tokenizer"], lines), lines, notes)


_OTHERS: Final[Mapping[type[Any], Callable[[Any, Engine], Text]]] = {
    GeneratedText: _written,
    TranscribedText: _transcribed,
    ReplyRanking: _ranked,
}


def _ctranslate2(predictor: Any) -> Text:
    source = _source(predictor)
    lines = [
        source.lines[0],
        'source = Tokenizer.from_file("source.json").encode(text).tokens',
        'translator = ctranslate2.Translator("model")',
        "[found] = translator.translate_batch([source], beam_size=5)",
        f'print("".join(found.hypotheses[0]).replace("{SPACE_MARK}", " ").strip())',
    ]
    return Text(["import ctranslate2", *source.imports], lines, source.notes)
