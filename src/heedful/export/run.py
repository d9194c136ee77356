"""Write a trained model as a folder for another engine: its programs, its vocabulary, and a README that runs it."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any, Final

from heedful.answers.ranked_reply import ReplyRanking
from heedful.answers.text import GeneratedText
from heedful.answers.token_label import PositionLabel
from heedful.answers.transcript import TranscribedText
from heedful.atomic_files import write_text
from heedful.errors import RunError, unknown_choice
from heedful.export.ct2 import write_ctranslate2
from heedful.export.formats import FORMATS, Format
from heedful.export.hugging_face import write_hub_folder
from heedful.export.programs import programs_of
from heedful.export.reading import reading_of
from heedful.export.readme import readme
from heedful.export.towers import save_bank
from heedful.strict_json import to_strict_json


def export(predictor: Any, format_name: str, out: str | Path) -> list[Path]:
    """Write a model; return the files.

    Args:
        predictor: the model.
        format_name: one of `WRITERS`.
        out: a new folder, which exists only when it is whole.

    Raises: OptionError for an unknown format, or a model that the format cannot express; RunError for a folder that is
        there already or cannot be written.
    """
    out = Path(out)
    if format_name not in WRITERS:
        raise unknown_choice("format", format_name, WRITERS)
    if out.exists():
        raise RunError(f"{out} is there already; give another --out.")
    unfinished = out.with_name(f"{out.name}.part")
    try:
        shutil.rmtree(unfinished, ignore_errors=True)
        unfinished.mkdir(parents=True)
        WRITERS[format_name](predictor, unfinished, format_name)
        unfinished.rename(out)
    except OSError as error:
        raise RunError(f"{out} cannot be written: {error.strerror or error}") from None
    finally:
        shutil.rmtree(unfinished, ignore_errors=True)
    return sorted(out.iterdir())


def _write_programs(form: Format, predictor: Any, folder: Path, name: str) -> None:
    for part, program in programs_of(predictor).items():
        form.write(program, folder / f"{part}{form.suffix}")
    _write_rest(predictor, folder, form.engine, name)


def _write_translator(predictor: Any, folder: Path, name: str) -> None:
    write_ctranslate2(predictor, folder)
    _write_rest(predictor, folder, "ctranslate2", name)


def _write_hub_folder(predictor: Any, folder: Path, name: str) -> None:
    write_hub_folder(predictor, folder)


WRITERS: Final[Mapping[str, Callable[[Any, Path, str], None]]] = {
    **{name: partial(_write_programs, form) for name, form in FORMATS.items()},
    "ctranslate2": _write_translator,
    "hf": _write_hub_folder,
}
"""Format -> what writes a model into a folder: (predictor, folder, format)."""


def _write_rest(predictor: Any, folder: Path, engine: str, name: str) -> None:
    """Write the vocabulary, and the README of the engine."""
    _write_vocabulary(predictor, folder)
    write_text(folder / "README.md", readme(predictor, engine, name))


def _write_vocabulary(predictor: Any, folder: Path) -> None:
    """Write what turns examples to numbers, and numbers to answers."""
    answer = predictor.answer
    if isinstance(answer, GeneratedText):
        predictor.input.vocabulary.save_tokenizer(folder / "source.json")
        answer.vocabulary.save_tokenizer(folder / "target.json")
        return
    if isinstance(answer, ReplyRanking):
        answer.vocabulary.save_tokenizer(folder / "source.json")
        answer.save(folder)
        save_bank(predictor, folder)
        return
    reading_of(predictor).save(folder)
    if isinstance(answer, TranscribedText):
        answer.vocabulary.save_tokenizer(folder / "target.json")
        return
    answer.save(folder)
    if isinstance(answer, PositionLabel) and answer.options.chain:
        save_chain(predictor.model, folder)


def save_chain(model: Any, folder: Path) -> None:
    """Write the scores of a chain of labels: of the first and the last one, and of each that follows another."""
    chain = model.head.chain
    told = {name: getattr(chain, name).tolist() for name in ("first", "last", "transitions")}
    write_text(folder / "chain.json", to_strict_json(told) + "\n")
