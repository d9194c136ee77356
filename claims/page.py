"""Write the tables of docs/claims.md and its plots from results/*.json."""

from __future__ import annotations

import contextlib
import json
import re
import statistics
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

from claims.common import RESULTS
from heedful.plots import (
    COLOURS,
    MARKERS,
    PANEL,
    ROW,
    Bar,
    Curve,
    draw_bars,
    draw_curves,
    house_style,
    label_curves,
    new_figure,
    save,
)
from heedful.probe.plot import draw
from heedful.probe.results import Curve as Measured
from heedful.probe.show import table as probe_table

ROOT = Path(__file__).resolve().parents[1]
PAGE = ROOT / "docs" / "claims.md"
IMAGES = ROOT / "docs" / "images"
Rows = list[list[str]]


def read(name: str) -> dict[str, Any]:
    """Read results/NAME.json."""
    text = (RESULTS / f"{name}.json").read_text(encoding="utf-8")
    if not text:  # a command is about to write it
        raise FileNotFoundError(name)
    values: dict[str, Any] = json.loads(text)
    return values


def curves(name: str, *measures: str) -> list[Measured]:
    """Read the curves that `heedful probe --json` wrote."""
    return [
        Measured(
            c["measure"], c["encoder"], c["variant"], c["seed"], tuple(map(tuple, c["points"]))
        )
        for c in read(name)["curves"]
        if not measures or c["measure"] in measures
    ]


def probed(name: str, measure: str) -> Rows:
    """The table of one measure of a `heedful probe`, without the "±" of a single seed."""
    return probe_table(curves(name, measure))


def spread(values: Iterable[float], form: str = ".3f") -> str:
    """Write mean and half of what the seeds spread over."""
    found = list(values)
    mean, half = statistics.fmean(found), (max(found) - min(found)) / 2
    return f"{mean:{form}} ±{half:{form}}" if len(found) > 1 else f"{mean:{form}}"


def grouped(
    runs: Sequence[dict[str, Any]], *keys: str
) -> dict[tuple[Any, ...], list[dict[str, Any]]]:
    """Runs that differ in their seed alone, together."""
    found: dict[tuple[Any, ...], list[dict[str, Any]]] = {}
    for run in runs:
        found.setdefault(tuple(run[key] for key in keys), []).append(run)
    return found


SAW_BINS = ((1, 1), (2, 2), (3, 5), (6, 8), (9, 12), (13, 16))


def _binned(accuracy: dict[str, float], words: dict[str, int], low: int, high: int) -> float:
    """Accuracy over a range of distances, by how many words there are at each."""
    inside = [d for d in accuracy if low <= int(d) <= high]
    return sum(accuracy[d] * words[d] for d in inside) / sum(words[d] for d in inside)


def saw() -> Rows:
    """Accuracy by distance of the deciding word."""
    told = read("saw")
    head = [f"{low}" if low == high else f"{low}–{high}" for low, high in SAW_BINS]
    rows = [["encoder", "parameters", *head]]
    for (name,), runs in grouped(told["runs"], "encoder").items():
        cells = [
            spread(_binned(run["accuracy"], told["words"], *bounds) for run in runs)
            for bounds in SAW_BINS
        ]
        rows.append([name, f"{runs[0]['parameters']:,}", *cells])
    return rows


def by_length() -> Rows:
    """BLEU by source length on numbers."""
    runs = read("by_length")["runs"]
    groups = [(g["shortest"], g["longest"]) for g in runs[0]["by_length"]]
    head = [f"{low}" if low == high else f"{low}–{high}" for low, high in groups]
    rows = [["model", "parameters", *(f"{each} words" for each in head), "all"]]
    for (name,), own in grouped(runs, "model").items():
        cells = [
            spread((run["by_length"][place]["bleu"] for run in own), ".1f")
            for place in range(len(head))
        ]
        rows.append(
            [name, f"{own[0]['parameters']:,}", *cells, spread((r["bleu"] for r in own), ".1f")]
        )
    return rows


