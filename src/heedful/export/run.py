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
        engine = WRITERS[format_name](predictor, unfinished)
        _write_vocabulary(predictor, unfinished)
        write_text(unfinished / "README.md", readme(predictor, engine, format_name))
        unfinished.rename(out)
    except OSError as error:
        raise RunError(f"{out} cannot be written: {error.strerror or error}") from None
    finally:
        shutil.rmtree(unfinished, ignore_errors=True)
    return sorted(out.iterdir())


def _write_programs(form: Format, predictor: Any, folder: Path) -> str:
    for name, program in programs_of(predictor).items():
        form.write(program, folder / f"{name}{form.suffix}")
    return form.engine


def _write_translator(predictor: Any, folder: Path) -> str:
    write_ctranslate2(predictor, folder)
    return "ctranslate2"


WRITERS: Final[Mapping[str, Callable[[Any, Path], str]]] = {
    **{name: partial(_write_programs, form) for name, form in FORMATS.items()},
    "ctranslate2": _write_translator,
}
"""Format -> what writes a model into a folder and returns the name of the engine, for the README."""


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
