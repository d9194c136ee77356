"""`heedful vectors`: nearest neighbours of words and a two-dimensional map of word vectors."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from heedful.cli.options import Json, Overwrite, Quiet
from heedful.cli.output import Output
from heedful.cli.output_files import check_writable
from heedful.errors import OptionError

if TYPE_CHECKING:
    from heedful.explore.vectors.nearness import Neighbour
    from heedful.explore.vectors.tables import WordVectors


def vectors(
    source: Annotated[
        Path,
        typer.Argument(
            metavar="RUN|FILE",
            help="A trained run, the folder of a Hugging Face model, or a file of word vectors (text format of "
            "word2vec, GloVe or fastText; may be gzipped).",
            show_default=False,
        ),
    ],
    words: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[WORD...]", help="Words whose neighbours are shown.", show_default=False
        ),
    ] = None,
    neighbours: Annotated[
        int, typer.Option(min=1, metavar="N", help="Neighbours of each word.")
    ] = 10,
    table: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            help="Which vectors of a run: words (learned), vectors (pre-trained), source or target.",
            show_default="the first that it has",
        ),
    ] = None,
    method: Annotated[
        str, typer.Option(metavar="NAME", help="How the map is made: pca, or tsne (extra maps).")
    ] = "pca",
    frequent: Annotated[
        int,
        typer.Option(
            min=0,
            metavar="N",
            help="Also put the N most frequent words on the map.",
            show_default="60 without WORD",
        ),
    ] = 0,
    out: Annotated[
        Path | None,
        typer.Option(
            "--out",
            metavar="FILE",
            help="Save a map of the words and their neighbours: .png, .svg, or .csv with the coordinates.",
            show_default=False,
        ),
    ] = None,
    overwrite: Overwrite = False,
    json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Show the nearest neighbours of words, and draw word vectors in two dimensions.

    Neighbours are those of the greatest cosine. Beside them stands what one-hot vectors would say: all words are
    equally far apart (cosine 0, distance 1.414). The map is made of the words that it shows alone.

    Example:
        heedful train classify --train train.tsv --out runs/mood
        heedful vectors runs/mood good --neighbours 5
        heedful vectors runs/mood good --out words.svg
        heedful vectors runs/mood --frequent 40 --out words.csv
    """  # fmt: skip
    from heedful.explore.vectors.nearness import METHODS
    from heedful.explore.vectors.nearness import neighbours as nearest_words
    from heedful.explore.vectors.tables import chosen_table, tables_of

    asked = list(dict.fromkeys(words or []))
    if not asked and out is None:
        raise OptionError("name words whose neighbours are shown, or add --out FILE for a map")
    if method not in METHODS:
        from heedful.errors import unknown_choice

        raise unknown_choice("method", method, METHODS)
    _check_out(out, overwrite=overwrite)
    output = Output(json=json, quiet=quiet)
    chosen = chosen_table(tables_of(source, asked), table)
    asked = [chosen.words[chosen.index(word)] for word in asked]
    found = {word: nearest_words(chosen, word, neighbours) for word in asked}
    for word, near in found.items():
        _show(word, near, output)
    if out is not None:
        count = frequent if frequent or asked else 60
        _save(
            chosen, found, method, count, out, title=f"Word vectors of {source.name}: {chosen.name}"
        )
        output.say(f"written: {out}")
    output.result(
        {
            "source": str(source),
            "table": chosen.name,
            "words": len(chosen.words),
            "width": int(chosen.values.shape[1]),
            "files": [] if out is None else [str(out)],
            "neighbours": {word: [each._asdict() for each in near] for word, near in found.items()},
        }
    )


def _check_out(out: Path | None, *, overwrite: bool) -> None:
    if out is None:
        return
    if out.suffix.lower() != ".csv":
        from heedful.plots import FORMATS

        if out.suffix.lower() not in FORMATS:
            raise OptionError(
                f"{out} ends in {out.suffix!r}; a map is a .png or .svg file, or .csv with the coordinates"
            )
    check_writable(out, overwrite=overwrite)


def _show(word: str, near: list[Neighbour], output: Output) -> None:
    from heedful.explore.tokens import visible

    rows = [[visible(word), "cosine", "distance", "one-hot: cosine", "distance"]]
    rows += [
        [visible(each.word), f"{each.cosine:.3f}", f"{each.distance:.3f}", "0.000", "1.414"]
        for each in near
    ]
    output.table(rows)
    output.say()


def _save(
    table: WordVectors,
    found: dict[str, list[Neighbour]],
    method: str,
    frequent: int,
    out: Path,
    *,
    title: str,
) -> None:
    """Save the map of the words asked for, their neighbours and the most frequent words."""
    from heedful.explore.vectors.draw import draw_map, write_csv
    from heedful.explore.vectors.nearness import METHODS

    near = [each.word for every in found.values() for each in every]
    shown = list(dict.fromkeys([*found, *near, *table.words[:frequent]]))
    if len(shown) < 2:
        raise OptionError(f"a map wants at least 2 words; got {len(shown)}")
    values: Any = table.values[[table.words.index(word) for word in shown]]
    drawn = METHODS[method](values.astype("float64"))
    if out.suffix.lower() == ".csv":
        write_csv(shown, drawn, found, out)
    else:
        draw_map(shown, values, drawn, out, title=title, strong=found)