def heads() -> Rows:
    """Accuracy and diversity by the number of heads."""
    runs = read("heads")["runs"]
    epochs = sorted({run["epochs"] for run in runs})
    rows = [
        ["heads", "parameters", *(f"accuracy, {e} epochs" for e in epochs), "diversity, bits",
         "best head on the deciding word"]
    ]  # fmt: skip
    for (count,), own in grouped(runs, "heads").items():
        last = [run for run in own if run["epochs"] == epochs[-1]]
        cells = [spread(r["accuracy"] for r in own if r["epochs"] == e) for e in epochs]
        rows.append(
            [str(count), f"{own[0]['parameters']:,}", *cells,
             spread(r["diversity"] for r in last) if count > 1 else "–",
             spread(r["best_head_on_the_deciding_word"] for r in last)]
        )  # fmt: skip
    return rows


def scores() -> Rows:
    """Accuracy of each score and normalizer."""
    rows = [["variant", "parameters", "accuracy", "best head on the deciding word"]]
    for (name,), own in grouped(read("scores")["runs"], "variant").items():
        rows.append(
            [name, f"{own[0]['parameters']:,}", spread(r["accuracy"] for r in own),
             spread(r["best_head_on_the_deciding_word"] for r in own)]
        )  # fmt: skip
    return rows


def scaling() -> Rows:
    """What scaling does by dimension."""
    rows = [
        ["dimension", "dot: entropy", "scaled: entropy", "dot: derivative", "scaled: derivative"]
    ]
    for each in read("scores")["scaling"]:
        cells = [
            f"{each[f'{score} {what}']:.3f}"
            for what in ("entropy", "derivative")
            for score in ("dot", "scaled_dot")
        ]
        rows.append([str(each["dimension"]), *cells])
    return rows


def _by_layer(own: Sequence[dict[str, Any]], means: str = "mean_of_heads") -> str:
    layers = range(len(own[0][means]))
    return "; ".join(spread(run[means][layer] for run in own) for layer in layers)


def _each_head(own: Sequence[dict[str, Any]]) -> str:
    """Every head by layer, of the first seed: heads of two trainings are not the same ones."""
    heads = own[0]["heads"]
    if all(len(layer) == 1 for layer in heads):
        return "–"
    return "; ".join(" ".join(f"{rate:.3f}" for rate in layer) for layer in heads)


def alignment() -> Rows:
    """AER on dates, by score, layer and head."""
    rows = [
        ["model", "exact match", "AER, mean of heads, by layer", "AER of each head, by layer, first seed"]
    ]  # fmt: skip
    for (name,), own in grouped(read("alignment")["runs"], "model").items():
        match = spread(run["exact_match"] for run in own)
        rows.append([name, match, _by_layer(own), _each_head(own)])
    return rows


HOW = {"plain": "as they are", "scaled": "weighed down afterwards"}


def gold() -> Rows:
    """AER on gold word alignments by score, layer and head, with frequent words weighed down afterwards and without."""
    told = read("gold")
    rows = [["model", "weights", "AER, mean of heads, by layer", "AER of each head, by layer"]]
    rows.append(["the diagonal", "–", f"{told['diagonal']:.3f}", "–"])
    for run in told["runs"]:
        if run["setting"] == "nothing":
            rows += [
                [run["model"], how, _by_layer([run[key]], "mean"), _each_head([run[key]])]
                for key, how in HOW.items()
            ]
    return rows


LANGUAGES = {
    "enfr": "English-French",
    "zhen": "Chinese-English",
    "roen": "Romanian-English",
}


