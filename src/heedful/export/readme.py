"""The README of an exported model: ten lines of Python that run it without Heedful."""

from __future__ import annotations

from typing import Any, Final

from heedful.answers.label import Label
from heedful.answers.number import Number
from heedful.answers.text import GeneratedText
from heedful.data.words import SPACE_MARK
from heedful.export.programs import reads_characters

_RUN: Final = {
    "onnx": (
        "import onnxruntime",
        '{name} = onnxruntime.InferenceSession("{name}.onnx")',
        "{outputs} = {name}.run(None, {{{inputs}}})",
    ),
    "torch": (
        "import torch",
        '{name} = torch.export.load("{name}.pt2").module()',
        "{outputs} = [each.numpy() for each in {name}(*map(torch.from_numpy, ({values})))]",
    ),
}


def readme(predictor: Any, format_name: str) -> str:
    """Return the text of the file."""
    is_text = isinstance(predictor.answer, GeneratedText)
    code = (_translate if is_text else _score)(predictor, format_name)
    shown = "\n".join(code)
    return (
        f"# A model of the task {predictor.task.name}\n\n"
        f"Written by `heedful export --format {format_name}`. It runs without Heedful:\n\n"
        f"```python\n{shown}\n```\n\n{_notes(predictor)}"
    )


def _score(predictor: Any, format_name: str) -> list[str]:
    """Return the code that runs a text model."""
    head, load, run = _RUN[format_name]
    has_characters = reads_characters(predictor)
    tokenizer = getattr(predictor.input, "tokenizer", None)
    pieces = None if tokenizer is None else tokenizer.pieces
    imports = ["import json", "import numpy as np", head]
    lines = ['vocabulary = json.load(open("vocabulary.json", encoding="utf-8"))']
    lines += ['words = {word: n for n, word in enumerate(vocabulary["words"], 2)}']
    if pieces is not None:
        imports.insert(2, "from tokenizers import Tokenizer")
        lines.append(f'text = "{SPACE_MARK}" + "a good film".replace(" ", "{SPACE_MARK}")')
        lines.append('tokens = Tokenizer.from_file("tokenizer.json").encode(text).tokens')
    else:
        lines.append('tokens = "a good film".split()  # see below')
    lower = ".lower()" if predictor.config.vocabulary.lowercase and pieces is None else ""
    lines.append(f"ids = np.array([[words.get(token{lower}, 1) for token in tokens]])")
    values = "ids,"
    inputs = '"words": ids'
    if has_characters:
        lines += [
            'letters = {each: n for n, each in enumerate(vocabulary["characters"], 2)}',
            "spelled = np.zeros((1, len(tokens), max(map(len, tokens))), dtype=np.int64)",
            "for n, token in enumerate(tokens):",
            "    spelled[0, n, : len(token)] = [letters.get(each, 1) for each in token]",
        ]
        values, inputs = "ids, spelled", '"words": ids, "characters": spelled'
    lines.append(load.format(name="model"))
    if format_name == "torch":
        lines.append(f"answer = model(*map(torch.from_numpy, ({values}))).numpy()[0]")
    else:
        lines.append(run.format(name="model", outputs="answer", inputs=inputs) + "[0][0]")
    return [*imports, "", *lines, *_show(predictor.answer)]


def _show(answer: Any) -> list[str]:
    if isinstance(answer, Label):
        return ['print(dict(zip(vocabulary["labels"], answer.tolist())))']
    if isinstance(answer, Number):
        return ["print(answer.tolist())"]
    return ['print([vocabulary["labels"][n] for n in answer.argmax(-1)])']


def _translate(predictor: Any, format_name: str) -> list[str]:
    """Return the code that translates a sentence by greedy search."""
    head, load, _ = _RUN[format_name]
    begin = "" if predictor.input.vocabulary.kind == "char" else SPACE_MARK
    lines = [
        f'text = "{begin}" + "a man sleeps".replace(" ", "{SPACE_MARK}")',
        'source = np.array([Tokenizer.from_file("source.json").encode(text).ids + [3]])',
        load.format(name="encoder"),
        load.format(name="step"),
    ]
    if format_name == "torch":
        first = "scores, *state = encoder(torch.from_numpy(source))"
        later = "scores, *state = step(torch.tensor([tokens[-1]]), state)"
    else:
        lines.append("names = [each.name for each in step.get_inputs()]")
        first = 'scores, *state = encoder.run(None, {"source": source})'
        later = (
            "scores, *state = step.run(None, dict(zip(names, [np.array([tokens[-1]]), *state])))"
        )
    lines += [
        first,
        "tokens = [int(scores[0].argmax())]",
        "while tokens[-1] != 3 and len(tokens) < 100:",
        f"    {later}",
        "    tokens.append(int(scores[0].argmax()))",
        'target = Tokenizer.from_file("target.json")',
        f'print("".join(target.id_to_token(n) for n in tokens if n > 3).replace("{SPACE_MARK}", " ").strip())',
    ]
    return ["import numpy as np", head, "from tokenizers import Tokenizer", "", *lines]


def _notes(predictor: Any) -> str:
    if isinstance(predictor.answer, GeneratedText):
        return (
            "`source.json` and `target.json` are tokenizers of the library tokenizers. Texts are in Unicode's form "
            "NFC, with single spaces"
            + (", in lower case.\n" if predictor.input.vocabulary.lowercase else ".\n")
            + "\nIds: 0 padding, 1 unknown, 2 begin, 3 end. `encoder` reads `source` (batch, length), each ending "
            "with 3 and padded with 0, and returns the log-probabilities of the first token, (batch, vocabulary), and "
            "the state; `step` reads a `token` (batch,) and the state, and returns those of the next. For a beam, take "
            "rows of the state along its axis of the batch, which is the second of recurrent states and the first "
            "of all others.\n"
        )
    tokenizer = getattr(predictor.input, "tokenizer", None)
    kind = "space" if tokenizer is None else tokenizer.kind
    split = {
        "word": "Tokens are words and signs: `isn't it?` is `isn't`, `it`, `?`; each character of Chinese is one.",
        "space": "Tokens are what stands between white space.",
        "char": f"Tokens are characters, with {SPACE_MARK} for a space: replace `.split()` by that.",
    }.get(kind, "Tokens are sub-words of `tokenizer.json`.")
    return (
        f"{split} Texts are in Unicode's form NFC. Ids: 0 padding, 1 unknown. `words` is (batch, length), padded with "
        "0 at the end; `characters`, if the model reads them, (batch, length, longest), the characters of each word.\n"
    )
