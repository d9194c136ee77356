"""`heedful evaluate` for texts."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from heedful.cli.output import Output, duration
from heedful.cli.progress import watched
from heedful.cli.tasks.base import EvaluateOptions, refuse_others
from heedful.cli.tasks.text_predictors import predictor_of
from heedful.cli.texts import read
from heedful.errors import OptionError
from heedful.tasks.answer_metrics import LabelFigures, LabelScores, NumberScores

SHOWN_LABELS = 12
"""Labels up to which the whole matrix of confusions is shown; of more, the most frequent confusions."""
CONFUSIONS = 10


def evaluate_classifier(run: Path, options: EvaluateOptions, output: Output) -> None:
    """Classify texts and compare with their labels."""
    scores: LabelScores = _evaluate(run, options, output)
    several = scores.confusion is None
    output.table(
        [
            ["subset accuracy" if several else "accuracy", f"{scores.accuracy:.4f}"],
            ["macro F1", f"{scores.macro_f1:.4f}"],
            ["micro F1", f"{scores.micro_f1:.4f}"],
        ]
    )
    rows = [
        [
            each.label,
            f"{each.wanted:,}",
            *(f"{x:.3f}" for x in (each.precision, each.recall, each.f1)),
        ]
        for each in scores.labels
    ]
    head = ["label", "texts", "precision", "recall", "F1"]
    output.table([[""] * 5, head, *rows])
    if scores.confusion is not None:
        output.table(_confusion(scores.labels, scores.confusion))


def evaluate_regressor(run: Path, options: EvaluateOptions, output: Output) -> None:
    """Give texts their numbers and compare with the true ones."""
    scores: NumberScores = _evaluate(run, options, output)
    rows = [
        ["RMSE", f"{scores.rmse:.4g}"],
        ["MAE", f"{scores.mae:.4g}"],
        ["R²", f"{scores.r2:.4f}"],
    ]
    output.table(rows)


def _evaluate(run: Path, options: EvaluateOptions, output: Output) -> Any:
    predictor = predictor_of(run)
    refuse_others(options, predictor.task, ["test"])
    config = predictor.load_config(run)
    if not options.test:
        raise OptionError("--test is missing: name a file that was not in the training")
    data = read(options.test, config.data)
    trained = predictor.load(run)
    began = time.monotonic()
    texts = (each.text for each in data.texts)
    got = list(watched(trained.answers(texts), len(data), output, unit="texts"))
    seconds = time.monotonic() - began
    scores = trained.score(data, got)
    speed = len(data) / max(seconds, 1e-9)
    output.say(f"{data.name}: {len(data):,} texts in {duration(seconds)}, {speed:,.0f} texts/s")
    output.result(
        {"run": str(run), "seconds": seconds, "texts_per_second": speed, **asdict(scores)}
    )
    return scores


def _confusion(
    labels: Sequence[LabelFigures], confusion: Sequence[Sequence[int]]
) -> list[list[str]]:
    """Show the matrix, or where it is large its most frequent entries off the diagonal."""
    names = [each.label for each in labels]
    if len(names) <= SHOWN_LABELS:
        empty = [""] * (len(names) + 1)
        rows = [
            [name, *(f"{count:,}" for count in row)]
            for name, row in zip(names, confusion, strict=True)
        ]
        return [empty, ["true \\ given", *names], *rows]
    wrong = [
        (count, true, given)
        for true, row in zip(names, confusion, strict=True)
        for given, count in zip(names, row, strict=True)
        if count and true != given
    ]
    wrong.sort(key=lambda each: (-each[0], each[1:]))
    most = [[true, given, f"{count:,}"] for count, true, given in wrong[:CONFUSIONS]]
    return [["", "", ""], ["true label", "given", "times"], *most]
