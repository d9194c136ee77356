"""`heedful score`: how probable a model finds given texts."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Annotated, Any

import typer

from heedful.cli.options import Columns, Encoding, Json, MaxLine, Quiet, Run
from heedful.cli.output import Output, duration, write_json

if TYPE_CHECKING:
    from heedful.tasks.scoring import TextScore


def score(
    run: Run,
    files: Annotated[
        list[str],
        typer.Argument(
            help="Sources and their translations: two line-aligned files, or a table with --columns.",
            metavar="SRC TGT",
            show_default=False,
        ),
    ],
    columns: Columns = None,
    encoding: Encoding = None,
    max_line: MaxLine = None,
    tokens: Annotated[
        bool,
        typer.Option("--tokens", help="Also write the log-probability of each token."),
    ] = False,
    json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Score given translations: how probable the model finds them.

    Each pair gives a line: the log-probability of the translation (natural logarithm, summed over its tokens and the
    end), its tokens with the end, and the perplexity, e to the negative mean. With --tokens further fields hold each
    token, a space and its log-probability. The perplexity of all is shown last.

    Example:
        heedful score runs/en-de test.en test.de
        heedful score runs/en-de valid.tsv --columns en,de --tokens --json
    """
    from heedful import api
    from heedful.tasks.options import read_otherwise
    from heedful.tasks.runs import check_translates
    from heedful.tasks.scoring import perplexity, score_texts

    predictor = api.load(run).predictor
    task, output = predictor.task, Output(json=json, quiet=quiet, data=True)
    check_translates(task, run)
    reading: dict[str, Any] = {"columns": columns, "encoding": encoding, "max_line": max_line}
    task.check_options(reading)
    data = task.reader.read_test(files, read_otherwise(predictor.config.data, **reading))
    start = time.monotonic()
    found = []
    pairs = zip(data.inputs, data.answers, strict=True)
    for number, each in enumerate(score_texts(predictor, pairs), start=1):
        found.append(each)
        if json:
            write_json(_values(number, each, tokens))
        else:
            typer.echo(_line(each, tokens))
    seconds = time.monotonic() - start
    total = sum(len(each.tokens) for each in found)
    output.say(
        f"{len(found):,} {task.examples}, {total:,} tokens: perplexity {perplexity(found):.4f}; {duration(seconds)}"
    )
    output.result(
        {
            task.examples: len(found),
            "tokens": total,
            "perplexity": perplexity(found),
            "seconds": seconds,
        }
    )


def _values(number: int, score: TextScore, tokens: bool) -> dict[str, Any]:
    """Return the score of a pair as JSON values."""
    values: dict[str, Any] = {"line": number, "log_probability": score.log_probability}
    values |= {"tokens": len(score.tokens), "perplexity": score.perplexity}
    if tokens:
        pairs = zip(score.tokens, score.log_probabilities, strict=True)
        values["token_log_probabilities"] = list(pairs)
    return values


def _line(score: TextScore, tokens: bool) -> str:
    """Return the score of a pair as fields between tabs."""
    parts = [f"{score.log_probability:.4f}", str(len(score.tokens)), f"{score.perplexity:.4f}"]
    if tokens:
        pairs = zip(score.tokens, score.log_probabilities, strict=True)
        parts += [f"{token} {value:.4f}" for token, value in pairs]
    return "\t".join(parts)
