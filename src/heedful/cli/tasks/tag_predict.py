"""`heedful predict` for taggers: the file that was read, with other labels."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from pathlib import Path

from heedful.cli.labelled import labelled_file
from heedful.cli.lines import STANDARD_INPUT, as_they_come, count_lines, standard_input
from heedful.cli.output import Output, duration, write_json
from heedful.cli.progress import watched
from heedful.cli.tasks.base import PredictOptions, refuse_others
from heedful.data.label_base import LabelFormat, Sentence
from heedful.data.labelled import iterate_sentences
from heedful.tasks.tagging import Tagger


def predict(run: Path, options: PredictOptions, output: Output) -> None:
    """Label sentences, in order, as they come, and write them in the format that they came in."""
    refuse_others(options, "tag", ["file"])
    config = Tagger.load_config(run)
    reading = labelled_file(config.data)
    if options.file == STANDARD_INPUT:
        # standard input has no name: it is taken for what the model was trained on
        form = reading.reader(config.data.train[0] if config.data.train else "input.conllu")
        sentences = form.read(Path("standard input"), standard_input())
    else:
        count_lines(options.file)
        form = reading.reader(options.file)
        sentences = iterate_sentences(options.file, reading)
    tagger = Tagger.load(run)
    began, number, tokens = time.monotonic(), 0, 0
    # a bar would be torn by lines that go to the same screen
    bar = Output(json=output.json, quiet=output.quiet or sys.stdout.isatty(), data=True)
    found = watched(_labelled(tagger, sentences), None, bar, unit="sentences")
    for sentence, labels in found:
        if sentence.tokens:
            number, tokens = number + 1, tokens + len(labels)
        _write(form, sentence, labels, number, json=output.json)
    seconds = time.monotonic() - began
    speed = tokens / max(seconds, 1e-9)
    output.say(
        f"{number:,} sentences, {tokens:,} tokens in {duration(seconds)}: {speed:,.0f} tokens/s"
    )
    output.result({"sentences": number, "tokens": tokens, "seconds": seconds})


def _labelled(
    tagger: Tagger, sentences: Iterator[Sentence]
) -> Iterator[tuple[Sentence, list[str]]]:
    for group in as_they_come(sentences, tagger.config.prediction.chunk):
        yield from zip(group, tagger.tag(each.tokens for each in group), strict=True)


def _write(
    form: LabelFormat, sentence: Sentence, labels: list[str], number: int, *, json: bool
) -> None:
    if json:
        if sentence.tokens:
            write_json({"sentence": number, "tokens": sentence.tokens, "labels": labels})
        return
    # UTF-8 whatever the terminal says: this is data, as the input is
    sys.stdout.buffer.write(form.write(sentence, labels).encode())
    sys.stdout.buffer.flush()