def guided() -> Rows:
    """AER of a Transformer whose attention learned the links of an aligner, beside one that did not."""
    rows = [
        ["links by people", "trained with", "BLEU", "AER, mean of heads, by layer", "AER of each head, by layer"]
    ]  # fmt: skip
    for name, told in read("guided").items():
        of = f"{LANGUAGES[name]}, {told['pairs']} pairs"
        rows.append([of, "nothing: the diagonal", "–", f"{told['diagonal']:.3f}", "–"])
        rows.append([of, "nothing: IBM Model 1, both ways", "–", f"{told['aligner']:.3f}", "–"])
        for run in told["runs"]:
            how = f"its links, weight {run['weight']:g}" if run["weight"] else "translations alone"
            bleu = "–" if run["bleu"] is None else f"{run['bleu']:.1f}"
            rows.append([of, how, bleu, _by_layer([run], "mean"), _each_head([run])])
    return rows


def gold_frequency() -> Rows:
    """BLEU, AER and where attention rests, by what is done about frequent words while training."""
    rows = [["model", "setting", "BLEU", "AER, best layer", "attention on frequent words"]]
    settings = grouped(read("gold")["runs"], "model")
    for (name,), own in settings.items():
        for run in own if len(own) > 1 else []:
            rows.append(
                [name, run["setting"], f"{run['bleu']:.1f}", f"{min(run['plain']['mean']):.3f}",
                 f"{run['on_frequent']:.3f}"]
            )  # fmt: skip
    return rows


def frequency() -> Rows:
    """Accuracy of classifiers and where their pooling rests, by what is done about frequent words."""
    found = grouped(read("frequency")["runs"], "setting", "encoder")
    encoders = list(dict.fromkeys(encoder for _, encoder in found))
    names = ("accuracy", "on_frequent")
    head = [
        f"{encoder}, {what}"
        for encoder in encoders
        for what in ("accuracy", "attention on frequent words")
    ]
    rows = [["setting", *head]]
    for setting in dict.fromkeys(setting for setting, _ in found):
        cells = [
            spread(run[name] for run in found[setting, encoder])
            for encoder in encoders
            for name in names
        ]
        rows.append([setting, *cells])
    return rows


def answers() -> Rows:
    """What the first word of an answer looks at, and what hiding words does to it."""
    rows = [
        ["model", "first word right", "answer right", "weight on the two words, by layer", "best head",
         "p(first word)", "two words hidden", "two others hidden", "the two most looked at hidden"]
    ]  # fmt: skip
    for (name,), own in grouped(read("answers")["runs"], "model").items():
        has_heads = "Transformer" in name
        hidden = ("whole", "opening", "others", "looked at")
        rows.append(
            [name, *(spread(run[key] for run in own) for key in ("first_word", "exact")),
             _by_layer(own, "mass"), spread(run["best_head"] for run in own) if has_heads else "–",
             *(spread(run["probability"][key] for run in own) for key in hidden)]
        )  # fmt: skip
    return rows


def speech() -> Rows:
    """Word error rates of recognizers of tones, and what they take to train."""
    rows = [["model", "parameters", "WER", "WER, four recordings joined", "training, CPU seconds"]]
    for (name,), own in grouped(read("speech")["runs"], "model").items():
        rows.append(
            [name, f"{own[0]['parameters']:,}",
             *(spread(run[key] for run in own) for key in ("wer", "wer_joined")),
             f"{statistics.fmean(run['training_seconds'] for run in own):.0f}"]
        )  # fmt: skip
    return rows


def _gain(numbers: Sequence[float]) -> str:
    """Head minus offset with its interval."""
    gain, low, high = numbers[6:9]
    return f"{gain:+.2f} [{low:+.2f}, {high:+.2f}]"


def _roles_by_gain() -> list[str]:
    """Roles by what the tagger of relations gains over the best offset, in the mean of its seeds."""
    runs = grouped(read("roles")["runs"], "column", "training")["deprel", "trained"]
    gains = {
        role: statistics.fmean(run["roles"][role][6] for run in runs) for role in runs[0]["roles"]
    }
    return sorted(gains, key=lambda role: -gains[role])


