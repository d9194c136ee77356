"""`heedful align`: word alignments of given translations, and how well they agree with gold ones."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from heedful.cli.options import Columns, Encoding, Json, MaxLine, Overwrite, Quiet, Run
from heedful.cli.output import Output
from heedful.cli.output_files import atomic_writer, check_writable

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


def align(
    run: Run,
    files: Annotated[
        list[str],
        typer.Argument(
            help="Sources and their translations: two line-aligned files, or a table with --columns. Words are what "
            "spaces separate.",
            metavar="SRC TGT",
            show_default=False,
        ),
    ],
    gold: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="Gold alignments, a line for each pair in Pharaoh format: 0-0 is a sure link of source and target "
            "word, 0p0 (or 0?0) a possible one.",
            show_default=False,
        ),
    ] = None,
    first_word: Annotated[
        int,
        typer.Option(min=0, max=1, metavar="N", help="The number of the first word in --gold."),
    ] = 0,
    out: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="Write the alignments of the layer that aligns best, the mean of its heads, in Pharaoh format from 0.",
            show_default=False,
        ),
    ] = None,
    columns: Columns = None,
    encoding: Encoding = None,
    max_line: MaxLine = None,
    overwrite: Overwrite = False,
    json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Align the words of given translations by cross-attention, and measure it against gold alignments.

    Each target word is linked with the source word that it attends to most. With --gold the alignment error rate (AER,
    lower is better), precision and recall are shown for every layer and head, and for the mean of the heads of each
    layer. Without --gold and --out the alignments are written to standard output.

    Example:
        heedful align runs/en-de test.en test.de --out test.align
        heedful align runs/en-de test.en test.de --gold test.align
    """
    from heedful import api
    from heedful.answers.alignment_metrics import best_links
    from heedful.cli.progress import with_progress
    from heedful.data.links import read_links
    from heedful.tasks.alignment import align_by_head
    from heedful.tasks.options import read_otherwise
    from heedful.tasks.runs import check_translates

    predictor = api.load(run).predictor
    writes_lines = gold is None and out is None
    output = Output(json=json, quiet=quiet, data=writes_lines)
    reading: dict[str, Any] = {"columns": columns, "encoding": encoding, "max_line": max_line}
    check_translates(predictor.task, run)
    predictor.task.check_options({**reading, "alignments": True})
    check_writable(out, overwrite=overwrite)
    data = predictor.task.reader.read_test(files, read_otherwise(predictor.config.data, **reading))
    pairs = list(zip(data.inputs, data.answers, strict=True))
    wanted = None
    if gold is not None:
        wanted = read_links(gold, [s for s, _ in pairs], [t for _, t in pairs], first=first_word)
    stream = (align_by_head(predictor, *pair) for pair in pairs)
    found = list(with_progress(stream, len(pairs), output, unit=predictor.task.examples))
    layer = getattr(predictor.model, "alignment_layer", 0)
    layer = min(layer, len(found[0]) - 1)
    lines = [
        " ".join(f"{i}-{j}" for i, j in best_links(each[layer].mean(axis=0))) for each in found
    ]
    with atomic_writer(out) as file:
        for line in lines:
            if file is not None:
                file.write(f"{line}\n")
            elif writes_lines:
                typer.echo(line)
    values: dict[str, Any] = {predictor.task.examples: len(pairs), "layer": layer + 1}
    if wanted is not None:
        values["scores"] = _show_scores(found, wanted, layer, output)
    output.result(values)


def _show_scores(
    found: Sequence[NDArray[np.float64]], gold: Sequence[Any], layer: int, output: Output
) -> list[dict[str, Any]]:
    """Show a table of the scores of every layer and head, and return it as JSON values."""
    from heedful.answers.alignment_metrics import best_links, score_links

    rows, values = [["layer", "head", "AER", "precision", "recall"]], []
    layers, heads = found[0].shape[:2]
    for number in range(layers):
        for head in [*range(heads), None] if heads > 1 else [None]:
            chosen = [
                each[number].mean(axis=0) if head is None else each[number, head] for each in found
            ]
            scores = score_links([best_links(each) for each in chosen], gold)
            name = "mean" if head is None else str(head + 1)
            mark = " *" if number == layer and head is None else ""
            figures = (scores.error_rate, scores.precision, scores.recall)
            rows.append([str(number + 1), name + mark, *(f"{each:.4f}" for each in figures)])
            values.append({"layer": number + 1, "head": name, **asdict(scores)})
    output.table(rows)
    if layers * heads > 1:
        output.say("* what `heedful predict --alignments` and the figures of explain use")
    return values
