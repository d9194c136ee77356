"""`heedful explain`: what each word of a translation looked at."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from heedful.cli.options import Beam, Json, Overwrite, Quiet, Run
from heedful.cli.output import Output
from heedful.cli.predict import check_new
from heedful.errors import DataError, OptionError

if TYPE_CHECKING:
    from heedful.explore import AttentionRecord

Explained = tuple[str, str, "list[AttentionRecord]"]
"""Source, target, and what the model attended to."""


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
    from heedful.explore import record_translation
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
    if reference:
        targets = list(reference)
    else:
        targets = [best.text for best, *_ in translator.translate(texts, beam=beam)]
    explained: list[Explained] = []
    for source, target in zip(texts, targets, strict=True):
        if not target.strip():
            raise DataError(
                f"the model gave no translation of {source!r}; explain it with --reference"
            )
        explained.append((source, target, record_translation(translator, source, target)))
    output = Output(json=json, quiet=quiet)
    _show(explained, files, output)
    output.result(
        {
            "run": str(run),
            "files": [str(file) for file in files],
            "texts": [_values(one, with_records=not files) for one in explained],
        }
    )


def _files(out: Path | None, count: int) -> list[Path]:
    """Name the files to write: one page for all texts, one picture for each."""
    if out is None:
        return []
    if count == 1 or out.suffix.lower() == ".html":
        return [out]
    return [out.with_name(f"{out.stem}-{number}{out.suffix}") for number in range(1, count + 1)]


def _show(explained: list[Explained], files: list[Path], output: Output) -> None:
    from heedful.explore import Maps, heat_map, report_page, save, select
    from heedful.explore.terminal import style_for

    titled = [(f"{source} → {target}", records) for source, target, records in explained]
    if len(files) == 1 and len(titled) > 1:
        text = report_page("Attention weights", [Maps("", titled)])
        files[0].write_text(text, encoding="utf-8")
    else:
        for file, (title, records) in zip(files, titled, strict=False):
            save(records, file, title=title)
    for file in files:
        output.say(f"written: {file}")
    if files or output.json:
        return
    console = output.console
    for title, records in titled:
        console.print(title)
        for record in select(records, kind="cross"):
            console.print(heat_map(record, width=console.width, style=style_for(console)))


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
