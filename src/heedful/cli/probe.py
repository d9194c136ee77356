"""`heedful probe`: measure recall by distance, gradients, speed and order sensitivity of encoders."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from heedful.cli.option_values import check_threads, parse_positive_integers, split_commas
from heedful.cli.options import Json, Overwrite, Plot, Quiet
from heedful.cli.output import Output
from heedful.cli.output_files import check_writable
from heedful.errors import OptionError

if TYPE_CHECKING:
    from heedful.probe.encoders import Spec
    from heedful.probe.results import Curve
    from heedful.probe.settings import Settings

DEFAULT_ENCODERS = "none,window,rnn,lstm,gru,attention,transformer"
DEFAULT_MEASURES = "recall,gradient,time,cores,order"


def _count(help: str, minimum: int = 1) -> Any:
    return typer.Option(min=minimum, metavar="N", help=help)


def probe(
    encoders: Annotated[
        str,
        typer.Option(
            metavar="A,B,...",
            help="Encoders to probe, each with optional settings, as in transformer:positions=rotary:heads=8. "
            "Choices: {encoders}.",
        ),
    ] = DEFAULT_ENCODERS,
    measure: Annotated[
        str,
        typer.Option(
            metavar="A,B,...",
            help="What to measure: recall, copy, first (accuracy by distance), gradient, time, cores, order.",
        ),
    ] = DEFAULT_MEASURES,
    lengths: Annotated[
        str | None,
        typer.Option(
            metavar="A,B,...",
            help="Sequence lengths to test and time, in tokens.",
            show_default="8,16,...,128; for time 64,128,...,1024",
        ),
    ] = None,
    train_lengths: Annotated[
        str,
        typer.Option(
            metavar="A,B,...",
            help='Sequence lengths to train on, or "each": a separate model for each tested length.',
        ),
    ] = "8,16,32",
    length: Annotated[int, _count("Sequence length for gradient, cores and order.", 4)] = 64,
    steps: Annotated[int, _count("Training steps of each model.", 0)] = 150,
    tokens: Annotated[int, _count("Tokens per training step.")] = 1024,
    learning_rate: Annotated[
        float, typer.Option(min=0.0, metavar="X", help="Peak learning rate.")
    ] = 3e-3,
    width: Annotated[int, _count("State size of every encoder.")] = 32,
    inputs: Annotated[
        str,
        typer.Option(
            metavar="KIND",
            help="What stands for a token: tokens (an embedding), tones (a log-mel frame of sound, with noise) or "
            "patches (stripes of 8 by 8 pixels, with noise).",
        ),
    ] = "tokens",
    symbols: Annotated[int, _count("Number of symbols to remember.", 2)] = 8,
    examples: Annotated[int, _count("Test sequences per length.")] = 200,
    seeds: Annotated[int, _count("Models per encoder; the table then shows the spread.")] = 1,
    seed: Annotated[int, typer.Option(metavar="N", help="First random seed.")] = 0,
    threads: Annotated[int, _count("CPU threads; cores tries all counts.")] = 1,
    batch: Annotated[int, _count("Batch size for time and cores.")] = 1,
    seconds: Annotated[
        float, typer.Option(min=0.01, metavar="S", help="Time per timed length.")
    ] = 0.5,
    out: Plot = None,
    overwrite: Overwrite = False,
    json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Probe encoders: recall, gradients, speed, order sensitivity.

    recall: name the one symbol in a sequence of noise. copy: repeat the first half of a sequence. first: name which
    of two symbols came first. gradient: norm of d state / d input by distance, before and after training. time:
    seconds by length. cores: speedup by CPU threads. order: change of the states when inputs are permuted. Every
    model trains for the same number of steps. All measures but time and cores are reproducible for a given seed.

    Example:
        heedful probe --encoders none,window,lstm --measure recall --steps 40
        heedful probe --encoders rnn,lstm,transformer --measure gradient --steps 0 --out gradient.png
        heedful probe --encoders gru,transformer:positions=none --measure order,time --json
        heedful probe --encoders lstm,transformer --measure recall --inputs tones --steps 40
    """
    from heedful.probe.encoders import Spec
    from heedful.probe.measures import check_names
    from heedful.probe.settings import Settings

    output = Output(json=json, quiet=quiet)
    each = train_lengths.strip() == "each"
    settings = Settings(
        **_lengths(lengths),
        train_lengths=(4,) if each else parse_positive_integers("--train-lengths", train_lengths),
        each=each, length=length, steps=steps, tokens=tokens, learning_rate=learning_rate,
        width=width, inputs=inputs, symbols=symbols, examples=examples, seeds=seeds, seed=seed,
        threads=check_threads(threads), batch=batch, seconds=seconds,
    )  # fmt: skip
    names = split_commas(measure)
    check_names(names)
    specs = [Spec.parse(each) for each in split_commas(encoders)]
    if not specs:
        raise OptionError(f"name an encoder: {DEFAULT_ENCODERS}")
    _check_out(out, overwrite=overwrite)
    curves = run_measures(specs, names, settings, output)
    _report(curves, settings, out, output)


def _lengths(text: str | None) -> dict[str, tuple[int, ...]]:
    if text is None:
        return {}
    numbers = parse_positive_integers("--lengths", text)
    return {"lengths": numbers, "timed_lengths": numbers}


def _check_out(out: Path | None, *, overwrite: bool) -> None:
    if out is not None:
        from heedful.plots import check_format

        check_format(out)
        check_writable(out, overwrite=overwrite)


def run_measures(
    specs: list[Spec], names: list[str], settings: Settings, output: Output
) -> dict[str, list[Curve]]:
    """Run the measures one after the other, show each when it is done, and return name -> curves."""
    from heedful.cli.progress import status_bar
    from heedful.probe.cost import threads
    from heedful.probe.measures import MEASURES
    from heedful.probe.show import table
    from heedful.probe.workshop import Workshop

    models = Workshop(settings)
    for spec in specs:
        models.encoder(spec, settings.seed)  # reports invalid settings before any training
    curves: dict[str, list[Curve]] = {}
    with status_bar(output) as bar, threads(settings.threads):
        for name in names:
            task = bar.add_task(name, total=None, status="")
            curves[name] = []
            for curve in MEASURES[name].run(specs, models):
                curves[name].append(curve)
                bar.update(task, status=f"{curve.encoder} {curve.variant}")
            bar.remove_task(task)
            if not output.json:
                output.console.print(f"{name}: {MEASURES[name].title}, by {MEASURES[name].axis}")
            output.table(table(curves[name]))
            output.say()
    return curves


def _report(
    by_measure: dict[str, list[Curve]], settings: Settings, out: Path | None, output: Output
) -> None:
    from heedful.bench.machine import describe

    curves = [curve for group in by_measure.values() for curve in group]
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
