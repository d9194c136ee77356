"""`heedful explain` for taggers."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from heedful.cli.output import Output
from heedful.cli.tasks.base import ExplainOptions, refuse_others
from heedful.cli.tasks.drawing import Titled, anything_chosen, check_explain, chosen, draw
from heedful.data.words import words
from heedful.explore import heat_map
from heedful.explore.tagging import record_tags
from heedful.explore.terminal import style_for
from heedful.tasks.tagging import Tagger

KNOWN = ("texts", "out", "kind", "layer", "head", "overwrite")


def explain(run: Path, options: ExplainOptions, output: Output) -> None:
    """Show what the label of each token looked at; tokens are parted by spaces."""
    refuse_others(options, "tag", KNOWN)
    files = check_explain(options)
    tagger = Tagger.load(run)
    sentences = [words(text) for text in options.texts]
    labels = list(tagger.tag(sentences))
    titled: list[Titled] = [
        (" ".join(tokens), chosen(options, record_tags(tagger, tokens, given)))
        for tokens, given in zip(sentences, labels, strict=True)
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
                _values(tokens, given, one, with_records=not files)
                for tokens, given, one in zip(sentences, labels, titled, strict=True)
            ],
        }
    )


def _show(titled: list[Titled], options: ExplainOptions, output: Output) -> None:
    """Draw shaded cells in the terminal: what was asked for, else the last layer."""
    console, left_out = output.console, False
    for title, records in titled:
        shown = records if anything_chosen(options) else records[-1:]
        left_out = left_out or len(shown) < len(records)
        console.print(title)
        for record in shown:
            console.print(heat_map(record, width=console.width, style=style_for(console)))
    if left_out:
        output.say("the last layer; --layer and --head show others, --out FILE.html all")


def _values(
    tokens: list[str], labels: list[str], one: Titled, *, with_records: bool
) -> dict[str, Any]:
    _, records = one
    values: dict[str, Any] = {
        "tokens": tokens,
        "labels": labels,
        "attention": [
            {"kind": each.kind, "layer": each.layer, "heads": each.heads} for each in records
        ],
    }
    if with_records:
        values["records"] = [record.to_dict() for record in records]
    return values
