"""`heedful predict` for texts: the table that was read, with columns added."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from heedful.cli.lines import STANDARD_INPUT, as_they_come, count_lines, standard_input
from heedful.cli.output import Output, duration, write_json
from heedful.cli.progress import watched
from heedful.cli.tasks.base import PredictOptions, refuse_others
from heedful.cli.tasks.text_predictors import added_columns, added_values, predictor_of
from heedful.cli.texts import text_columns
from heedful.data.files import check_file, iterate_lines
from heedful.data.text_tables import TextTable
from heedful.data.texts import Text, iterate_texts
from heedful.errors import OptionError
from heedful.tasks.classifying import Classifier
from heedful.tasks.text_predictor import TextPredictor


def predict(run: Path, options: PredictOptions, output: Output) -> None:
    """Answer the texts of a table, in order, as they come; every other column stays as it was."""
    predictor = predictor_of(run)
    refuse_others(options, predictor.task, ["file", "column"])
    if options.column == "":
        raise OptionError("--column is empty; name the column that is added")
    config = predictor.load_config(run)
    columns = text_columns(config.data)
    if options.file == STANDARD_INPUT:
        # standard input has no name: it is taken for what the model was trained on
        path, lines = Path("standard input"), standard_input()
        table = columns.table(config.data.train[0] if config.data.train else "input.tsv")
    else:
        path = Path(options.file)
        check_file(path)
        table = columns.table(path)
        count_lines(options.file)
        lines = iterate_lines(path)
    trained = predictor.load(run)
    added = added_columns(trained, options.column)
    texts = iterate_texts(table, path, lines, columns, answers=False, added=added)
    began, number = time.monotonic(), 0
    # a bar would be torn by lines that go to the same screen
    bar = Output(json=output.json, quiet=output.quiet or sys.stdout.isatty(), data=True)
    writer = _Writer(table, trained, added, json=output.json)
    for text, answer in watched(_answered(trained, texts), None, bar, unit="texts"):
        number += 1
        writer.write(text, answer)
    writer.begin()
    seconds = time.monotonic() - began
    speed = number / max(seconds, 1e-9)
    output.say(f"{number:,} texts in {duration(seconds)}: {speed:,.0f} texts/s")
    output.result({"texts": number, "seconds": seconds})


def _answered(trained: TextPredictor, texts: Iterator[Text]) -> Iterator[tuple[Text, Any]]:
    for group in as_they_come(texts, trained.config.prediction.chunk):
        yield from zip(group, trained.answers(each.text for each in group), strict=True)


class _Writer:
    """Writes rows with their answers, the header before the first."""

    def __init__(
        self, table: TextTable, trained: TextPredictor, columns: Sequence[str], *, json: bool
    ):
        self.table, self.columns, self.json = table, columns, json
        self.several = isinstance(trained, Classifier) and trained.several
        self.begun = False

    def begin(self) -> None:
        """Write the header, unless it is written; a table without a row has one, too."""
        header = None if self.begun or self.json else self.table.header(self.columns)
        self.begun = True
        if header is not None:
            _write_line(header)

    def write(self, text: Text, answer: Any) -> None:
        """Write one row."""
        values = added_values(answer, self.columns, several=self.several)
        if self.json:
            write_json({"line": text.line, "text": text.text, **values})
            return
        self.begin()
        _write_line(self.table.extend(text.raw, values))


def _write_line(line: str) -> None:
    # UTF-8 whatever the terminal says: this is data, as the input is
    sys.stdout.buffer.write(f"{line}\n".encode())
    sys.stdout.buffer.flush()
