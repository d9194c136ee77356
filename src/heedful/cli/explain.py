"""`heedful explain`: what each word of a translation looked at."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NamedTuple

import typer

from heedful.cli.options import Beam, Json, Overwrite, Quiet, Run
from heedful.cli.output import Output
from heedful.cli.predict import check_new
from heedful.errors import DataError, OptionError

if TYPE_CHECKING:
    from heedful.explore import AttentionRecord
    from heedful.tasks.translation import Translator

Explained = tuple[str, str, "list[AttentionRecord]"]
"""Source, target, and what the model attended to."""


class Wanted(NamedTuple):
    """Which attention to show; None is all. Layers and heads are counted from 1."""

    kind: str | None = None
    layer: int | None = None
    head: int | None = None


def explain(
    run: Run,
    texts: Annotated[
        list[str],
        typer.Argument(help="One text or several.", metavar="TEXT...", show_default=False),
    ],
    reference: Annotated[
        list[str] | None,
        typer.Option(
            help="Explain this target instead of the model's own translation; once for each TEXT.",
            metavar="TEXT",
            show_default=False,
        ),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help=".html (every layer and head, works offline), .png or .svg; without it, shaded cells in "
            "the terminal. Several texts make several pictures, FILE-1.png and so on.",
            show_default=False,
        ),
    ] = None,
    kind: Annotated[
        str | None,
        typer.Option(
            metavar="KIND",
            help="Show only one kind of attention: cross, encoder or decoder.",
            show_default=False,
        ),
    ] = None,
    layer: Annotated[
        int | None,
        typer.Option(min=1, metavar="N", help="Show only layer N.", show_default=False),
    ] = None,
    head: Annotated[
        int | None,
        typer.Option(min=1, metavar="N", help="Show only head N.", show_default=False),
    ] = None,
    beam: Beam = None,
    overwrite: Overwrite = False,
    json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Show what each translated word looked at.

    Output × input; for a transformer each layer and head, of encoder and decoder too.

    Example:
        heedful explain runs/en-de "A man sleeps." "Two dogs play."
        heedful explain runs/en-de "A man sleeps." --out looked-at.html
        heedful explain runs/en-de "A man sleeps." --reference "Ein Mann schläft." --out looked-at.svg
    """
    from heedful.explore.renderers import renderer_for
    from heedful.tasks.translation import Translator

    if reference and len(reference) != len(texts):
        raise OptionError(
            f"--reference is given once for each TEXT; got {len(reference)} for {len(texts)}"
        )
    for number, text in enumerate(texts, start=1):
        if not text.strip():
            raise DataError(f"text {number} is empty; there is nothing to explain")
    if out is not None:
        renderer_for(out)
    files = _files(out, len(texts))
    for file in files:
        check_new(file, overwrite)
    translator = Translator.load(run)
    targets = reference or [best.text for best, *_ in translator.translate(texts, beam=beam)]
    wanted = Wanted(kind, layer, head)
    explained = [
        (source, target, _records(translator, source, target, wanted))
        for source, target in zip(texts, targets, strict=True)
    ]
    output = Output(json=json, quiet=quiet)
    if files:
        _draw(explained, files, output)
    elif not json:
        _show(explained, wanted, translator.model.alignment_layer, output)
    output.result(
        {
            "run": str(run),
            "files": [str(file) for file in files],
            "texts": [_values(one, with_records=not files) for one in explained],
        }
    )


def _records(
    translator: Translator, source: str, target: str, wanted: Wanted
) -> list[AttentionRecord]:
    """Record one pair and keep what is wanted."""
    from heedful.explore import record_translation, select

    if not target.strip():
        raise DataError(
            f"the model's translation of {source!r} is empty; explain another target with --reference"
        )
    records = record_translation(translator, source, target)
    layer, head = (None if each is None else each - 1 for each in (wanted.layer, wanted.head))
    return select(records, kind=wanted.kind, layer=layer, head=head)


def _files(out: Path | None, count: int) -> list[Path]:
    """Name the files to write: one page for all texts, one picture for each."""
    if out is None:
        return []
    if count == 1 or out.suffix.lower() == ".html":
        return [out]
    return [out.with_name(f"{out.stem}-{number}{out.suffix}") for number in range(1, count + 1)]


def _titled(explained: list[Explained]) -> list[tuple[str, list[AttentionRecord]]]:
    return [(f"{source} → {target}", records) for source, target, records in explained]


def _draw(explained: list[Explained], files: list[Path], output: Output) -> None:
    """Draw one page of all texts, or a picture of each."""
    from heedful.explore import Maps, report_page, save

    titled = _titled(explained)
    if len(files) < len(titled):
        text = report_page("Attention weights", [Maps("", titled)])
        files[0].write_text(text, encoding="utf-8")
    else:
        for file, (title, records) in zip(files, titled, strict=True):
            save(records, file, title=title)
    for file in files:
        output.say(f"written: {file}")


def _show(explained: list[Explained], wanted: Wanted, alignment_layer: int, output: Output) -> None:
    """Draw shaded cells in the terminal: what was asked for, else the layer that aligns best."""
    from heedful.explore import heat_map, select
    from heedful.explore.terminal import style_for

    console, left_out = output.console, False
    for title, records in _titled(explained):
        shown = records
        if wanted == Wanted():
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