def roles() -> Rows:
    """What the best head of each tagger finds, beside the best offset, for each role."""
    found = grouped(read("roles")["runs"], "column", "training")
    rows = [
        ["role", "words", "best offset", "finds", "relations: head finds", "head − offset, first seed",
         "parts of speech: head finds", "head − offset, first seed", "untrained: head finds"]
    ]  # fmt: skip
    for role in _roles_by_gain():
        own = {key: [run["roles"][role] for run in runs] for key, runs in found.items()}
        trained = [own["deprel", "trained"], own["upos", "trained"]]
        numbers = trained[0][0]
        cells = [
            text
            for each in trained
            for text in (spread((run[3] for run in each), ".2f"), _gain(each[0]))
        ]
        untrained = spread((run[3] for run in own["deprel", "untrained"]), ".2f")
        rows.append(
            [role, f"{numbers[0]:,}", f"{numbers[4]:+}", f"{numbers[5]:.2f}", *cells, untrained]
        )
    return rows


def pronouns() -> Rows:
    """Where "it" looks, and what cutting it off from a noun does."""
    told = read("pronouns")
    rows = [["", 'tagger of what "it" stands for', "translator of captions"]]
    runs, other = told["runs"], told["translator"]
    accuracy = {name: spread(run["accuracy"][name] for run in runs) for name in ("cross", "fit")}
    rows.append(["right, tired / wide (cross)", accuracy["cross"], "–"])
    rows.append(["right, big / small (fit)", accuracy["fit"], "–"])
    for name, key in (
        ("sentences in which the best head has more on the right noun", "best_points"),
        ("its weight on the right noun", "weight_right"),
        ("its weight on the other noun", "weight_other"),
    ):
        rows.append([name, spread(run[key] for run in runs), f"{other[key]:.3f}"])
    looks = spread(run["looks_right"] for run in runs)
    rows.insert(
        3, ["sentences in which all heads together have more on the right noun", looks, "–"]
    )
    for layer in range(2):
        cells = [
            " / ".join(
                spread(run[key][layer] for run in group) for key in ("mean_right", "mean_other")
            )
            for group in (runs, [other])
        ]
        rows.append([f"layer {layer + 1}, mean of heads, right / other noun", *cells])
    for name in runs[0]["probability"]:
        what = "p(right noun)" if name == "nothing" else f'p(right noun), "it" {name}'
        rows.append([what, spread(run["probability"][name] for run in runs), "–"])
    rows.append(
        [
            "answer follows when the right noun is exchanged",
            spread(run["follows"] for run in runs),
            "–",
        ]
    )
    return rows


def slots() -> Rows:
    """Accuracy, memory and parameters of an LSTM and of attention."""
    rows = [["memory", "numbers held", "parameters", "of them K × K", "recall of 16 pairs"]]
    for (kind, size), own in grouped(read("slots")["runs"], "kind", "size").items():
        first = own[0]
        name = (
            f"LSTM, K = {size}" if kind == "LSTM" else f"attention, {size} slot{'s' * (size > 1)}"
        )
        recurrent = f"{first['recurrent']:,}" if first["recurrent"] else "–"
        rows.append(
            [name, f"{first['memory']:,}", f"{first['parameters']:,}", recurrent,
             spread(run["accuracy"] for run in own)]
        )  # fmt: skip
    return rows


TABLES: dict[str, Callable[[], Rows]] = {
    "saw": saw,
    "by_length": by_length,
    "memory": lambda: probed("memory", "recall"),
    "gradient": lambda: probed("memory", "gradient"),
    "memory_beyond": lambda: probed("memory_beyond", "recall"),
    "order": lambda: probed("positions", "order"),
    "first": lambda: probed("positions", "first"),
    "copy": lambda: probed("positions", "copy"),
    "time": lambda: probed("time", "time"),
    "cores": lambda: probed("cores", "cores"),
    "heads": heads,
    "scores": scores,
    "scaling": scaling,
    "alignment": alignment,
    "gold": gold,
    "gold_frequency": gold_frequency,
    "guided": guided,
    "frequency": frequency,
    "answers": answers,
    "speech": speech,
    "window": lambda: probed("window", "recall"),
    "window_time": lambda: probed("window_time", "time"),
    "roles": roles,
    "pronouns": pronouns,
    "slots": slots,
}
"""Name in `<!-- table: NAME -->` -> the rows that stand below it."""

