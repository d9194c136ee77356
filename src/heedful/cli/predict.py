"""`heedful predict`: answers for a file, whatever the run was trained for."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from heedful.cli.files import check_writable, written_when_complete
from heedful.cli.options import Beam, Json, Quiet, Run
from heedful.cli.output import Output, duration, write_json
from heedful.errors import OptionError

if TYPE_CHECKING:
    from heedful.tasks.base import Task
    from heedful.tasks.predictor import Predictor
    from heedful.tasks.readers.base import InputFile, OutputFormat, Stream


def predict(
    run: Run,
    file: Annotated[
        str,
        typer.Argument(
            help="A file of one text a line, of tokens to label, or a table of texts (.gz too), or - for standard "
            "input.",
            metavar="FILE|-",
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
    column: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            help="Of a table's texts: the name of the column that is added.",
            show_default="predicted",
        ),
    ] = None,
    text: Annotated[
        bool | None,
        typer.Option(
            "--text/--no-text",
            help="The input is plain text, one text a line, or it is not. A tagger splits it into sentences and "
            "tokens; a classifier or regressor wants no header.",
            show_default="told by the first lines of standard input and of .txt files",
        ),
    ] = None,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace the file of --alignments, if it is there.")
    ] = False,
    json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Translate lines, label the tokens of a file, or answer the texts of a table, in order, as they come.

    Output begins before the input ends, and an empty line stays an empty line.

    With --nbest N each line gives up to N lines of three fields parted by tabs: the number of the input line,
    the score (the larger the better) and the text. With --json each line is one JSON object, and the last one
    sums up.

    A tagger reads CoNLL-U, columns or JSON lines and writes the same with its labels, all else untouched. Of plain
    text it writes a token and its label a line, and with --json also where each token starts and ends in its line.
    A classifier or regressor reads a table and adds columns to it; one that has them already is refused. Plain
    lines it writes with the columns after a tab.

    Example:
        heedful predict runs/en-de new.en > new.de
        heedful predict runs/en-de new.en --beam 5 --nbest 3
        heedful predict runs/en-de new.en --beam 5 --alignments new.align > new.de
        echo "A man sleeps." | heedful predict runs/en-de
        echo "Angela Merkel met Tom Hanks in Berlin." | heedful predict runs/entities - --text
    """
    from heedful import api

    predictor = api.load(run).predictor
    reader, config = predictor.task.reader, predictor.config
    search = predictor.task.check_options(
        {
            "beam": beam,
            "length_penalty": length_penalty,
            "nbest": nbest if nbest > 1 else None,
            "alignments": alignments,
            "column": column,
        }
    )
    _check_text(text, predictor.task)
    if column == "":
        raise OptionError("--column is empty; name the column that is added")
    source = _opened(file, config.data.train, reader.reads_lines)
    check_writable(alignments, overwrite=overwrite)
    columns = predictor.answer.columns(column or getattr(config.prediction, "column", "predicted"))
    output = Output(json=json, quiet=quiet, data=True)
    typed = file == "-" and sys.stdin.isatty()
    form = _output_format(predictor, columns, nbest, True if typed and text is None else text)
    stream = reader.stream(source, config.data, form)
    if typed:
        output.say("type a text a line; Ctrl-D ends")
    began = time.monotonic()
    with written_when_complete(alignments) as aligned:
        writer = _Writer(predictor, stream, columns, aligned, json=json)
        writer.write_all(search, output)
    seconds = time.monotonic() - began
    speed = writer.count / max(seconds, 1e-9)
    output.say(
        f"{writer.count:,} {stream.unit} in {duration(seconds)}: {speed:,.0f} {stream.unit}/s"
    )
    values: dict[str, Any] = {stream.unit: writer.count, "seconds": seconds}
    if alignments is not None:
        values["alignments"] = str(alignments)
    output.result(values)


def _check_text(text: bool | None, task: Task) -> None:
    """Raise OptionError where --text or --no-text has no effect."""
    if text is not None and not task.reader.reads_text:
        option = "text" if text else "no-text"
        raise OptionError(
            f"the option {option} has no effect on the task {task.name!r}; leave it out"
        )


