"""Damaged data files that are read for training and predicting: `python -m
tests.attack.data_cases SEED COUNT FOLDER`."""

from __future__ import annotations

import contextlib
import gzip
import json
import os
import sys
from functools import partial
from pathlib import Path
from random import Random
from typing import Any

from heedful.data.files import iterate_lines
from heedful.data.lexicon import Lexicon, load_lexicons, load_rules, save_lexicons
from heedful.data.vectors import read_vectors
from heedful.data.vocabulary import Vocabulary
from heedful.errors import DataError
from heedful.tasks.readers.base import InputFile, OutputFormat
from heedful.tasks.table import TASKS
from tests.attack.isolated import Outcome, isolated
from tests.attack.mutations import GENERAL, change_json, lie_in_array
from tests.attack.samples import SAMPLES, Sample

VECTORS = "vectors"
LEXICON = "lexicon"
SUBWORDS = "vocabulary"
PLAIN = "plain text"
OTHERS = (VECTORS, LEXICON, SUBWORDS, PLAIN)
"""Files that are not the training data of a task."""


def read(sample: Sample) -> None:
    """Read damaged training data as a training does before its first step, then as a prediction."""
    task, config = TASKS[sample.task], sample.config()
    data = sample.read()
    with contextlib.suppress(DataError):
        task.check(config, data, data)
        predictor = task.learn(config, data)
        task.batches(predictor, data, training=True)
    stream_items(sample, config)


def stream_items(sample: Sample, config: Any, *, text: bool | None = None, file: str = "") -> None:
    """Read a file as `heedful predict` does and format every item with a made-up prediction."""
    reader, name = TASKS[sample.task].reader, file or next(iter(sample.files))
    lines = iterate_lines(name, config.data.encoding, max_line=config.data.max_line)
    source = InputFile(Path(name), name, lines if reader.reads_lines else iter(()))
    stream = reader.stream(
        source, config.data, OutputFormat(("new",), text=text, labels=("A", "B"))
    )
    for number, item in enumerate(stream.items(), start=1):
        stream.input(item)
        if stream.is_example(item):
            stream.to_json(item, number)
        stream.header()


def read_other(name: str) -> None:
    """Read a file of vectors, of lexicons, of subwords, or of plain text."""
    if name == VECTORS:
        read_vectors("file.txt", {"dog", "cat"}, others=5)
    elif name == LEXICON:
        load_lexicons(Path("file.txt"), ["words", "labels"])
        load_rules(Path("file.txt"))
    elif name == SUBWORDS:
        vocabulary = Vocabulary.load("file.txt")
        vocabulary.decode(vocabulary.encode("low newer").ids)
    else:
        for task in ("tag", "classify", "translate"):
            sample = next(each for each in SAMPLES.values() if each.task == task)
            text = None if task == "translate" else True
            stream_items(sample, sample.config(), text=text, file="file.txt")


def other_content(name: str, folder: Path) -> bytes:
    """Return the undamaged content of a file of `OTHERS`."""
    path = folder / "whole"
    path.unlink(missing_ok=True)
    if name == VECTORS:
        path.write_bytes(b"3 2\ndog 1.5 -2\ncat 0 1e-3\nNew York 3 4\n")
    elif name == LEXICON:
        save_lexicons(path, {"words": Lexicon(("a", "b")), "labels": Lexicon(("X", "Y"))})
    elif name == SUBWORDS:
        Vocabulary.train(["low lower lowest new newer"], size=30).save(path)
    else:
        path.write_bytes("Who is it?\n\nA man, in a hat.\n今天 下雨。\n".encode())
    return path.read_bytes()


def run_case(folder: Path, random: Random) -> tuple[str, Outcome]:
    """Damage a file, read it, and return what was done and what came of it."""
    folder.mkdir(exist_ok=True)
    for each in folder.iterdir():
        each.unlink()
    name = random.choice([*SAMPLES, *OTHERS])
    if name in OTHERS:
        (folder / "file.txt").write_bytes(other_content(name, folder))
        case = partial(read_other, name)
        path = folder / "file.txt"
    else:
        SAMPLES[name].write(folder)
        case = partial(read, SAMPLES[name])
        path = folder / random.choice(sorted(os.listdir(folder)))
    how = []
    for _ in range(random.choice((1, 1, 2))):
        special = {".npy": lie_in_array, ".jsonl": change_json}.get(path.suffix)
        mutation = random.choice([*GENERAL, *([special] * 12 if special else [])])
        path.write_bytes(mutation(path.read_bytes(), random))
        how.append(mutation.__name__)
    if random.random() < 0.1:
        path.write_bytes(gzip.compress(path.read_bytes())[: random.choice((None, None, -1, 20))])
        how.append("gzip")
    return f"{name}/{path.name}: {' '.join(how)}", isolated(case, folder)


def main_loop(seed: int, count: int, folder: Path) -> None:
    """Run cases and write each as a line of JSON."""
    folder.mkdir(parents=True, exist_ok=True)
    with contextlib.chdir(folder):  # what is imported and compiled is so before the first fork
        for name, sample in SAMPLES.items():
            sample.write(folder)
            read(sample)
            assert sample.read(), name
        for name in OTHERS:
            Path("file.txt").write_bytes(other_content(name, folder))
            read_other(name)
    for number in range(count):
        what, outcome = run_case(folder / "case", Random(f"{seed}.{number}"))
        sys.stdout.write(json.dumps([number, what, *outcome]) + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main_loop(int(sys.argv[1]), int(sys.argv[2]), Path(sys.argv[3]))
