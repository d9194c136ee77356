"""`heedful evaluate`: figures of merit on data that a run has never seen."""

from __future__ import annotations

import time
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, Any

import typer

from heedful.cli.options import Beam, Columns, Json, Quiet, Run
from heedful.cli.output import Output, duration
from heedful.errors import OptionError

if TYPE_CHECKING:
    from heedful.data.dataset import Dataset


def evaluate(
    run: Run,
    test: Annotated[
        list[str] | None,
        typer.Option(
            metavar="SRC TGT",
            help="For a translator two line-aligned files, a table with --columns, or builtin:dates; for a "
            "tagger a file of labelled tokens.",
            show_default="the test part of the built-in corpus, for a run trained on one",
        ),
    ] = None,
    columns: Columns = None,
    column: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            help="For a tagger: the column of the true labels.",
            show_default="that of the training files",
        ),
    ] = None,
    tokens: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            help="For a tagger: the column of the tokens.",
            show_default="that of the training files",
        ),
    ] = None,
    beam: Beam = None,
    by_length: Annotated[
        bool,
        typer.Option("--by-length", help="BLEU also for short, middling and long sources apart."),
    ] = False,
    json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Measure a run on data it has never seen.

    Of generated text: sacreBLEU and chrF with their signatures, so that others can compare, the share of exact
    matches, and the BLEU of lower-cased tokenized text, in which many papers report Multi30k. Of labels: accuracy,
    F1, and the labels most often confused; of tokens also accuracy on unknown words, and F1 of spans. Of numbers:
    RMSE, MAE and R².

    Example:
        heedful evaluate runs/en-de --test test.en test.de --beam 5
        heedful evaluate runs/en-de --test test.en test.de --by-length --json
    """
    from heedful import api
    from heedful.cli.progress import with_progress
    from heedful.tasks.options import split_columns

    output = Output(json=json, quiet=quiet)
    predictor = api.load(run).predictor
    task, config = predictor.task, predictor.config
    search = task.check_options(
        {"columns": columns, "tokens": tokens, "beam": beam, "by_length": by_length}
    )
    if column is not None and "column" not in type(config.data).model_fields:
        raise OptionError(
            f"the option column has no effect on the task {task.name!r}; leave it out"
        )
    given = {"columns": split_columns(columns), "column": column, "tokens": tokens}
    changed = {name: value for name, value in given.items() if value}
    data = task.reader.read_test(test, config.data.model_copy(update=changed))
    predictor.check_test(data, same_layout=not changed)
    began = time.monotonic()
    predicted = predictor.predict(data.inputs, **search)
    found = list(with_progress(predicted, len(data), output, unit=task.examples))
    metrics = predictor.score(data, found)
    seconds = time.monotonic() - began
    counts = _counts(task.examples, data, metrics)
    output.say(f"{data.name}: {', '.join(f'{n:,} {what}' for what, n in counts.items())}")
    for table in predictor.answer.tables(metrics):
        output.table(table)
    more = _by_length(data, found, output) if by_length else {}
    what, count = list(counts.items())[-1]
    speed = count / max(seconds, 1e-9)
    output.say(f"{speed:,.0f} {what}/s; {duration(seconds)}")
    rest = {"seconds": seconds, f"{what}_per_second": speed, **asdict(metrics), **more}
    if "beam" in task.answer.search_options:
        rest["beam"] = config.prediction.beam if beam is None else beam
    output.result({"run": str(run), **counts, **rest})


def _counts(examples: str, data: Any, metrics: Any) -> dict[str, int]:
    """Count the examples and, where each has an answer a token, the tokens."""
    tokens = getattr(metrics, "tokens", None)
    return {examples: len(data), **({} if tokens is None else {"tokens": tokens})}


def _by_length(data: Dataset, found: Any, output: Output) -> dict[str, Any]:
    """Show BLEU of short, middling and long sources apart."""
    from heedful.answers.text_metrics import score_by_length

    groups = score_by_length(data.inputs, [each.text for each in found], data.answers)
    rows = [[f"{g.shortest}-{g.longest}", f"{g.pairs:,}", f"{g.bleu:.2f}"] for g in groups]
    output.table([["source words", "pairs", "BLEU"], *rows])
    return {"by_length": [asdict(group) for group in groups]}
