"""`heedful explain`: what each part of an answer looked at."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from heedful.cli.files import check_writable
from heedful.cli.options import Beam, Json, Overwrite, Quiet, Run
from heedful.cli.output import Output
from heedful.errors import DataError, OptionError

if TYPE_CHECKING:
    from heedful.explore import AttentionRecord
    from heedful.explore.explain import Explanation
    from heedful.tasks.predictor import Predictor

    Titled = tuple[str, list[AttentionRecord]]


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
    """Show what an answer looked at: each translated word, the label of each token, the answer to a text.

    Output × input; for a transformer each layer and head, of encoder and decoder too.

    Example:
        heedful explain runs/en-de "A man sleeps." "Two dogs play."
        heedful explain runs/en-de "A man sleeps." --out looked-at.html
        heedful explain runs/en-de "A man sleeps." --reference "Ein Mann schläft." --out looked-at.svg
    """
    from heedful import api

    model = api.load(run)
    search = model.predictor.task.check_options({"reference": reference, "beam": beam})
    if reference and len(reference) != len(texts):
        raise OptionError(
            f"--reference is given once for each TEXT; got {len(reference)} for {len(texts)}"
        )
    files = _checked(texts, out, overwrite=overwrite)
    output = Output(json=json, quiet=quiet)
    targets: Sequence[str | None] = reference or [None] * len(texts)
    found = [
        model.explain(text, reference=target, **search)
        for text, target in zip(texts, targets, strict=True)
    ]
    is_chosen = (kind, layer, head) != (None, None, None)
    chosen = [_chosen(each.records, kind, layer, head) for each in found]
    if files:
        titled = zip((each.title for each in found), chosen, strict=True)
        _draw(list(titled), files, output)
    elif not json:
        shown = chosen if is_chosen else [each.main for each in found]
        _show([(each.title, main) for each, main in zip(found, shown, strict=True)], output)
        if not is_chosen and found[0].others:
            output.say(found[0].others)
    values = [
        _values(model.predictor, each, records, with_records=not files)
        for each, records in zip(found, chosen, strict=True)
    ]
    output.result({"run": str(run), "files": [str(file) for file in files], "texts": values})


def _values(
    predictor: Predictor, each: Explanation, records: list[AttentionRecord], *, with_records: bool
) -> dict[str, Any]:
    """Return what was explained as JSON values."""
    if each.target is None:
        answer = predictor.answer.to_json(each.prediction)
    else:
        answer = {"target": each.target}
    return {
        **predictor.task.reader.to_json(each.input),
        **answer,
        "attention": [{"kind": r.kind, "layer": r.layer, "heads": r.heads} for r in records],
        **({"records": [record.to_dict() for record in records]} if with_records else {}),
    }


def _checked(texts: Sequence[str], out: Path | None, *, overwrite: bool) -> list[Path]:
    """Check texts and files, change nothing, and return the files to write.

    Raises: DataError for an empty text; OptionError for a file of another kind; RunError for a file that
        may not be written.
    """
    from heedful.explore.renderers import renderer_for

    for number, text in enumerate(texts, start=1):
        if not text.strip():
            raise DataError(f"text {number} is empty; there is nothing to explain")
    if out is None:
        return []
    renderer_for(out)
    files = [out]
    # one page for all texts, one picture for each
    if len(texts) > 1 and out.suffix.lower() != ".html":
        files = [out.with_name(f"{out.stem}-{n}{out.suffix}") for n in range(1, len(texts) + 1)]
    for file in files:
        check_writable(file, overwrite=overwrite)
    return files


def _chosen(
    records: Sequence[AttentionRecord], kind: str | None, layer: int | None, head: int | None
) -> list[AttentionRecord]:
    """Keep the records that --kind, --layer and --head name; layers and heads are counted from 1."""
    from heedful.explore import select

    numbers = [None if each is None else each - 1 for each in (layer, head)]
    return select(records, kind=kind, layer=numbers[0], head=numbers[1])


def _draw(titled: Sequence[Titled], files: Sequence[Path], output: Output) -> None:
    """Draw one page of all texts, or a picture of each."""
    from heedful.explore import Maps, report_page, save

    if len(files) < len(titled):
        page = report_page("What each answer looked at", [Maps("", titled)])
        files[0].write_text(page, encoding="utf-8")
    else:
        for file, (title, records) in zip(files, titled, strict=True):
            save(records, file, title=title)
    for file in files:
        output.say(f"written: {file}")


def _show(titled: Sequence[Titled], output: Output) -> None:
    """Draw shaded cells in the terminal."""
    from heedful.explore import heat_map
    from heedful.explore.terminal import style_for

    console = output.console
    for title, records in titled:
        console.print(title)
        for record in records:
            console.print(heat_map(record, width=console.width, style=style_for(console)))
