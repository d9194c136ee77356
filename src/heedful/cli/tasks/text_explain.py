"""`heedful explain` for texts."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from heedful.cli.output import Output
from heedful.cli.tasks.base import ExplainOptions, refuse_others
from heedful.cli.tasks.drawing import Titled, anything_chosen, check_explain, chosen, draw
from heedful.cli.tasks.text_predictors import Answer, predictor_of, shown
from heedful.explore import heat_map
from heedful.explore.terminal import style_for
from heedful.explore.texts import record_answer
from heedful.tasks.text_predictor import TextPredictor

KNOWN = ("texts", "out", "kind", "layer", "head", "overwrite")


def explain(run: Path, options: ExplainOptions, output: Output) -> None:
    """Show what the answer to each text looked at."""
    predictor = predictor_of(run)
    refuse_others(options, predictor.task, KNOWN)
    files = check_explain(options)
    trained = predictor.load(run)
    answers = list(trained.answers(options.texts))
    titled = [
        _titled(trained, text, answer, options)
        for text, answer in zip(options.texts, answers, strict=True)
    ]
    if files:
        draw(titled, files, output)
    elif not output.json:
        _show(titled, options, output)
    output.result(
        {
            "run": str(run),
            "files": [str(file) for file in files],
            "texts": [
                _values(text, answer, one, with_records=not files)
                for text, answer, one in zip(options.texts, answers, titled, strict=True)
            ],
        }
    )


def _titled(trained: TextPredictor, text: str, answer: Answer, options: ExplainOptions) -> Titled:
    records = record_answer(trained, text, shown(answer))
    return f"{shown(answer)}: {text}", chosen(options, records)


def _show(titled: list[Titled], options: ExplainOptions, output: Output) -> None:
    """Draw shaded cells in the terminal: what was asked for, else the rows of the answer."""
    console, left_out = output.console, False
    for title, records in titled:
        answers = [each for each in records if each.kind != "encoder"]
        shown_records = records if anything_chosen(options) else answers or records[-1:]
        left_out = left_out or len(shown_records) < len(records)
        console.print(title)
        for record in shown_records:
            console.print(heat_map(record, width=console.width, style=style_for(console)))
    if left_out:
        output.say("--kind encoder shows what tokens looked at, --out FILE.html everything")


def _values(text: str, answer: Answer, one: Titled, *, with_records: bool) -> dict[str, Any]:
    _, records = one
    values: dict[str, Any] = {"text": text}
    if isinstance(answer, float) or answer is None:
        values["answer"] = answer
    else:
        values |= {"labels": answer.labels, "probabilities": answer.probabilities}
    values["attention"] = [
        {"kind": each.kind, "layer": each.layer, "heads": each.heads} for each in records
    ]
    if with_records:
        values["records"] = [record.to_dict() for record in records]
    return values
