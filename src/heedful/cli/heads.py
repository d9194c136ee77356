"""`heedful heads`: which relation between words each attention head finds."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from heedful.cli.options import Json, Overwrite, Plot, Quiet, Run
from heedful.cli.output import Output
from heedful.cli.output_files import check_writable
from heedful.errors import count

if TYPE_CHECKING:
    from heedful.data.trees import Tree
    from heedful.explore.roles.measure import Roles
    from heedful.explore.roles.words import Reader


def heads(
    run: Run,
    trees: Annotated[
        Path,
        typer.Option(
            metavar="FILE",
            help="Sentences with dependency trees in CoNLL-U; may be gzipped.",
            show_default=False,
        ),
    ],
    sentences: Annotated[
        int, typer.Option(min=2, metavar="N", help="Maximum sentences, the first of the file.")
    ] = 1000,
    longest: Annotated[
        int,
        typer.Option(
            min=2, metavar="N", help="Maximum words of a sentence; longer ones are left out."
        ),
    ] = 60,
    minimum: Annotated[
        int,
        typer.Option(
            min=1,
            metavar="N",
            help="Minimum words that a relation is asked of, in each half of the sentences.",
        ),
    ] = 50,
    out: Plot = None,
    overwrite: Overwrite = False,
    json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Measure which relation between words each self-attention head finds.

    A head finds a relation from a word if the other word that it attends to most is right. Relations are those of the
    trees, from dependent to head and from head to dependent, and the previous, next, same and rarest word. Beside the
    best head stands the best fixed offset, such as "always the next word". Sentences 1, 3, 5, … choose both, sentences
    2, 4, 6, … score them. Brackets are 95 % intervals of a bootstrap over sentences. Sub-words are merged to words:
    attention to a word is the sum over its pieces, attention from it their mean.

    RUN may also be the folder of a Hugging Face model, as save_pretrained writes it (extra hf).

    Example:
        heedful train tag --train train.conllu --valid dev.conllu --encoder transformer --out runs/pos
        heedful heads runs/pos --trees trees.conllu
        heedful heads runs/pos --trees trees.conllu --sentences 200 --minimum 20 --out heads.svg
        heedful heads runs/pos --trees trees.conllu --json
    """  # fmt: skip
    from heedful.data.trees import read_trees
    from heedful.explore.roles.measure import chosen_trees
    from heedful.explore.roles.words import word_reader

    output = Output(json=json, quiet=quiet)
    if out is not None:
        from heedful.plots import check_format

        check_format(out)
        check_writable(out, overwrite=overwrite)
    chosen = chosen_trees(read_trees(trees), sentences=sentences, longest=longest)
    found = _measured(chosen, word_reader(run), minimum, output)
    _show(found, minimum, output)
    if out is not None:
        from heedful.explore.roles.show import draw_roles

        draw_roles(found.scores, out, f"What the heads of {run.name} find")
        output.say(f"written: {out}")
    output.result(
        {
            "run": str(run),
            "trees": str(trees),
            "sentences": found.sentences,
            "unmapped": found.unmapped,
            "files": [] if out is None else [str(out)],
            "left_out": found.rare,
            "roles": [each.to_dict() for each in found.scores],
        }
    )


def _measured(trees: list[Tree], read: Reader, minimum: int, output: Output) -> Roles:
    from heedful.cli.progress import with_progress
    from heedful.explore.roles.measure import measure_roles

    return measure_roles(
        read,
        trees,
        minimum=minimum,
        watched=lambda each: with_progress(each, len(trees), output, unit="sentences"),
    )


def _show(found: Roles, minimum: int, output: Output) -> None:
    from heedful.explore.roles.show import table

    output.table(table(found.scores))
    output.say(
        f"{found.sentences:,} sentences: every other one chose head and offset, the rest scored them; "
        "head = layer.head"
    )
    if found.unmapped:
        output.say(f"{found.unmapped:,} sentences left out: the tokens do not spell their words")
    if found.rare:
        output.say(
            f"{count(len(found.rare), 'relation')} left out, of fewer than {minimum} words in a half of the sentences "
            f"(--minimum): {', '.join(found.rare)}"
        )
