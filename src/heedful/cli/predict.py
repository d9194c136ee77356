"""`heedful predict`: predictions for a file or standard input."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from heedful.cli.options import Beam, Encoding, Json, Quiet, Run, Threshold
from heedful.cli.output import Output, duration, write_json
from heedful.cli.output_files import atomic_writer, check_writable
from heedful.errors import DataError, OptionError

if TYPE_CHECKING:
    from heedful.answers.class_output import ClassOutput
    from heedful.tasks.base import Task
    from heedful.tasks.predictor import Predictor
    from heedful.tasks.readers.base import InputFile, OutputFormat, Stream


def predict(
    run: Run,
    file: Annotated[
        str,
        typer.Argument(
            help="Texts, one per line; a file of tokens to tag; a table; or a folder of images. May be gzipped. - is "
            "standard input.",
            metavar="FILE|-",
        ),
    ] = "-",
    beam: Beam = None,
    length_penalty: Annotated[
        float | None,
        typer.Option(
            min=0.0,
            metavar="POWER",
            help="Divide the score of a hypothesis by its length to this power.",
            show_default="the run's setting",
        ),
    ] = None,
    nbest: Annotated[
        int,
        typer.Option(
            min=1, metavar="N", help="Translations per line; above 1, lines have three fields."
        ),
    ] = 1,
    alignments: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="Also write word alignments, one line per input line, in Pharaoh format: `i-j` says that target word "
            "j attends most to source word i, counted from 0.",
            show_default=False,
        ),
    ] = None,
    probabilities: Annotated[
        bool,
        typer.Option(
            "--probabilities",
            help="Also write the probability of every label: a column per label of a table, an object in JSON.",
        ),
    ] = False,
    threshold: Threshold = None,
    top_k: Annotated[
        int | None,
        typer.Option(
            min=1,
            metavar="N",
            help="Also write the N most probable labels with their probabilities.",
            show_default=False,
        ),
    ] = None,
    column: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            help="Name of the column added to a table.",
            show_default="predicted",
        ),
    ] = None,
    encoding: Encoding = None,
    text: Annotated[
        bool | None,
        typer.Option(
            "--text/--no-text",
            help="Whether the input is plain text, one text per line. A tagger splits it into sentences and tokens; "
            "a classifier or regressor needs no header.",
            show_default="detected by the first lines of standard input and .txt files",
        ),
    ] = None,
    skip_bad: Annotated[
        bool,
        typer.Option("--skip-bad", help="Leave out images that cannot be decoded, and count them."),
    ] = False,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace the --alignments file if it exists.")
    ] = False,
    json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Predict a file or standard input.

    A file is validated as a whole, then predictions are streamed to standard output in input order. Standard input is
    predicted as it arrives, and an error says how much of it was. A translator writes one line per input line; an
    empty line stays empty. A tagger reads CoNLL-U, CoNLL or JSON lines and writes the same format with predicted
    labels, all else unchanged. A classifier or regressor reads a table and appends columns, which must not exist yet.
    A classifier with --threshold P leaves the label of a text empty if its probability is below P.

    A task on images takes a folder, a table or an image, and writes a line for each image.

    Of plain text, a tagger writes one token and its label per line, with --json also the offsets of each token; a
    classifier or regressor writes each line with its columns after a tab.

    With --nbest N, each input line gives up to N lines of three tab-separated fields: input line number, score
    (larger is better) and text. With --json, each input gives one JSON object, and the last line is a summary.

    Example:
        heedful predict runs/en-de new.en > new.de
        heedful predict runs/en-de new.en --beam 5 --nbest 3
        heedful predict runs/en-de new.en --beam 5 --alignments new.align > new.de
        heedful predict runs/topics new.csv --probabilities --threshold 0.8 > topics.csv
        echo "A man sleeps." | heedful predict runs/en-de
        echo "Angela Merkel met Tom Hanks in Berlin." | heedful predict runs/entities - --text
    """
    from heedful import api
    from heedful.answers.class_output import ClassOutput
    from heedful.tasks.options import read_otherwise

    predictor = api.load(run).predictor
    config = predictor.config
    search = predictor.task.check_options(
        {
            "beam": beam,
            "length_penalty": length_penalty,
            "nbest": nbest if nbest > 1 else None,
            "alignments": alignments,
            "column": column,
            "encoding": encoding,
            "probabilities": probabilities,
            "threshold": threshold,
            "top_k": top_k,
        }
    )
    classes = ClassOutput(probabilities=probabilities, top_k=top_k or 0)
    predictor.answer.check_classes(classes, json=json)
    _check_text_and_column(text, column, predictor.task)
    check_writable(alignments, overwrite=overwrite)
    name = column or getattr(config.prediction, "column", "predicted")
    columns = predictor.answer.columns(name)
    added = [] if json else predictor.answer.class_columns(name, classes)
    is_typed = file == "-" and sys.stdin.isatty()
    output_format = _output_format(predictor, [*columns, *added], nbest, text, is_typed)
    data = _data_section(predictor.task, read_otherwise(config.data, encoding=encoding), skip_bad)
    stream = _open_stream(file, predictor.task, data, output_format)
    output = Output(json=json, quiet=quiet, data=True)
    if is_typed:
        output.say("type one text per line; end with Ctrl-D")
    start = time.monotonic()
    with atomic_writer(alignments) as alignment_file:
        writer = _PredictionWriter(predictor, stream, columns, classes, alignment_file, json=json)
        writer.write_all(search, output)
    seconds = time.monotonic() - start
    _summarize(output, stream, writer.count, seconds, alignments)


