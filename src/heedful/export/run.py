"""Write a trained model as a folder for another engine: its programs, its vocabulary, and a README that runs it."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

from heedful.answers.text import GeneratedText
from heedful.atomic_files import write_text
from heedful.errors import RunError, unknown_choice
from heedful.export.formats import FORMATS
from heedful.export.programs import programs_of
from heedful.export.readme import readme


def export(predictor: Any, format_name: str, out: str | Path) -> list[Path]:
    """Write a model; return the files.

    Args:
        predictor: the model.
        format_name: one of `FORMATS`.
        out: a new folder, which exists only when it is whole.

    Raises: OptionError for an unknown format, or a model that the format cannot express; RunError for a folder that is
        there already or cannot be written.
    """
    out = Path(out)
    if format_name not in FORMATS:
        raise unknown_choice("format", format_name, FORMATS)
    if out.exists():
        raise RunError(f"{out} is there already; give another --out.")
    programs = programs_of(predictor)
    suffix, write = FORMATS[format_name]
    unfinished = out.with_name(f"{out.name}.part")
    try:
        shutil.rmtree(unfinished, ignore_errors=True)
        unfinished.mkdir(parents=True)
        for name, program in programs.items():
            write(program, unfinished / f"{name}{suffix}")
        _write_vocabulary(predictor, unfinished)
        write_text(unfinished / "README.md", readme(predictor, format_name))
        unfinished.rename(out)
    except OSError as error:
        raise RunError(f"{out} cannot be written: {error.strerror or error}") from None
    finally:
        shutil.rmtree(unfinished, ignore_errors=True)
    return sorted(out.iterdir())


def _write_vocabulary(predictor: Any, folder: Path) -> None:
    """Write what turns texts to ids, and ids to answers."""
    if isinstance(predictor.answer, GeneratedText):
        predictor.input.vocabulary.save_tokenizer(folder / "source.json")
        predictor.answer.vocabulary.save_tokenizer(folder / "target.json")
        return
    predictor.input.save(folder)
    predictor.answer.save(folder)
    tokenizer = getattr(predictor.input, "tokenizer", None)
    if tokenizer is not None and tokenizer.pieces is not None:
        tokenizer.pieces.save_tokenizer(folder / "tokenizer.json")