MARK = re.compile(r"(<!-- table: (\w+) -->\n)(?:\|.*\n)*")


def markdown(rows: Rows) -> str:
    """Write rows as a table, the first being the header."""
    lines = [rows[0], ["---"] * len(rows[0]), *rows[1:]]
    return "".join("| " + " | ".join(line) + " |\n" for line in lines)


def filled(text: str) -> str:
    """Return the page with every table as the results say; one that was never run has none."""

    def table(found: re.Match[str]) -> str:
        try:
            return found[1] + markdown(TABLES[found[2]]())
        except FileNotFoundError:
            return found[1]

    return MARK.sub(table, text)


def _as_curves(
    name: str, points: Iterable[tuple[str, int, list[tuple[float, float]]]]
) -> list[Measured]:
    return [Measured(name, encoder, "", seed, tuple(p)) for encoder, seed, p in points]


def _bars(file: str, title: str, rows: Sequence[tuple[str, float, float, float]]) -> None:
    """Draw one bar a row: label, mean, lowest, highest."""
    bars = [
        Bar(name=name, value=mean, text=f"{mean:.3f}", low=low, high=high, strong=False)
        for name, mean, low, high in rows
    ]
    with house_style():
        figure, (axes,) = new_figure([ROW * len(bars) + 0.2], title)
        draw_bars(axes, bars)
        save(figure, IMAGES / file)


def _lines(
    file: str,
    title: str,
    axis: str,
    series: dict[str, list[tuple[float, list[float]]]],
    *,
    log: bool,
) -> None:
    """Draw one line a name: at each x the mean of the seeds, and a band of their spread."""
    drawn = [
        Curve(
            name=name,
            xs=[x for x, _ in points],
            ys=[statistics.fmean(values) for _, values in points],
            lows=[min(values) for _, values in points],
            highs=[max(values) for _, values in points],
            colour=COLOURS[number % len(COLOURS)],
            marker=MARKERS[number % len(MARKERS)],
        )
        for number, (name, points) in enumerate(series.items())
    ]
    with house_style():
        figure, (axes,) = new_figure([PANEL + 0.8], title)
        draw_curves(axes, drawn)
        if log:
            axes.set_xscale("log", base=2)
            places = sorted({x for points in series.values() for x, _ in points})
            axes.set_xticks(places, [f"{x:,.0f}" for x in places])
        axes.set_xlabel(axis)
        label_curves(figure, [(axes, drawn)])
        save(figure, IMAGES / file)


def _plot_saw() -> None:
    series = {
        name: [
            (float(d), [run["accuracy"][d] for run in runs]) for d in runs[0]["accuracy"]
        ]
        for (name,), runs in grouped(read("saw")["runs"], "encoder").items()
    }  # fmt: skip
    _lines(
        "claims_saw.svg", "accuracy on words of two labels", "distance of the word that decides",
        series, log=False,
    )  # fmt: skip


def _plot_by_length() -> None:
    series = {
        name: [
            ((g["shortest"] + g["longest"]) / 2, [run["by_length"][place]["bleu"] for run in runs])
            for place, g in enumerate(runs[0]["by_length"])
        ]
        for (name,), runs in grouped(read("by_length")["runs"], "model").items()
    }
    _lines(
        "claims_by_length.svg", "BLEU, numbers in words", "words of the source", series, log=False
    )


def _plot_heads() -> None:
    runs = read("heads")["runs"]
    epochs = sorted({run["epochs"] for run in runs})
    series: dict[str, list[tuple[float, list[float]]]] = {}
    for (count,), own in grouped(runs, "heads").items():
        for e in epochs:
            values = [r["accuracy"] for r in own if r["epochs"] == e]
            series.setdefault(f"accuracy, {e} epochs", []).append((float(count), values))
        last = [r for r in own if r["epochs"] == epochs[-1]]
        if count > 1:
            series.setdefault("diversity, bits", []).append(
                (float(count), [r["diversity"] for r in last])
            )
        series.setdefault("best head on the deciding word", []).append(
            (float(count), [r["best_head_on_the_deciding_word"] for r in last])
        )
    _lines("claims_heads.svg", "1 to 16 heads, 64 features in all", "heads", series, log=True)