def _data_section(task: Task, data: Any, skip_bad: bool) -> Any:
    """Return the section of the configuration; what the training left out does not count.

    Raises: OptionError for --skip-bad if the task leaves no inputs out.
    """
    if task.reader.skips_inputs:
        return data.model_copy(update={"skip_bad": skip_bad})
    if skip_bad:
        raise OptionError(
            f"the option skip-bad has no effect on predictions of the task {task.name!r}; leave it out"
        )
    return data


def _summarize(
    output: Output, stream: Stream, count: int, seconds: float, alignments: Path | None
) -> None:
    unit, speed = stream.unit, count / max(seconds, 1e-9)
    output.say(f"{count:,} {unit} in {duration(seconds)}: {speed:,.0f} {unit}/s")
    values: dict[str, Any] = {unit: count, "seconds": seconds}
    if stream.skipped:
        output.say(f"{len(stream.skipped):,} left out; the first: {stream.skipped[0]}")
        values["skipped"] = list(stream.skipped)
    if alignments is not None:
        values["alignments"] = str(alignments)
    output.result(values)


def _check_text_and_column(text: bool | None, column: str | None, task: Task) -> None:
    """Raise OptionError where --text or --no-text has no effect, and for an empty --column."""
    if column == "":
        raise OptionError("--column is empty; name the column to add")
    if text is not None and not task.reader.reads_text:
        option = "text" if text else "no-text"
        raise OptionError(
            f"the option {option} has no effect on the task {task.name!r}; leave it out"
        )


def _output_format(
    predictor: Predictor, columns: list[str], nbest: int, text: bool | None, is_typed: bool
) -> OutputFormat:
    """Return the options of the output, with what the run knows of its training data."""
    from heedful.tasks.readers.base import OutputFormat

    return OutputFormat(
        columns,
        nbest,
        # what is typed is answered line by line, so it cannot be told by its first lines
        text=True if is_typed and text is None else text,
        layout=predictor.layout,
        labels=predictor.labels,
        words=predictor.words,
    )


def _open_stream(file: str, task: Task, data: Any, output: OutputFormat) -> Stream:
    """Open the inputs; a file that can be read twice is validated as a whole.

    Raises: DataError naming file and line, also for an empty file.
    """
    from heedful.cli.input_lines import STANDARD_INPUT, check_all

    reader = task.reader
    stream = reader.stream(_open_input(file, data, task), data, output)
    if reader.reads_lines and file != STANDARD_INPUT and Path(file).is_file():
        check_all(stream.items(), file, data.encoding)
        stream = reader.stream(_open_input(file, data, task), data, output)
    return stream


def _open_input(file: str, data: Any, task: Task) -> InputFile:
    """Open a file, a folder or standard input; `data` is the section of the configuration.

    Raises: OptionError for standard input if the reader needs a whole file.
    """
    from heedful.cli.input_lines import STANDARD_INPUT, standard_input
    from heedful.data.files import check_file, iterate_lines
    from heedful.tasks.readers.base import InputFile

    reader = task.reader
    if file == STANDARD_INPUT:
        if not reader.reads_lines:
            raise OptionError(f"name a FILE; {task.examples} are not read from standard input")
        # standard input has no extension: its format is that of the training data
        name = data.train[0] if data.train else "standard input"
        lines = standard_input(data.encoding)
        return InputFile(Path("standard input"), name, lines, own_name=False)
    if not (reader.reads_folders and Path(file).is_dir()):
        check_file(file)
    if not reader.reads_lines:
        return InputFile(Path(file), file, iter(()))
    return InputFile(Path(file), file, iterate_lines(file, data.encoding))


class _PredictionWriter:
    """Streams inputs with their predictions to standard output, in input order."""

    def __init__(
        self,
        predictor: Predictor,
        stream: Stream,
        columns: list[str],
        classes: ClassOutput,
        links: Any,
        *,
        json: bool,
    ):
        self.predictor, self.stream, self.columns = predictor, stream, columns
        self.classes, self.links, self.json = classes, links, json
        self.count = 0
        self.header_written = False

    def write_all(self, search: dict[str, Any], output: Output) -> None:
        """Predict and write everything."""
        from heedful.cli.progress import with_progress

        # output lines would break a progress bar on the same terminal
        quiet = output.quiet or sys.stdout.isatty()
        progress = Output(json=output.json, quiet=quiet, data=True)
        try:
            for item, prediction in with_progress(
                self._predict(search), None, progress, unit=self.stream.unit
            ):
                self._write(item, prediction)
        except DataError as error:
            if not self.count:
                raise
            written = f"The {self.count:,} {self.stream.unit} before it are answered and written."
            raise DataError(f"{error} {written}") from None
        self._write_header_once()

    def _predict(self, search: dict[str, Any]) -> Iterator[tuple[Any, Any]]:
        from heedful.cli.input_lines import available_chunks

        # reports invalid options before any input is read
        self.predictor.answer.check_search(search)
        for chunk in available_chunks(self.stream.items(), self.predictor.config.prediction.chunk):
            inputs = (self.stream.input(item) for item in chunk)
            yield from zip(chunk, self.predictor.predict(inputs, **search), strict=True)

    def _write_header_once(self) -> None:
        """Write the header before the first row; a table without rows has one, too."""
        if not (self.header_written or self.json):
            _write_text(self.stream.header())
        self.header_written = True

    def _write(self, item: Any, prediction: Any) -> None:
        answer, is_example = self.predictor.answer, self.stream.is_example(item)
        self.count += is_example
        values = answer.to_json(prediction)
        pharaoh = self._align(item, prediction)
        if not self.json:
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
