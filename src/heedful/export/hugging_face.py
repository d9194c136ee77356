"""A run in the layout of the Hugging Face hub: weights, config.json, tokenizer.json, a card, and the run's files."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

import torch
from tokenizers import Tokenizer

from heedful import run_folder
from heedful.answers.text import GeneratedText
from heedful.data.lexicon import Lexicon
from heedful.errors import OptionError
from heedful.export.hf_tokenizers import (
    END,
    PADDING,
    missing_pieces,
    text_tokenizer,
    token_tokenizer,
    vocabulary_tokenizer,
)
from heedful.inputs.pieces import Pieces
from heedful.inputs.text import Text
from heedful.inputs.tokens import Tokens
from heedful.inputs.turns import Turns
from heedful.strict_json import to_strict_json
from heedful.tasks.predictor import Predictor

TARGET: Final = "target"
"""Subfolder of the tokenizer of what is written, if it is another than that of what is read."""
PIPELINES: Final[Mapping[str, str]] = {
    "classify": "text-classification",
    "tag": "token-classification",
    "translate": "translation",
    "reply": "text-generation",
    "rank-replies": "text-ranking",
    "transcribe": "automatic-speech-recognition",
    "classify-images": "image-classification",
    "classify-audio": "audio-classification",
    "detect": "object-detection",
    "forecast": "time-series-forecasting",
}
"""Task -> its name on the hub."""


def write_hub_folder(predictor: Any, folder: Path) -> None:
    """Write a model that `heedful.load` reads, and whose tokenizer transformers reads.

    Raises: OptionError for words of an older version's rules, or sub-words with vectors from a file.
    """
    predictor = _with_all_pieces(predictor)
    predictor = Predictor(
        predictor.task,
        _without_folders(predictor.config),
        predictor.input,
        predictor.answer,
        predictor.model,
        predictor.layout,
    )
    tokenizers = tokenizers_of(predictor)
    run_folder.create(folder, predictor.task.name)
    predictor.save(folder)
    predictor.save_weights(folder / run_folder.WEIGHTS)
    _write_json(folder / "config.json", _configuration(predictor, tokenizers))
    for place, tokenizer in tokenizers.items():
        (folder / place).mkdir(exist_ok=True)
        run_folder.write_text(
            folder / place / "tokenizer.json", tokenizer.to_str(pretty=True) + "\n"
        )
        _write_json(folder / place / "tokenizer_config.json", _tokenizer_configuration(tokenizer))
    run_folder.write_text(folder / "README.md", card(predictor, tokenizers))


def tokenizers_of(predictor: Any) -> dict[str, Tokenizer]:
    """Return the tokenizers of a model of text by the folder inside its own, "" for what is read; none of others.

    Raises: OptionError as `write_hub_folder`.
    """
    found = {}
    read = next((build for kind, build in _READ.items() if isinstance(predictor.input, kind)), None)
    if read is not None:
        found[""] = read(predictor.input)
    if isinstance(predictor.answer, GeneratedText) and found:
        vocabulary = predictor.answer.vocabulary
        if vocabulary != predictor.input.vocabulary:
            found[TARGET] = vocabulary_tokenizer(vocabulary, ends=True)
    return found


_READ: Final[Mapping[type, Callable[[Any], Tokenizer]]] = {
    Text: text_tokenizer,
    Tokens: token_tokenizer,
    Pieces: lambda source: vocabulary_tokenizer(source.vocabulary, ends=True),
    Turns: lambda turns: vocabulary_tokenizer(turns.vocabulary, ends=False),
}
"""Kind of input -> its tokenizer."""


def _with_all_pieces(predictor: Any) -> Any:
    """Return a model that gives the same answers, in which every sub-word has an id of its own.

    Those that were too rare to be learned share the embedding of unknown words; each gets a copy.
    """
    text = predictor.input
    missing = missing_pieces(text) if isinstance(text, Text) else ()
    if not missing:
        return predictor
    if text.tokens.vectors is not None:
        raise OptionError(
            "sub-words with vectors from a file (inputs.vectors) have no tokenizer file; export this run with "
            "--format onnx."
        )
    words = text.tokens.words.union(Lexicon(missing))
    more = torch.zeros(len(missing), dtype=text.word_frequencies.dtype)
    inputs = replace(
        text,
        tokens=replace(text.tokens, words=words, _spelling_ids={}, _characters=[]),
        word_frequencies=torch.cat([text.word_frequencies, more]),
    )
    model = predictor.task.build(predictor.config, inputs, predictor.answer)
    wanted = model.state_dict()
    model.load_state_dict(
        {
            name: _grown(tensor, wanted[name].shape)
            for name, tensor in predictor.model.state_dict().items()
        }
    )
    return Predictor(
        predictor.task, predictor.config, inputs, predictor.answer, model.eval(), predictor.layout
    )


def _grown(tensor: torch.Tensor, shape: torch.Size) -> torch.Tensor:
    """Append copies of the row of the unknown word."""
    if tensor.shape == shape:
        return tensor
    unknown = tensor[1:2].expand(shape[0] - tensor.shape[0], *tensor.shape[1:])
    return torch.cat([tensor, unknown])


def _without_folders(config: Any) -> Any:
    """Return a configuration whose data files are named without the folders of this machine."""
    named = {
        name: _base_names(getattr(config.data, name)) for name in type(config.data).model_fields
    }
    return config.model_copy(update={"data": config.data.model_copy(update=named)})


def _base_names(value: Any) -> Any:
    if isinstance(value, tuple):
        return tuple(map(_base_names, value))
    is_path = isinstance(value, str) and len(Path(value).parts) > 1
    return Path(value).name if is_path else value


def _configuration(predictor: Any, tokenizers: Mapping[str, Tokenizer]) -> dict[str, Any]:
    found: dict[str, Any] = {
        "library_name": "heedful",
        "architectures": [type(predictor.model).__name__],
        "task": predictor.task.name,
        "settings": predictor.config.model_dump(mode="json"),
    }
    if predictor.labels:
        found["id2label"] = {str(n): label for n, label in enumerate(predictor.labels)}
        found["label2id"] = {label: n for n, label in enumerate(predictor.labels)}
    for place, tokenizer in tokenizers.items():
        name = f"{place}_vocab_size" if place else "vocab_size"
        found[name] = tokenizer.get_vocab_size()
    return found


def _tokenizer_configuration(tokenizer: Tokenizer) -> dict[str, Any]:
    names = {each.content: index for index, each in tokenizer.get_added_tokens_decoder().items()}
    unknown = next(name for name in names if name.startswith("< unknown"))
    found = {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "clean_up_tokenization_spaces": False,
        "split_special_tokens": True,
        "pad_token": PADDING,
        "unk_token": unknown,
        "model_input_names": ["input_ids", "attention_mask"],
    }
    if END in names:
        found["eos_token"] = END
    return found


def _write_json(path: Path, content: Mapping[str, Any]) -> None:
    run_folder.write_text(path, to_strict_json(content) + "\n")


def card(predictor: Any, tokenizers: Mapping[str, Tokenizer]) -> str:
    """Return the README of the folder, which the hub shows as the card of the model."""
    task = predictor.task.name
    head = ["---", "library_name: heedful"]
    if task in PIPELINES:
        head.append(f"pipeline_tag: {PIPELINES[task]}")
    lines = [*head, "---", "", f"# A model of the task {task}", ""]
    lines += ["Written by `heedful export --format hf`. It runs with `pip install heedful`:", ""]
    lines += ["```python", "import heedful", "", 'model = heedful.load("FOLDER")']
    lines += ["print(model.predict(INPUTS))", "```"]
    if tokenizers:
        lines += ["", "Its ids without Heedful:", "", "```python"]
        lines += ["from transformers import AutoTokenizer", ""]
        call = "TOKENS, is_split_into_words=True" if task == "tag" else "TEXT"
        lines += ['tokenizer = AutoTokenizer.from_pretrained("FOLDER")']
        lines += [f'print(tokenizer({call})["input_ids"])', "```"]
    if TARGET in tokenizers:
        lines += [
            "",
            f'`AutoTokenizer.from_pretrained("FOLDER/{TARGET}")` has those of the answers.',
        ]
    return "\n".join(lines) + "\n"