def _plot_scores() -> None:
    rows = []
    for (name,), own in grouped(read("scores")["runs"], "variant").items():
        values = [run["accuracy"] for run in own]
        rows.append((name, statistics.fmean(values), min(values), max(values)))
    _bars("claims_scores.svg", "accuracy on words of two labels after 5 epochs", rows)


def _plot_alignment() -> None:
    rows = []
    for (name,), own in grouped(read("alignment")["runs"], "model").items():
        best = [min(run["mean_of_heads"]) for run in own]
        rows.append((name, statistics.fmean(best), min(best), max(best)))
    title = "alignment error rate on dates: best layer, mean of heads"
    _bars("claims_alignment.svg", title, rows)


def _plot_gold() -> None:
    told = read("gold")
    rows = [("the diagonal", told["diagonal"], told["diagonal"], told["diagonal"])]
    for run in told["runs"]:
        if run["setting"] == "nothing":
            for key, how in HOW.items():
                rates = [
                    *run[key]["mean"],
                    *(rate for layer in run[key]["heads"] for rate in layer),
                ]
                best = min(run[key]["mean"])
                rows.append((f"{run['model']}, {how}", best, min(rates), max(rates)))
    title = "AER on gold: best layer (bar), every head (line)"
    _bars("claims_gold.svg", title, rows)


def _plot_frequency() -> None:
    parts = []
    for (setting, encoder), own in grouped(read("frequency")["runs"], "setting", "encoder").items():
        parts.append((encoder, setting, own))
    rows = []
    for encoder, setting, own in sorted(parts, key=lambda part: part[0], reverse=True):
        values = [run["accuracy"] for run in own]
        rows.append((f"{encoder}, {setting}", statistics.fmean(values), min(values), max(values)))
    _bars("claims_frequency.svg", "accuracy on SST-2 by what is done about frequent words", rows)


def _plot_answers() -> None:
    rows = []
    for (name,), own in grouped(read("answers")["runs"], "model").items():
        for key, what in (
            ("whole", "nothing hidden"), ("others", "two others hidden"), ("opening", "the two words hidden")
        ):  # fmt: skip
            values = [run["probability"][key] for run in own]
            rows.append((f"{name}: {what}", statistics.fmean(values), min(values), max(values)))
    _bars("claims_answers.svg", "probability of the true first word of an answer", rows)


def _plot_speech() -> None:
    rows = []
    for (name,), own in grouped(read("speech")["runs"], "model").items():
        values = [run["wer_joined"] for run in own]
        rows.append((name, statistics.fmean(values), min(values), max(values)))
    _bars("claims_speech.svg", "word error rate, four recordings joined", rows)


def _plot_roles() -> None:
    found = grouped(read("roles")["runs"], "column", "training")["deprel", "trained"]
    bars = []
    for role in _roles_by_gain():
        own = [run["roles"][role] for run in found]
        shares = [numbers[3] for numbers in own]
        mean = statistics.fmean(shares)
        offset = f"{own[0][5]:.2f} at offset {own[0][4]:+}"
        bars.append(
            Bar(name=role, value=mean, text=f"{mean:.2f} ({offset})", low=min(shares), high=max(shares), strong=False)
        )  # fmt: skip
    with house_style():
        title = "what the best head of a tagger of relations finds (and the best offset)"
        figure, (axes,) = new_figure([ROW * len(bars) + 0.2], title)
        draw_bars(axes, bars)
        axes.set_xlim(0, 1.6)
        save(figure, IMAGES / "claims_roles.svg")


