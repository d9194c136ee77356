"""`heedful probe`: what an encoder can and cannot do, measured on any of them."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from heedful.cli import lists
from heedful.cli.files import check_writable
from heedful.cli.options import Json, Overwrite, Plot, Quiet
from heedful.cli.output import Output
from heedful.errors import OptionError

if TYPE_CHECKING:
    from heedful.probe.encoders import Spec
    from heedful.probe.results import Curve
    from heedful.probe.settings import Settings

ENCODERS = "none,window,rnn,lstm,gru,attention,transformer"
MEASURES = "recall,gradient,time,cores,order"


def _count(what: str, least: int = 1) -> Any:
    return typer.Option(min=least, metavar="N", help=what)


def probe(
    encoders: Annotated[
        str,
        typer.Option(
            metavar="A,B,...",
            help="Encoders, each with options after colons: transformer:positions=rotary:heads=8. "
            "There are {encoders}.",
        ),
    ] = ENCODERS,
    measure: Annotated[
        str,
        typer.Option(
            metavar="A,B,...",
            help="recall, copy and first (accuracy by distance), gradient, time, cores, order.",
        ),
    ] = MEASURES,
    lengths: Annotated[
        str | None,
        typer.Option(
            metavar="A,B,...",
            help="Test and time at these lengths, in tokens.",
            show_default="8,16,...,128; for time 64,128,...,1024",
        ),
    ] = None,
    train_lengths: Annotated[
        str,
        typer.Option(
            metavar="A,B,...", help='Train at these, or "each": anew at every tested length.'
        ),
    ] = "8,16,32",
    length: Annotated[int, _count("Length for gradient, cores and order.", 4)] = 64,
    steps: Annotated[int, _count("Training steps of each model.", 0)] = 150,
    tokens: Annotated[int, _count("Tokens of a training step.")] = 1024,
    learning_rate: Annotated[
        float, typer.Option(min=0.0, metavar="X", help="The highest of a training.")
    ] = 3e-3,
    width: Annotated[int, _count("Features of a state, for every encoder.")] = 32,
    symbols: Annotated[int, _count("How many different answers there are.", 2)] = 8,
    examples: Annotated[int, _count("Test sequences at each length.")] = 200,
    seeds: Annotated[int, _count("Models of each encoder; the table then shows the spread.")] = 1,
    seed: Annotated[int, typer.Option(metavar="N", help="The first seed.")] = 0,
    threads: Annotated[int, _count("Processor threads; cores tries all counts.")] = 1,
    batch: Annotated[int, _count("Sequences at once where time is measured.")] = 1,
    seconds: Annotated[
        float, typer.Option(min=0.01, metavar="S", help="For the rounds of one timed length.")
    ] = 0.5,
    out: Plot = None,
    overwrite: Overwrite = False,
    json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Measure what encoders can and cannot do: memory by distance, gradients, time, cores, sense of order.

    recall asks at the end for the one symbol in a sequence of noise, copy for all of a first half again, first
    which of two symbols came first; each model trains for the same number of steps. gradient is the size of
    d state / d input by distance, fresh and trained; order is how much states change when inputs change places.
    All but time and cores come out the same again for the same seed.

    Example:
        heedful probe --encoders none,window,lstm --measure recall --steps 40
        heedful probe --encoders rnn,lstm,transformer --measure gradient --steps 0 --out gradient.png
        heedful probe --encoders gru,transformer:positions=none --measure order,time --json
    """
    from heedful.probe.encoders import Spec
    from heedful.probe.measures import check_names
    from heedful.probe.settings import Settings

    output = Output(json=json, quiet=quiet)
    each = train_lengths.strip() == "each"
    settings = Settings(
        **_lengths(lengths),
        train_lengths=(4,) if each else lists.whole_numbers("--train-lengths", train_lengths),
        each=each, length=length, steps=steps, tokens=tokens, learning_rate=learning_rate,
        width=width, symbols=symbols, examples=examples, seeds=seeds, seed=seed,
        threads=lists.threads(threads), batch=batch, seconds=seconds,
    )  # fmt: skip
    names = lists.parts(measure)
    check_names(names)
    specs = [Spec.parse(each) for each in lists.parts(encoders)]
    if not specs:
        raise OptionError(f"name an encoder: {ENCODERS}")
    _check_out(out, overwrite=overwrite)
    found = run(specs, names, settings, output)
    _finish(found, settings, out, output)


def _lengths(text: str | None) -> dict[str, tuple[int, ...]]:
    if text is None:
        return {}
    numbers = lists.whole_numbers("--lengths", text)
    return {"lengths": numbers, "timed_lengths": numbers}


def _check_out(out: Path | None, *, overwrite: bool) -> None:
    if out is not None:
        from heedful.bench.plot import check_format

        check_format(out)
        check_writable(out, overwrite=overwrite)


def run(
    specs: list[Spec], names: list[str], settings: Settings, output: Output
) -> dict[str, list[Curve]]:
    """Take the measures one after the other; show each when it is done."""
    from heedful.cli.progress import doing_bar
    from heedful.probe.cost import threads
    from heedful.probe.measures import MEASURES
    from heedful.probe.show import table
    from heedful.probe.workshop import Workshop

    shop = Workshop(settings)
    for spec in specs:
        shop.encoder(spec, settings.seed)  # what cannot be built is told before anything is trained
    found: dict[str, list[Curve]] = {}
    with doing_bar(output) as bar, threads(settings.threads):
        for name in names:
            task = bar.add_task(name, total=None, doing="")
            found[name] = []
            for curve in MEASURES[name].run(specs, shop):
                found[name].append(curve)
                bar.update(task, doing=f"{curve.encoder} {curve.variant}")
            bar.remove_task(task)
            if not output.json:
                output.console.print(f"{name}: {MEASURES[name].title}, by {MEASURES[name].axis}")
            output.table(table(found[name]))
            output.say()
    return found


def _finish(
    found: dict[str, list[Curve]], settings: Settings, out: Path | None, output: Output
) -> None:
    from heedful.bench.machine import describe

    curves = [curve for each in found.values() for curve in each]
    if out is not None:
        from heedful.probe.plot import draw

        draw(curves, out)
        output.say(f"written: {out}")
    output.result(
        {
            "machine": describe(),
            "settings": settings.to_dict(),
            "files": [] if out is None else [str(out)],
            "curves": [curve.to_dict() for curve in curves],
        }
    )
