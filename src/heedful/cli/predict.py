"""`heedful predict`: predictions for a file or standard input."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from heedful.cli.decoding import DECODING, PER_LINE, search_options
from heedful.cli.options import (
    Beam,
    EdgeFiles,
    Encoding,
    Json,
    MaxLine,
    NodeFiles,
    On,
    Quiet,
    Run,
    Threshold,
    with_options,
)
from heedful.cli.output import Output, duration
from heedful.cli.output_files import check_writable
from heedful.cli.prediction_writer import Place, PredictionWriter
from heedful.errors import OptionError

if TYPE_CHECKING:
    from heedful.answers.class_output import ClassOutput
    from heedful.tasks.base import Task
    from heedful.tasks.predictor import Predictor
    from heedful.tasks.readers.base import InputFile, OutputFormat, Stream


def _predict(
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
    nbest: Annotated[
        int,
        typer.Option(
            min=1, metavar="N", help="Outputs per line; above 1, lines have three fields."
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
    ctc_weight: Annotated[
        float | None,
        typer.Option(
            min=0.0,
            max=1.0,
            metavar="SHARE",
            help="Transcripts: weight of CTC beside the decoder.",
            show_default="the run's setting",
        ),
    ] = None,
    timestamps: Annotated[
        str | None,
        typer.Option(
            metavar="FORMAT",
            help="Transcripts: write words with their times instead, as textgrid, ctm or srt; with --json as json.",
            show_default=False,
        ),
    ] = None,
    timestamps_folder: Annotated[
        Path | None,
        typer.Option(
            metavar="FOLDER",
            help="Write words with their times to a file for each recording in this folder, beside the output.",
            show_default=False,
        ),
    ] = None,
    stream: Annotated[
        bool,
        typer.Option(
            "--stream",
            help="Transcripts: read raw 16-bit samples from standard input and write what is certain as they come.",
        ),
    ] = False,
    drawn: Annotated[
        Path | None,
        typer.Option(
            metavar="FOLDER",
            help="Objects in images: also write each image with its boxes to this folder.",
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
    interval: Annotated[
        float | None,
        typer.Option(
            metavar="P",
            help="Numbers: also write the interval that holds the true number with this probability, such as 0.9.",
            show_default=False,
        ),
    ] = None,
    threshold: Threshold = None,
    top_k: Annotated[
        int | None,
        typer.Option(
            min=1,
            metavar="N",
            help="Also write the N most probable labels with their probabilities. Of --sample: draw among the N most "
            "probable tokens.",
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
    edges: EdgeFiles = None,
    nodes: NodeFiles = None,
    encoding: Encoding = None,
    max_line: MaxLine = None,
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
        typer.Option(
            "--skip-bad",
            help="Leave out images, recordings and SMILES that cannot be read, and count them.",
        ),
    ] = False,
    on: On = None,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace the --alignments file if it exists.")
    ] = False,
    json: Json = False,
    quiet: Quiet = False,
    **decoding: Any,
) -> None:
    """Predict a file or standard input.

    A file is validated as a whole, then predictions are streamed to standard output in input order. Standard input
    and pipes are predicted as they arrive, and an error says how much of them was. A translator writes one line per
    input line; an empty line stays empty. A tagger reads CoNLL-U, CoNLL or JSON lines and writes the same format with
    predicted labels, all else unchanged. A classifier or regressor reads a table and appends columns, which must not
    exist yet. A classifier with --threshold P leaves the label of a text empty if its probability is below P.

    A task on images takes a folder, a table or an image, and writes a line for each image; a detector of objects a
    list of results in COCO's format, and with --drawn FOLDER the images with their boxes.

    Of plain text, a tagger writes one token and its label per line, with --json also the offsets of each token; a
    classifier or regressor writes each line with its columns after a tab.

    A recognizer of speech writes the transcript of each recording of a table, folder or file; with --timestamps the
    words with their times.

    With --on, a large file is predicted by the processes of a Ray cluster, in the same order.

    With --nbest N, each input line gives up to N lines of three tab-separated fields: input line number, score
    (larger is better) and text. With --json, each input gives one JSON object, and the last line is a summary.

    Example:
        heedful predict runs/en-de new.en > new.de
        heedful predict runs/en-de new.en --beam 5 --nbest 3
        heedful predict runs/en-de new.en --beam 5 --alignments new.align > new.de
        heedful predict runs/en-de new.en --sample --temperature 0.8 --nbest 3 --seed 1
        heedful predict runs/en-de new.en --require "ein Mann" --ban Frau
        heedful predict runs/speech talk.wav --timestamps srt > talk.srt
        heedful predict runs/stars new.csv --interval 0.9 > stars.csv
        heedful predict runs/topics new.csv --probabilities --threshold 0.8 > topics.csv
        echo "A man sleeps." | heedful predict runs/en-de
        echo "Angela Merkel met Tom Hanks in Berlin." | heedful predict runs/entities - --text
    """
    from heedful import api
    from heedful.cli.stream import predict_stream
    from heedful.cli.timestamps import timestamps_writer

    predictor = api.load(run).predictor
    output = Output(json=json, quiet=quiet, data=True)
    options: dict[str, Any] = {
        "beam": beam, **search_options(decoding), "nbest": nbest if nbest > 1 else None,
        "alignments": alignments, "ctc_weight": ctc_weight, "timestamps": timestamps and "auto", "drawn": drawn,
        "column": column, "edges": edges, "nodes": nodes, "encoding": encoding, "max_line": max_line,
        "probabilities": probabilities, "interval": interval, "threshold": threshold, "top_k": top_k,
    }  # fmt: skip
    search = predictor.task.check_options(options)
    if stream and on is not None:
        raise OptionError(
            "--on has no effect with --stream, which answers sound as it comes; leave it out"
        )
    if stream:
        predict_stream(predictor, file, search, output)
        return
    times = timestamps_writer(timestamps, timestamps_folder, json=json)
    classes = _class_output(predictor, probabilities, top_k, interval, json=json)
    _check_text_and_column(text, column, predictor.task)
    check_writable(alignments, overwrite=overwrite)
    columns, added = _columns(predictor, column, classes, json=json)
    is_typed = file == "-" and sys.stdin.isatty()
    output_format = _output_format(predictor, [*columns, *added], nbest, text, is_typed)
    data = _data_section(
        predictor, skip_bad, edges=edges, nodes=nodes, encoding=encoding, max_line=max_line
    )
    inputs = _open_stream(file, predictor.task, data, output_format)
    if is_typed:
        output.say("type one text per line; end with Ctrl-D")
    with _place(on, predictor, run) as place:
        writer = PredictionWriter(
            predictor, inputs, columns, classes, times, drawn, place=place, json=json
        )
        seconds = writer.write_all(search, output, alignments)
    _summarize(output, inputs, writer.count, seconds, alignments)


@contextlib.contextmanager
def _place(on: str | None, predictor: Predictor, run: Path) -> Iterator[Place]:
    """Provide what predicts shards: this process, or a cluster at the address `on`."""
    if on is None:
        yield lambda shards: (predictor.predict(inputs, **own) for inputs, own in shards)
        return
    from heedful.cluster.ray_cluster import connected
    from heedful.cluster.shards import SharedModel

    with connected(on) as cluster:
        yield SharedModel(cluster, run).predict


predict = with_options(_predict, [*DECODING, *PER_LINE], after="nbest")


def _data_section(predictor: Predictor, skip_bad: bool, **reading: Any) -> Any:
    """Return the section of the configuration with the options given; what the training left out does not count.

    Raises: OptionError for --skip-bad if the task leaves no inputs out.
    """
    from heedful.tasks.options import read_otherwise

    task, data = predictor.task, read_otherwise(predictor.config.data, **reading)
    if task.reader.skips_inputs:
        return data.model_copy(update={"skip_bad": skip_bad})
    if skip_bad:
        raise OptionError(
            f"the option skip-bad has no effect on predictions of the task {task.name!r}; leave it out"
        )
    return data


def _class_output(
    predictor: Predictor,
    probabilities: bool,
    top_k: int | None,
    interval: float | None,
    *,
    json: bool,
) -> ClassOutput:
    """Return which classes, or which interval, are written.

    Raises: OptionError if they cannot be.
    """
    from heedful.answers.class_output import ClassOutput

    classes = ClassOutput(probabilities=probabilities, top_k=top_k or 0, interval=interval)
    predictor.answer.check_classes(classes, json=json)
    return classes


def _columns(
    predictor: Predictor, column: str | None, classes: ClassOutput, *, json: bool
) -> tuple[list[str], list[str]]:
    """Return the names of the columns of the predictions, and of those of the classes."""
    name = column or getattr(predictor.config.prediction, "column", "predicted")
    return predictor.answer.columns(name), (
        [] if json else predictor.answer.class_columns(name, classes)
    )


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
    from heedful.stored_files import is_regular

    reader = task.reader
    stream = reader.stream(_open_input(file, data, task), data, output)
    if reader.reads_lines and file != STANDARD_INPUT and is_regular(file):
        check_all(stream.items(), file, data)
        stream = reader.stream(_open_input(file, data, task), data, output)
    return stream


def _open_input(file: str, data: Any, task: Task) -> InputFile:
    """Open a file, a folder or standard input; `data` is the section of the configuration.

    Raises: OptionError for standard input if the reader needs a whole file.
    """
    from heedful.cli.input_lines import STANDARD_INPUT, standard_input
    from heedful.data.files import iterate_lines
    from heedful.data.opening import check_file
    from heedful.data.tables import extension
    from heedful.stored_files import is_regular
    from heedful.tasks.readers.base import InputFile

    reader = task.reader
    # standard input has no extension: its format is that of the training data
    learned = data.train[0] if data.train else "standard input"
    if file == STANDARD_INPUT:
        if not reader.reads_lines:
            raise OptionError(f"name a FILE; {task.examples} are not read from standard input")
        lines = standard_input(data)
        return InputFile(Path("standard input"), learned, lines, own_name=False)
    if not (reader.reads_folders and Path(file).is_dir()):
        check_file(file, may_be_pipe=reader.reads_lines)
    if not reader.reads_lines:
        return InputFile(Path(file), file, iter(()))
    lines = iterate_lines(file, data.encoding, max_line=data.max_line, may_be_pipe=True)
    own_name = is_regular(file) or bool(extension(Path(file)))
    return InputFile(Path(file), file if own_name else learned, lines, own_name)