def _plot_pronouns() -> None:
    runs = read("pronouns")["runs"]
    rows = []
    for name in runs[0]["probability"]:
        values = [run["probability"][name] for run in runs]
        what = "nothing cut" if name == "nothing" else f'"it" {name}'
        rows.append((what, statistics.fmean(values), min(values), max(values)))
    for key, what in (("weight_right", "right"), ("weight_other", "other")):
        values = [run[key] for run in runs]
        name = f"weight of the best head on the {what} noun"
        rows.append((name, statistics.fmean(values), min(values), max(values)))
    _bars("claims_pronouns.svg", 'probability of the right noun, and where "it" looks', rows)


def _plot_slots() -> None:
    """Recall by memory and parameters by memory, one below the other."""
    drawn: list[list[Curve]] = [[], []]
    kinds: dict[str, list[list[dict[str, Any]]]] = {}
    for (kind, _), own in grouped(read("slots")["runs"], "kind", "size").items():
        kinds.setdefault(kind, []).append(own)
    for number, (kind, groups) in enumerate(kinds.items()):
        for panel, key in enumerate(("accuracy", "parameters")):
            values = [[run[key] for run in own] for own in groups]
            drawn[panel].append(
                Curve(
                    name=kind, xs=[own[0]["memory"] for own in groups],
                    ys=[statistics.fmean(each) for each in values],
                    lows=[min(each) for each in values], highs=[max(each) for each in values],
                    colour=COLOURS[number], marker=MARKERS[number],
                )
            )  # fmt: skip
    with house_style():
        figure, panels = new_figure([PANEL, PANEL], "more memory, no more parameters?")
        titles = ("recall of one of 16 pairs", "parameters")
        for axes, curves_, title in zip(panels, drawn, titles, strict=True):
            draw_curves(axes, curves_)
            axes.set_xscale("log", base=2)
            places = sorted({x for curve in curves_ for x in curve.xs})
            axes.set_xticks(places, [f"{x:,.0f}" for x in places])
            axes.set_title(title)
        panels[1].set_yscale("log")
        panels[1].set_xlabel("numbers held in memory")
        label_curves(figure, list(zip(panels, drawn, strict=True)))
        save(figure, IMAGES / "claims_slots.svg")


def _plot_probe(file: str, *parts: tuple[str, str]) -> Callable[[], None]:
    def plot() -> None:
        draw([curve for name, measure in parts for curve in curves(name, measure)], IMAGES / file)

    return plot


PLOTS: dict[str, Callable[[], None]] = {
    "claims_saw.svg": _plot_saw,
    "claims_by_length.svg": _plot_by_length,
    "claims_memory.svg": _plot_probe(
        "claims_memory.svg", ("memory", "recall"), ("memory", "gradient")
    ),
    "claims_positions.svg": _plot_probe(
        "claims_positions.svg", ("positions", "first"), ("positions", "copy")
    ),
    "claims_time.svg": _plot_probe("claims_time.svg", ("time", "time"), ("cores", "cores")),
    "claims_heads.svg": _plot_heads,
    "claims_scores.svg": _plot_scores,
    "claims_alignment.svg": _plot_alignment,
    "claims_gold.svg": _plot_gold,
    "claims_frequency.svg": _plot_frequency,
    "claims_answers.svg": _plot_answers,
    "claims_speech.svg": _plot_speech,
    "claims_window.svg": _plot_probe(
        "claims_window.svg", ("window", "recall"), ("window_time", "time")
    ),
    "claims_roles.svg": _plot_roles,
    "claims_pronouns.svg": _plot_pronouns,
    "claims_slots.svg": _plot_slots,
}
"""File in docs/images -> what draws it."""


def main() -> None:
    """Fill the page's tables and draw its plots."""
    for plot in PLOTS.values():
        with contextlib.suppress(FileNotFoundError):  # of claims that were not run yet
            plot()
    PAGE.write_text(filled(PAGE.read_text(encoding="utf-8")), encoding="utf-8")


if __name__ == "__main__":
    main()
