"""`heedful explain`: attention weights, or saliency, of predictions."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from heedful.cli.decoding import DECODING, TOP_K, search_options
from heedful.cli.options import (
    Beam,
    EdgeFiles,
    Json,
    NodeFiles,
    Overwrite,
    Quiet,
    Run,
    with_options,
)
from heedful.cli.output import Output
from heedful.cli.output_files import check_writable
from heedful.errors import DataError, OptionError

if TYPE_CHECKING:
    from heedful.explore import AttentionRecord
    from heedful.explore.explanation import Explanation
    from heedful.tasks.predictor import Predictor

    Titled = tuple[str, list[AttentionRecord]]


def _explain(
    run: Run,
    texts: Annotated[
        list[str],
        typer.Argument(
            help="Texts, or files of series or images.", metavar="TEXT...", show_default=False
        ),
    ],
    reference: Annotated[
        list[str] | None,
        typer.Option(
            help="Explain this target instead of the model's translation; give it once per TEXT.",
            metavar="TEXT",
            show_default=False,
        ),
    ] = None,
    gold: Annotated[
        list[str] | None,
        typer.Option(
            help="Gold links of words, source-target from 0, such as '0-0 1-2 2?1' (? is possible), drawn "
            "over the page of one TEXT.",
            metavar="LINKS",
            show_default=False,
        ),
    ] = None,
    measures: Annotated[
        bool,
        typer.Option(
            "--measures",
            help="Put other measures on the page too: norms, contributions, rollout, gradient × attention.",
        ),
    ] = False,
    steps: Annotated[
        bool,
        typer.Option(
            "--steps",
            help="Put attention step by step on the page too: the numbers of one query from q·k to the output.",
        ),
    ] = False,
    gates: Annotated[
        bool,
        typer.Option(
            "--gates",
            help="Show the gates of LSTM and GRU, token by token, and how long they keep what they were given.",
        ),
    ] = False,
    unit: Annotated[
        int | None,
        typer.Option(
            min=1,
            metavar="N",
            help="With --gates, show unit N of each layer beside the mean over units.",
            show_default="the one that changes most",
        ),
    ] = None,
    against: Annotated[
        Path | None,
        typer.Option(
            metavar="RUN",
            help="Put a second model beside on the page, and the difference of both on one scale.",
            show_default=False,
        ),
    ] = None,
    difference: Annotated[
        bool,
        typer.Option(
            "--difference",
            help="Of two TEXTs, put the difference of their weights on the page too, on one scale.",
        ),
    ] = False,
    out: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="Save as .html (offline page of every layer and head), .png or .svg; several texts give images "
            "FILE-1.png, FILE-2.png, …",
            show_default="heat maps in the terminal",
        ),
    ] = None,
    kind: Annotated[
        str | None,
        typer.Option(
            metavar="KIND",
            help="Show only this kind of attention: cross, encoder or decoder.",
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
    edges: EdgeFiles = None,
    nodes: NodeFiles = None,
    beam: Beam = None,
    overwrite: Overwrite = False,
    json: Json = False,
    quiet: Quiet = False,
    **decoding: Any,
) -> None:
    """Show the attention weights of predictions.

    Rows are output tokens, columns input tokens. A transformer has weights for each layer and head of its encoder,
    decoder and cross-attention. For an encoder without attention, gradient × input saliency is shown.

    RUN may also be the folder of a Hugging Face model, as save_pretrained writes it (extra hf).

    Example:
        heedful explain runs/en-de "A man sleeps." "Two dogs play."
        heedful explain runs/en-de "A man sleeps." --out looked-at.html
        heedful explain runs/en-de "A man sleeps." --reference "Ein Mann schläft." --out looked-at.svg
        heedful explain runs/en-de "A man sleeps." --prefix "ein Mann"
        heedful explain runs/en-de "A man sleeps." --gates
        heedful explain runs/en-de "it was too tired" "it was too wide" --difference --out both.html
    """
    needs_page = measures or steps or against is not None
    _check_counts(texts, reference, gold, needs_page=needs_page, difference=difference)
    targets: Sequence[str | None] = reference or [None] * len(texts)
    if unit is not None and not gates:
        raise OptionError("--unit goes with --gates; add it")
    shown_unit = {} if unit is None else {"unit": unit - 1}
    extras = {"measures": measures, "steps": steps, "gates": gates, **shown_unit}
    options = {"reference": reference, "beam": beam, **search_options(decoding)}
    reading = {"edges": edges, "nodes": nodes}
    predictor, explain_all = _explainer(run, texts, targets, options, reading, extras)
    files = _output_files(texts, out, overwrite=overwrite)
    if (needs_page or difference) and (not files or files[0].suffix.lower() != ".html"):
        raise OptionError(
            "--measures, --steps, --against and --difference are for a page; add --out FILE.html"
        )
    explanations = explain_all()
    output = Output(json=json, quiet=quiet)
    if gold:
        explanations = [explanations[0].with_gold(gold[0])]
    has_selection = (kind, layer, head) != (None, None, None)
    page = bool(files) and files[0].suffix.lower() == ".html"
    selected = [_select(_candidates(e, is_page=page), kind, layer, head) for e in explanations]
    if against is not None:
        _save_comparison((run, against), texts[0], explanations[0], files[0], output)
    elif difference:
        _save_both("Attention to two texts", [(e.title, e) for e in explanations], files[0], output)
    elif files:
        _save(explanations, selected, files, output)
    elif not json:
        shown = selected if has_selection or gates else [each.main for each in explanations]
        _show([(each.title, main) for each, main in zip(explanations, shown, strict=True)], output)
        if not (has_selection or gates) and explanations[0].others:
            output.say(explanations[0].others)
    _show_erasure(explanations[0], output)
    values = [
        _to_json(predictor, each, records, with_records=not files)
        for each, records in zip(explanations, selected, strict=True)
    ]
    output.result({"run": str(run), "files": [str(file) for file in files], "texts": values})


def _read_otherwise(predictor: Predictor, reading: dict[str, Any]) -> None:
    """Let inputs be named by their ids in other tables than those of the training."""
    from heedful.tasks.options import read_otherwise

    data = read_otherwise(predictor.config.data, **reading)
    predictor.config = predictor.config.model_copy(update={"data": data})


explain = with_options(_explain, [*DECODING, TOP_K], after="beam")


def _check_counts(
    texts: Sequence[str],
    reference: Sequence[str] | None,
    gold: Sequence[str] | None,
    *,
    needs_page: bool,
    difference: bool,
) -> None:
    """Raise OptionError for options that do not fit the number of texts."""
    if reference and len(reference) != len(texts):
        raise OptionError(
            f"give --reference once for each TEXT; got {len(reference)} for {len(texts)}"
        )
    if gold and (len(gold), len(texts)) != (1, 1):
        raise OptionError(f"--gold goes with one TEXT; got {len(gold)} for {len(texts)}")
    if needs_page and len(texts) > 1:
        raise OptionError(f"--measures, --steps and --against go with one TEXT; got {len(texts)}")
    if difference and len(texts) != 2:
        raise OptionError(f"--difference goes with two TEXTs; got {len(texts)}")


def _explainer(
    run: Path,
    texts: Sequence[str],
    targets: Sequence[str | None],
    options: dict[str, Any],
    reading: dict[str, Any],
    extras: dict[str, Any],
) -> tuple[Predictor | None, Callable[[], list[Explanation]]]:
    """Load a run, or the folder of a Hugging Face model, and return its predictor and what explains the texts.

    Args:
        run, texts, targets: what is explained.
        options: of the prediction.
        reading: which tables inputs are named in.
        extras: what else `TrainedModel.explain` is asked for.
    """
    from heedful.explore.transformers_explain import explain_transformer, is_transformer

    if is_transformer(run):
        others = {name: value for name, value in options.items() if name != "reference"}
        if any((*others.values(), *reading.values(), *extras.values())):
            raise OptionError(
                "a Hugging Face model is explained with --reference, --gold and --against alone; leave the other "
                "options out"
            )
        return None, lambda: explain_transformer(run, texts, targets)
    from heedful import api

    model = api.load(run)
    search = model.predictor.task.check_options({**reading, **options})
    if any(reading.values()):
        _read_otherwise(model.predictor, reading)
    return model.predictor, lambda: [
        model.explain(text, reference=target, **extras, **search)
        for text, target in zip(texts, targets, strict=True)
    ]


def _to_json(
    predictor: Predictor | None,
    each: Explanation,
    records: list[AttentionRecord],
    *,
    with_records: bool,
) -> dict[str, Any]:
    """Return an explanation as JSON values."""
    prediction: dict[str, Any] = {}
    if predictor is not None and each.target is None:
        prediction = predictor.answer.to_json(each.prediction)
    elif each.target is not None:
        prediction = {"target": each.target}
    given = {"text": each.input} if predictor is None else predictor.task.reader.to_json(each.input)
    return {
        **given,
        **prediction,
        **({"erasure": [one.to_dict() for one in each.erasure]} if each.erasure else {}),
        "attention": [{"kind": r.kind, "layer": r.layer, "heads": r.heads} for r in records],
        **({"records": [record.to_dict() for record in records]} if with_records else {}),
    }


def _output_files(texts: Sequence[str], out: Path | None, *, overwrite: bool) -> list[Path]:
    """Check the texts and return the files to write, which are checked but not created.

    Raises: DataError for an empty text; OptionError for an unknown image format; RunError for a file that
        cannot be written.
    """
    from heedful.explore.renderers import renderer_for

    for number, text in enumerate(texts, start=1):
        if not text.strip():
            raise DataError(f"text {number} is empty; there is nothing to explain")
    if out is None:
        return []
    renderer_for(out)
    files = [out]
    # one page for all texts, one image for each
    if len(texts) > 1 and out.suffix.lower() != ".html":
        files = [out.with_name(f"{out.stem}-{n}{out.suffix}") for n in range(1, len(texts) + 1)]
    for file in files:
        check_writable(file, overwrite=overwrite)
    return files


def _candidates(explanation: Explanation, *, is_page: bool) -> list[AttentionRecord]:
    """Return what is shown by default: outside of a page, which has both, gates alone if there are any."""
    every = [*explanation.records, *explanation.measures]
    return every if is_page else explanation.gate_records or every


def _select(
    records: Sequence[AttentionRecord], kind: str | None, layer: int | None, head: int | None
) -> list[AttentionRecord]:
    """Select records by --kind, --layer and --head; layers and heads are counted from 1."""
    from heedful.explore import select

    indices = [None if each is None else each - 1 for each in (layer, head)]
    return select(records, kind=kind, layer=indices[0], head=indices[1])


def _save(
    explanations: Sequence[Explanation],
    selected: Sequence[list[AttentionRecord]],
    files: Sequence[Path],
    output: Output,
) -> None:
    """Save one page of all texts, or an image of each."""
    from heedful.explore import Maps, report_page

    if len(files) < len(explanations):
        pictures = [each.picture for each in explanations]
        titled = [
            (each.title, records) for each, records in zip(explanations, selected, strict=True)
        ]
        drawings = [each.drawing for each in explanations]
        page = report_page("Attention weights", [Maps("", titled, pictures, drawings)])
        files[0].write_text(page, encoding="utf-8")
    else:
        for file, each, records in zip(files, explanations, selected, strict=True):
            each.save(file, records)
    for file in files:
        output.say(f"written: {file}")


def _save_comparison(
    runs: tuple[Path, Path], text: str, first: Explanation, file: Path, output: Output
) -> None:
    """Save a page of two models on one text, and their difference; a target is that of the first."""
    target = first.target
    options = {} if target is None else {"reference": [target]}
    _, explain_all = _explainer(runs[1], [text], [target], options, {}, {})
    [second] = explain_all()
    titled = [
        (f"{run}: {each.title}", each) for run, each in zip(runs, (first, second), strict=True)
    ]
    _save_both("Attention of two models", titled, file, output)


def _save_both(
    title: str, titled: Sequence[tuple[str, Explanation]], file: Path, output: Output
) -> None:
    """Save a page of two explanations and their difference."""
    from heedful.explore.side_by_side import comparison_page

    first, second = titled
    file.write_text(comparison_page(title, first, second), encoding="utf-8")
    output.say(f"written: {file}")


def _show_erasure(explanation: Explanation, output: Output) -> None:
    """Print how faithful each measure is, if measures were asked for."""
    from heedful.explore.erasure_table import erasure_rows

    if explanation.erasure:
        output.say(f"faithfulness by erasure, fall of the {explanation.erasure[0].support}:")
        output.table(erasure_rows(explanation.erasure))


def _show(titled: Sequence[Titled], output: Output) -> None:
    """Print heat maps to the terminal; gates as numbers."""
    from heedful.explore import heat_map
    from heedful.explore.gates.draw import OPENNESS, table
    from heedful.explore.terminal import style_for

    console = output.console
    for title, records in titled:
        console.print(title)
        for record in records:
            if record.measure == OPENNESS:
                console.print(f"{record.label}: {record.measure}")
                output.table(table(record))
                console.print(record.note)
            else:
                console.print(heat_map(record, width=console.width, style=style_for(console)))
