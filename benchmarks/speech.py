"""Spoken digits and their speakers, on the Free Spoken Digit Dataset: accuracy over seeds, and speed of the features.

    python -m benchmarks.speech RECORDINGS [digits speakers unheard features] [--seeds N] [--out FOLDER]
                                [--spoken words.csv] [--speakers NAME...]

RECORDINGS is the folder of files named DIGIT_SPEAKER_TAKE.wav. Takes 0 to 4 are the official test. "digits" and
"speakers" train on takes 5 to 49, once a seed; "unheard" trains on all takes of all speakers but one and tests on that
one, each in turn, or those of --speakers; with --spoken also on the synthetic recordings of a table that
examples/spoken_words.py wrote. The configurations are those of examples/; nothing is chosen by the test.
"""

from __future__ import annotations

import argparse
import csv
import json
import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import torch

import heedful
from heedful.config import read_toml
from heedful.data.audio.clips import Recordings
from heedful.data.audio.columns import AudioColumns
from heedful.data.audio.fbank import Framing
from heedful.data.audio.tables import read_audio
from heedful.inputs.frames import features_of
from heedful.inputs.frames_config import FeaturesConfig

ROOT: Final = Path(__file__).resolve().parents[1]
TEST_TAKES, VALID_TAKES, SYNTHETIC = range(5), range(5, 10), -1
PARTS: Final = ("digits", "speakers", "unheard", "features")


@dataclass(frozen=True)
class Take:
    """A recording and what its name says."""

    path: Path
    digit: str
    speaker: str
    number: int


def takes(folder: Path) -> list[Take]:
    """Return the recordings of a folder, sorted by name."""
    found = []
    for path in sorted(folder.glob("*_*_*.wav")):
        digit, speaker, number = path.stem.split("_")
        found.append(Take(path, digit, speaker, int(number)))
    if not found:
        raise SystemExit(f"{folder}: no files named DIGIT_SPEAKER_TAKE.wav")
    return found


def spoken(table: Path) -> list[Take]:
    """Return the synthetic recordings of a table of examples/spoken_words.py."""
    with table.open(encoding="utf-8", newline="") as file:
        return [
            Take(table.parent / row["audio"], row["label"], row["voice"], SYNTHETIC)
            for row in csv.DictReader(file)
        ]


def write_table(path: Path, rows: Sequence[Take]) -> str:
    """Write a table of recordings and return its name."""
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["audio", "digit", "speaker"])
        writer.writerows([each.path.absolute(), each.digit, each.speaker] for each in rows)
    return str(path)


@dataclass(frozen=True)
class Trial:
    """One training and its test."""

    name: str
    example: str
    """The configuration in examples/."""
    train: Sequence[Take]
    valid: Sequence[Take]
    test: Sequence[Take]

    def accuracy(self, seed: int, out: Path) -> float:
        """Train with a seed and return the accuracy on the test."""
        out.mkdir(parents=True, exist_ok=True)
        settings = read_toml(ROOT / "examples" / self.example)
        settings["training"] = {**settings["training"], "seed": seed}
        data = settings.pop("data")
        tables = [
            write_table(out / f"{self.name}-{part}.csv", rows)
            for part, rows in (("train", self.train), ("valid", self.valid), ("test", self.test))
        ]
        model = heedful.train(
            "classify-audio",
            train=tables[0],
            valid=tables[1],
            out=out / f"{self.name}-{seed}",
            overwrite=True,
            data={key: value for key, value in data.items() if key not in ("train", "valid")},
            **settings,
        )
        found: float = model.evaluate(tables[2]).accuracy
        return found


def official(name: str, example: str, rows: Sequence[Take]) -> Trial:
    """Train on takes 5 to 49, of which 5 to 9 are also the validation: all takes are used, and none chooses."""
    train = [each for each in rows if each.number not in TEST_TAKES]
    valid = [each for each in train if each.number in VALID_TAKES]
    return Trial(name, example, train, valid, [e for e in rows if e.number in TEST_TAKES])


def unheard(speaker: str, rows: Sequence[Take], synthetic: Sequence[Take]) -> Trial:
    """Train on all other speakers, of whose takes 5 to 9 are the validation, and on synthetic recordings."""
    others = [each for each in rows if each.speaker != speaker]
    return Trial(
        f"unheard-{speaker}",
        "fsdd_unheard.toml",
        [*others, *synthetic],
        [each for each in others if each.number in VALID_TAKES],
        [each for each in rows if each.speaker == speaker],
    )


def over_seeds(trial: Trial, seeds: int, out: Path, say: Callable[[str], None]) -> list[float]:
    """Return the accuracy with each seed."""
    found = []
    for seed in range(seeds):
        began = time.process_time()
        found.append(trial.accuracy(seed, out))
        say(
            f"{trial.name}, seed {seed}: {found[-1]:.4f}, {time.process_time() - began:.0f} s of one core"
        )
    return found


def feature_speed(rows: Sequence[Take]) -> float:
    """Return seconds of recordings for each second of one core, reading included."""
    torch.set_num_threads(1)
    table: Recordings = read_audio(
        [str(each.path) for each in rows[:500]], AudioColumns(kind="none"), Framing(rate=8000)
    )
    options = FeaturesConfig().options()
    features_of(table.inputs[0], options)
    began = time.process_time()
    for clip in table.inputs:
        features_of(clip, options)
    return sum(clip.seconds for clip in table.inputs) / (time.process_time() - began)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.speech", description=__doc__)
    parser.add_argument("recordings", type=Path)
    parser.add_argument("parts", nargs="*", default=list(PARTS), metavar="PART")
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--out", type=Path, default=Path("runs/speech"))
    parser.add_argument("--spoken", type=Path, metavar="TABLE")
    parser.add_argument("--speakers", nargs="+", metavar="NAME")
    options = parser.parse_args()
    rows, results = takes(options.recordings), {}

    def say(line: str) -> None:
        print(line, flush=True)

    for part in options.parts:
        if part == "features":
            say(f"features: {feature_speed(rows):.0f} times real time on one core")
        elif part == "unheard":
            for speaker in options.speakers or sorted({each.speaker for each in rows}):
                trial = unheard(speaker, rows, spoken(options.spoken) if options.spoken else [])
                results[trial.name] = over_seeds(trial, options.seeds, options.out, say)
            means = [statistics.mean(found) for found in results.values() if found]
            say(f"unheard: mean {statistics.mean(means):.4f}, worst {min(means):.4f}")
        else:
            trial = official(part, f"fsdd_{part}.toml", rows)
            found = results[part] = over_seeds(trial, options.seeds, options.out, say)
            say(f"{part}: mean {statistics.mean(found):.4f}, {min(found):.4f} to {max(found):.4f}")
    say(json.dumps(results))


if __name__ == "__main__":
    main()
