"""`heedful predict`: translate lines."""

from __future__ import annotations

import contextlib
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from heedful.cli.options import Beam, Json, Quiet, Run
from heedful.cli.output import Output, duration, write_json
from heedful.errors import RunError

if TYPE_CHECKING:
    from heedful.tasks.translation import Translation, Translator


def predict(
    run: Run,
    file: Annotated[
        str,
        typer.Argument(
            help="A file of one text a line (.gz too), or - for standard input.", metavar="FILE|-"
        ),
    ] = "-",
    beam: Beam = None,
    length_penalty: Annotated[
        float | None,
        typer.Option(
            min=0.0,
            metavar="POWER",
            help="Power of the length by which scores are divided.",
            show_default="the run's",
        ),
    ] = None,
    nbest: Annotated[
        int,
        typer.Option(
            min=1, metavar="N", help="Translations of each line; more than 1 changes the format."
        ),
    ] = 1,
    alignments: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="Also write, for each line, which source word each translated word looked at most: "
            "Pharaoh format, `i-j` for source word i and target word j, from 0.",
            show_default=False,
        ),
    ] = None,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace the file of --alignments, if it is there.")
    ] = False,
    json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Translate lines, in order, as they come.

    Output begins before the input ends, and an empty line stays an empty line.

    With --nbest N each line gives up to N lines of three fields parted by tabs: the number of the input line,
    the score (the larger the better) and the text. With --json each line is one JSON object, and the last one
    sums up.

    Example:
        heedful predict runs/en-de new.en > new.de
        heedful predict runs/en-de new.en --beam 5 --nbest 3
        heedful predict runs/en-de new.en --beam 5 --alignments new.align > new.de
        echo "A man sleeps." | heedful predict runs/en-de
    """
    from heedful.cli.lines import STANDARD_INPUT, count_lines
    from heedful.cli.progress import watched
    from heedful.tasks.translation import Translator

    total = None if file == STANDARD_INPUT else count_lines(file)
    check_new(alignments, overwrite)
    translator = Translator.load(run)
    output = Output(json=json, quiet=quiet, data=True)
    began, number = time.monotonic(), 0
    if file == STANDARD_INPUT and sys.stdin.isatty():
        output.say("type a text a line; Ctrl-D ends")
    # a bar would be torn by lines that go to the same screen
    bar = Output(json=json, quiet=quiet or sys.stdout.isatty(), data=True)
    found = _translated(translator, file, beam, length_penalty, nbest)
    with _alignment_file(alignments) as aligned:
        for number, (source, best) in enumerate(watched(found, total, bar), start=1):
            pharaoh = _pharaoh(translator, source, best[0].text) if aligned else None
            if aligned:
                aligned.write(f"{pharaoh}\n")
            _write(number, source, best, pharaoh, nbest=nbest, json=json)
    seconds = time.monotonic() - began
    output.say(f"{number:,} lines in {duration(seconds)}")
    output.result(
        {
            "lines": number,
            "seconds": seconds,
            "alignments": None if alignments is None else str(alignments),
        }
    )


def check_new(path: Path | None, overwrite: bool) -> None:
    """Check, and change nothing, that a file may be written.

    Raises: RunError when it is there and may not be replaced, or its folder is not there.
    """
    if path is None:
        return
    if path.is_dir():
        raise RunError(f"{path} is a folder; a file is wanted")
    if path.exists() and not overwrite:
        raise RunError(f"{path} exists; --overwrite replaces it, or name another file")
    if not path.parent.is_dir():
        raise RunError(f"{path} cannot be written: there is no folder {str(path.parent)!r}")


def _translated(
    translator: Translator, file: str, beam: int | None, length_penalty: float | None, nbest: int
) -> Iterator[tuple[str, list[Translation]]]:
    """Yield each line with its translations."""
    from heedful.cli.lines import STANDARD_INPUT, as_they_come, standard_input
    from heedful.data.files import iterate_lines

    lines = standard_input() if file == STANDARD_INPUT else iterate_lines(file)
    for group in as_they_come(lines, translator.config.decoding.chunk):
        translations = translator.translate(
            group, beam=beam, length_penalty=length_penalty, nbest=nbest
        )
        yield from zip(group, translations, strict=True)


@contextlib.contextmanager
def _alignment_file(path: Path | None) -> Iterator[Any]:
    """Open the file of alignments; it gets its name when it is complete."""
    if path is None:
        yield None
        return
    partial = path.with_name(path.name + ".partial")
    try:
        with partial.open("w", encoding="utf-8") as file:
            yield file
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)


def _pharaoh(translator: Translator, source: str, target: str) -> str:
    """Align a line and its translation; one without words has no links."""
    if not source.strip() or not target.strip():
        return ""
    return translator.align(source, target).pharaoh()


def _write(
    number: int,
    source: str,
    translations: list[Translation],
    pharaoh: str | None,
    *,
    nbest: int,
    json: bool,
) -> None:
    if json:
        values: dict[str, Any] = {
            "line": number,
            "source": source,
            "translations": [{"text": each.text, "score": each.score} for each in translations],
        }
        write_json(values if pharaoh is None else values | {"alignment": pharaoh})
        return
    if nbest == 1:
        text = translations[0].text + "\n"
    else:
        text = "".join(f"{number}\t{each.score:.4f}\t{each.text}\n" for each in translations)
    # UTF-8 whatever the terminal says: this is data, as the input is
    sys.stdout.buffer.write(text.encode())
    sys.stdout.buffer.flush()
