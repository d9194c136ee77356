"""`heedful evaluate`: metrics of a run on test data."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, Any

import typer

from heedful.cli.decoding import DECODING, PER_LINE, TOP_K, search_options
from heedful.cli.options import (
    Beam,
    Columns,
    EdgeFiles,
    Encoding,
    Json,
    MaxLine,
    NodeFiles,
    Quiet,
    Run,
    Threshold,
    with_options,
)
from heedful.cli.output import Output, duration
from heedful.errors import OptionError

if TYPE_CHECKING:
    from heedful.data.dataset import Dataset
    from heedful.tasks.predictor import Predictor


def _evaluate(
    run: Run,
    test: Annotated[
        list[str] | None,
        typer.Option(
            metavar="SRC TGT",
            help="Test data in a format of `heedful train --train`: two line-aligned files or a table with --columns "
            "for a translator, else a file; or builtin:NAME.",
            show_default="the test part of the built-in corpus that the run was trained on",
        ),
    ] = None,
    columns: Columns = None,
    edges: EdgeFiles = None,
    nodes: NodeFiles = None,
    labels: Annotated[
        list[str] | None,
        typer.Option(
            metavar="FILE",
            help="Tables of the answers of nodes, for --test that does not have them; repeatable.",
            show_default=False,
        ),
    ] = None,
    encoding: Encoding = None,
    max_line: MaxLine = None,
    column: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            help="Label column, for a tagger.",
            show_default="that of the training files",
        ),
    ] = None,
    tokens: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            help="Token column, for a tagger.",
            show_default="that of the training files",
        ),
    ] = None,
    skip_bad: Annotated[
        bool,
        typer.Option(
            "--skip-bad", help="Leave out rows without a text or an answer, and count them."
        ),
    ] = False,
    beam: Beam = None,
    threshold: Threshold = None,
    by_length: Annotated[
        bool,
        typer.Option("--by-length", help="Also report BLEU for short, medium and long sources."),
    ] = False,
    json: Json = False,
    quiet: Quiet = False,
    **decoding: Any,
) -> None:
    """Evaluate a run on test data.

    Translation: sacreBLEU and chrF with their signatures, exact match, and the BLEU of lower-cased tokenized text,
    which many papers report for Multi30k. Classification: accuracy, F1, the most frequent confusions, and the
    expected calibration error of the probabilities. Tagging: also accuracy on unknown words and F1 of spans.
    Regression: RMSE, MAE and R².

    Example:
        heedful evaluate runs/en-de --test test.en test.de --beam 5
        heedful evaluate runs/en-de --test test.en test.de --by-length --json
        heedful evaluate runs/en-de --test test.en test.de --length-form power --length-penalty 0.6
    """
    from heedful import api
    from heedful.cli.progress import with_progress
    from heedful.cli.skipped import say_skipped

    output = Output(json=json, quiet=quiet)
    predictor = api.load(run).predictor
    task = predictor.task
    reading: dict[str, Any] = {
        "columns": columns, "tokens": tokens, "encoding": encoding, "max_line": max_line, "edges": edges,
        "nodes": nodes, "labels": labels, "skip_bad": skip_bad,
    }  # fmt: skip
    own = {"beam": beam, "by_length": by_length, "threshold": threshold}
    search = task.check_options({**reading, **own, **search_options(decoding)})
    data = _read_test(predictor, test, {**reading, "column": column})
    say_skipped(data, output)
    start = time.monotonic()
    stream = predictor.predict_data(data, **search)
    predictions = list(with_progress(stream, len(data), output, unit=task.examples))
    metrics = predictor.score(data, predictions)
    seconds = time.monotonic() - start
    counts = _counts(task.examples, data, metrics)
    output.say(f"{data.name}: {', '.join(f'{n:,} {unit}' for unit, n in counts.items())}")
    output.tables(predictor.answer.tables(metrics))
    warnings = _warnings(predictor, predictions, data)
    for warning in warnings:
        output.say(f"note: {warning}")
    groups = _by_length(predictor.answer, data, predictions, output) if by_length else {}
    unit, count = list(counts.items())[-1]
    speed = count / max(seconds, 1e-9)
    output.say(f"{speed:,.0f} {unit}/s; {duration(seconds)}")
    skipped = {"skipped": list(data.skipped)} if data.skipped else {}
    values = {
        "seconds": seconds, f"{unit}_per_second": speed, **asdict(metrics), **groups, **skipped
    }  # fmt: skip
    values |= _searched(predictor, search)
    output.result({"run": str(run), **counts, **values, "warnings": warnings})


evaluate = with_options(_evaluate, [*DECODING, TOP_K, *PER_LINE], after="beam")


def _searched(predictor: Predictor, search: dict[str, Any]) -> dict[str, Any]:
    """Return what the predictions were made with, as JSON values: the beam, and what else was given."""
    beam = {}
    if "beam" in predictor.answer.search_options:
        beam = {"beam": predictor.config.prediction.beam}
    given = {name: value for name, value in search.items() if not isinstance(value, list)}
    return {**beam, **given}


def _warnings(predictor: Predictor, predictions: Sequence[Any], data: Dataset) -> list[str]:
    """Return what is to be said of the inputs and of the predictions."""
    notices: list[str] = predictor.input.data_notices(data.inputs)
    return [*notices, *predictor.answer.warnings(predictions, data)]


def _read_test(predictor: Predictor, test: list[str] | None, reading: dict[str, Any]) -> Dataset:
    """Read and check the test data.

    Raises: OptionError where --column, which `heedful predict` uses for another setting, has no effect; DataError for
        data that the run cannot be evaluated on.
    """
    from heedful.tasks.options import read_otherwise

    task, section = predictor.task, predictor.config.data
    if reading["column"] is not None and "column" not in type(section).model_fields:
        raise OptionError(
            f"the option column has no effect on the task {task.name!r}; leave it out"
        )
    data: Dataset = task.reader.read_test(test, read_otherwise(section, **reading))
    predictor.check_test(data, same_layout=not (reading["column"] or reading["tokens"]))
    return data


def _counts(examples: str, data: Any, metrics: Any) -> dict[str, int]:
    """Count the examples and, if each token has a prediction, the tokens."""
    tokens = getattr(metrics, "tokens", None)
    return {examples: len(data), **({} if tokens is None else {"tokens": tokens})}


def _by_length(answer: Any, data: Dataset, predictions: Any, output: Output) -> dict[str, Any]:
    """Print the BLEU of short, medium and long sources, and return it as JSON values."""
    groups = answer.score_by_length(predictions, data)
    rows = [[f"{g.shortest}-{g.longest}", f"{g.pairs:,}", f"{g.bleu:.2f}"] for g in groups]
    output.table([["source words", "pairs", "BLEU"], *rows])
    return {"by_length": [asdict(group) for group in groups]}
