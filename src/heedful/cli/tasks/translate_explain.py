"""`heedful explain` for translations."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from heedful.cli.output import Output
from heedful.cli.tasks.base import ExplainOptions
from heedful.cli.tasks.drawing import Titled, anything_chosen, check_explain, chosen, draw
from heedful.errors import DataError, OptionError
from heedful.explore import AttentionRecord, heat_map, record_translation, select
from heedful.explore.terminal import style_for
from heedful.tasks.translation import Translator

Explained = tuple[str, str, list[AttentionRecord]]
"""Source, target, and what the model attended to."""


def explain(run: Path, options: ExplainOptions, output: Output) -> None:
    """Show what each translated word looked at."""
    texts, reference = options.texts, options.reference
    if reference and len(reference) != len(texts):
        raise OptionError(
            f"--reference is given once for each TEXT; got {len(reference)} for {len(texts)}"
        )
    files = check_explain(options)
    translator = Translator.load(run)
    targets = reference or [
        best.text for best, *_ in translator.translate(texts, beam=options.beam)
    ]
    explained = [
        (source, target, _records(translator, source, target, options))
        for source, target in zip(texts, targets, strict=True)
    ]
    if files:
        draw(_titled(explained), files, output)
    elif not output.json:
        _show(explained, options, translator.model.alignment_layer, output)
    output.result(
        {
            "run": str(run),
            "files": [str(file) for file in files],
            "texts": [_values(one, with_records=not files) for one in explained],
        }
    )


def _records(
    translator: Translator, source: str, target: str, options: ExplainOptions
) -> list[AttentionRecord]:
    """Record one pair and keep what is wanted."""
    if not target.strip():
        raise DataError(
            f"the model's translation of {source!r} is empty; explain another target with --reference"
        )
    records = record_translation(translator, source, target)
    return chosen(options, records)


def _titled(explained: list[Explained]) -> list[Titled]:
    return [(f"{source} → {target}", records) for source, target, records in explained]


def _show(
    explained: list[Explained], options: ExplainOptions, alignment_layer: int, output: Output
) -> None:
    """Draw shaded cells in the terminal: what was asked for, else the layer that aligns best."""
    console, left_out = output.console, False
    for title, records in _titled(explained):
        shown = records
        if not anything_chosen(options):
            shown = [select(records, kind="cross")[alignment_layer]]
            left_out = left_out or len(records) > 1
        console.print(title)
        for record in shown:
            console.print(heat_map(record, width=console.width, style=style_for(console)))
    if left_out:
        output.say(
            "the layer that aligns best; --kind, --layer and --head show others, --out FILE.html all"
        )


def _values(one: Explained, *, with_records: bool) -> dict[str, Any]:
    source, target, records = one
    values: dict[str, Any] = {
        "source": source,
        "target": target,
        "attention": [
            {"kind": each.kind, "layer": each.layer, "heads": each.heads} for each in records
        ],
    }
    if with_records:
        values["records"] = [record.to_dict() for record in records]
    return values
