"""Writes inputs with their predictions to standard output, in input order."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from itertools import tee
from pathlib import Path
from typing import TYPE_CHECKING, Any

from heedful.cli.output import Output, write_json
from heedful.cli.output_files import atomic_writer
from heedful.errors import DataError, HeedfulError, NonFiniteError

if TYPE_CHECKING:
    from heedful.answers.class_output import ClassOutput
    from heedful.cli.timestamps import Timestamps
    from heedful.tasks.predictor import Predictor
    from heedful.tasks.readers.base import Stream

Place = Callable[
    [Iterator[tuple[Any, Mapping[str, Any]]]], Iterator[Iterable[Any] | NonFiniteError]
]
"""(inputs and options of the search of each shard) -> the predictions of each, in order, or an error of the model."""


class PredictionWriter:
    """Streams inputs with their predictions to standard output, in input order."""

    def __init__(
        self,
        predictor: Predictor,
        stream: Stream,
        columns: list[str],
        classes: ClassOutput,
        times: Timestamps | None = None,
        drawn: Path | None = None,
        *,
        place: Place,
        json: bool,
    ):
        self.predictor, self.stream, self.columns = predictor, stream, columns
        self.classes, self.times, self.json, self.place = classes, times, json, place
        self.drawn = None
        if drawn is not None:
            from heedful.cli.drawn import DrawnBoxes

            self.drawn = DrawnBoxes(drawn, predictor.labels)
        self.links: Any = None
        self.count = 0
        self.header_written = False

    def write_all(self, search: dict[str, Any], output: Output, alignments: Path | None) -> float:
        """Predict and write everything, word alignments to a file of their own; return the seconds."""
        start = time.monotonic()
        with atomic_writer(alignments) as self.links:
            self._write_all(search, output)
        return time.monotonic() - start

    def _write_all(self, search: dict[str, Any], output: Output) -> None:
        from heedful.cli.progress import with_progress

        # output lines would break a progress bar on the same terminal
        quiet = output.quiet or sys.stdout.isatty()
        progress = Output(json=output.json, quiet=quiet, data=True)
        try:
            for item, prediction in with_progress(
                self._predict(search), None, progress, unit=self.stream.unit
            ):
                self._write(item, prediction)
        except (DataError, NonFiniteError) as error:
            if not self.count:
                raise
            written = f"The {self.count:,} {self.stream.unit} before it are answered and written."
            raise HeedfulError(f"{error} {written}") from None
        self._write_header_once()
        if not self.json and (footer := self.stream.footer()):
            _write_text(footer)

    def _predict(self, search: dict[str, Any]) -> Iterator[tuple[Any, Any]]:
        from heedful.cli.input_lines import available_chunks

        # reports invalid options before any input is read
        self.predictor.answer.check_search(search)
        chunks, shards = tee(
            available_chunks(self.stream.items(), self.predictor.config.prediction.chunk)
        )
        before = 0
        predicted = self.place(self._shards(shards, search))
        for chunk, found in zip(chunks, predicted, strict=True):
            try:
                if isinstance(found, NonFiniteError):
                    raise found
                yield from zip(chunk, found, strict=True)
            except NonFiniteError as error:
                where = self.stream.location(chunk[error.row], before + error.row + 1)
                raise NonFiniteError(before + error.row, where) from None
            before += len(chunk)

    def _shards(
        self, chunks: Iterator[list[Any]], search: dict[str, Any]
    ) -> Iterator[tuple[Any, dict[str, Any]]]:
        """Yield the inputs of each chunk with the options of its search."""
        before = 0
        for chunk in chunks:
            own = self.predictor.answer.of_rows(search, range(before, before + len(chunk)))
            yield (self.stream.input(item) for item in chunk), dict(own)
            before += len(chunk)

    def _write_header_once(self) -> None:
        """Write the header before the first row; a table without rows has one, too."""
        if not (self.header_written or self.json or (self.times and self.times.on_output)):
            _write_text(self.stream.header())
        self.header_written = True

    def _write(self, item: Any, prediction: Any) -> None:
        answer, is_example = self.predictor.answer, self.stream.is_example(item)
        self.count += is_example
        values = answer.to_json(prediction)
        if self.drawn is not None and is_example:
            self.drawn.write(item, prediction)
        pharaoh = self._align(item, prediction)
        timed = "" if self.times is None else self.times.text(item, prediction)
        if self.times is not None and self.times.on_output:
            _write_text(timed)
        elif not self.json:
            self._write_header_once()
            cells = [*answer.cells(prediction), *answer.class_cells(prediction, self.classes)]
            _write_text(self.stream.format(item, self.count, values, cells))
        elif is_example:
            if self.stream.cells_in_json:
                values = dict(zip(self.columns, answer.cells(prediction), strict=True))
            alignment = {} if pharaoh is None else {"alignment": pharaoh}
            classes = answer.class_values(prediction, self.classes)
            write_json({**self.stream.to_json(item, self.count), **values, **classes, **alignment})

    def _align(self, source: str, prediction: Any) -> str | None:
        """Write and return the alignment of a text and its translation; None without --alignments."""
        if self.links is None:
            return None
        from heedful.tasks.alignment import align_words

        pharaoh = ""
        if source.strip() and prediction.text.strip():
            pharaoh = align_words(self.predictor, source, prediction.text).pharaoh()
        self.links.write(f"{pharaoh}\n")
        return pharaoh


def _write_text(text: str) -> None:
    # UTF-8 regardless of the locale, as the input
    sys.stdout.buffer.write(text.encode())
    sys.stdout.buffer.flush()