def _output_format(
    predictor: Predictor, columns: list[str], nbest: int, text: bool | None
) -> OutputFormat:
    """Return how predictions are written, with what the run knows of its training data."""
    from heedful.tasks.readers.base import OutputFormat

    return OutputFormat(
        columns,
        nbest,
        text=text,
        layout=predictor.layout,
        labels=predictor.labels,
        words=predictor.words,
    )


def _opened(file: str, train: tuple[str, ...], reads_lines: bool) -> InputFile:
    """Open a file, all of which is checked first, or standard input.

    Raises: OptionError for standard input where files are read whole.
    """
    from heedful.cli.lines import STANDARD_INPUT, count_lines, standard_input
    from heedful.data.files import check_file, iterate_lines
    from heedful.tasks.readers.base import InputFile

    if file == STANDARD_INPUT:
        if not reads_lines:
            raise OptionError("name a FILE; series are not read from standard input")
        # standard input has no name: its format is that of the training data
        name = train[0] if train else "standard input"
        return InputFile(Path("standard input"), name, standard_input(), own_name=False)
    check_file(file)
    if not reads_lines:
        return InputFile(Path(file), file, iter(()))
    count_lines(file)
    return InputFile(Path(file), file, iterate_lines(file))


class _Writer:
    """Writes inputs with their predictions to standard output, in order, while inputs are still read."""

    def __init__(
        self, predictor: Predictor, stream: Stream, columns: list[str], aligned: Any, *, json: bool
    ):
        self.predictor, self.stream, self.columns = predictor, stream, columns
        self.aligned, self.json = aligned, json
        self.count = 0
        self.begun = False

    def write_all(self, search: dict[str, Any], output: Output) -> None:
        """Predict and write everything."""
        from heedful.cli.progress import with_progress

        # a bar would be torn by lines that go to the same screen
        quiet = output.quiet or sys.stdout.isatty()
        bar = Output(json=output.json, quiet=quiet, data=True)
        for item, prediction in with_progress(
            self._predicted(search), None, bar, unit=self.stream.unit
        ):
            self._write(item, prediction)
        self._begin()

    def _predicted(self, search: dict[str, Any]) -> Iterator[tuple[Any, Any]]:
        from heedful.cli.lines import available_groups

        # what is wrong with a keyword is an error before any input is read
        self.predictor.answer.check_search(search)
        for group in available_groups(self.stream.items(), self.predictor.config.prediction.chunk):
            inputs = (self.stream.input(item) for item in group)
            yield from zip(group, self.predictor.predict(inputs, **search), strict=True)

    def _begin(self) -> None:
        """Write the header, unless it is written; a table without a row has one, too."""
        if not (self.begun or self.json):
            _write_text(self.stream.header())
        self.begun = True

    def _write(self, item: Any, prediction: Any) -> None:
        answer, is_example = self.predictor.answer, self.stream.is_example(item)
        self.count += is_example
        values = answer.to_json(prediction)
        pharaoh = self._align(item, prediction)
        if not self.json:
            self._begin()
            cells = answer.cells(prediction)
            _write_text(self.stream.format(item, self.count, values, cells))
        elif is_example:
            if self.stream.cells_in_json:
                values = dict(zip(self.columns, answer.cells(prediction), strict=True))
            more = {} if pharaoh is None else {"alignment": pharaoh}
            write_json({**self.stream.to_json(item, self.count), **values, **more})

    def _align(self, source: str, prediction: Any) -> str | None:
        """Align a text and its translation, where that is asked for; one without words has no links."""
        if self.aligned is None:
            return None
        from heedful.tasks.alignment import align_words

        pharaoh = ""
        if source.strip() and prediction.text.strip():
            pharaoh = align_words(self.predictor, source, prediction.text).pharaoh()
        self.aligned.write(f"{pharaoh}\n")
        return pharaoh


def _write_text(text: str) -> None:
    # UTF-8 whatever the terminal says: this is data, as the input is
    sys.stdout.buffer.write(text.encode())
    sys.stdout.buffer.flush()
