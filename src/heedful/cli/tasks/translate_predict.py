"""`heedful predict` for translations."""

from __future__ import annotations

import contextlib
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from heedful.cli.lines import STANDARD_INPUT, as_they_come, count_lines, standard_input
from heedful.cli.output import Output, duration, write_json
from heedful.cli.predict import check_new
from heedful.cli.progress import watched
from heedful.cli.tasks.base import PredictOptions
from heedful.data.files import iterate_lines
from heedful.tasks.translation import Translation, Translator


def predict(run: Path, options: PredictOptions, output: Output) -> None:
    """Translate lines, in order, as they come."""
    file, alignments = options.file, options.alignments
    total = None if file == STANDARD_INPUT else count_lines(file)
    check_new(alignments, options.overwrite)
    translator = Translator.load(run)
    began, number = time.monotonic(), 0
    if file == STANDARD_INPUT and sys.stdin.isatty():
        output.say("type a text a line; Ctrl-D ends")
    # a bar would be torn by lines that go to the same screen
    bar = Output(json=output.json, quiet=output.quiet or sys.stdout.isatty(), data=True)
    found = _translated(translator, options)
    with _alignment_file(alignments) as aligned:
        for number, (source, best) in enumerate(watched(found, total, bar), start=1):
            pharaoh = _pharaoh(translator, source, best[0].text) if aligned else None
            if aligned:
                aligned.write(f"{pharaoh}\n")
            _write(number, source, best, pharaoh, nbest=options.nbest, json=output.json)
    seconds = time.monotonic() - began
    output.say(f"{number:,} lines in {duration(seconds)}")
    output.result(
        {
            "lines": number,
            "seconds": seconds,
            "alignments": None if alignments is None else str(alignments),
        }
    )


def _translated(
    translator: Translator, options: PredictOptions
) -> Iterator[tuple[str, list[Translation]]]:
    """Yield each line with its translations."""
    file = options.file
    lines = standard_input() if file == STANDARD_INPUT else iterate_lines(file)
    for group in as_they_come(lines, translator.config.decoding.chunk):
        translations = translator.translate(
            group,
            beam=options.beam,
            length_penalty=options.length_penalty,
            nbest=options.nbest,
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
