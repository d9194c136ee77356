"""Spoken digits and their speakers, on the Free Spoken Digit Dataset: accuracy over seeds, and speed of the features.

    python -m benchmarks.speech RECORDINGS [digits speakers unheard features cut pairs] [--seeds N] [--out FOLDER]
                                [--spoken words.csv] [--speakers NAME...] [--set JSON]

RECORDINGS is the folder of files named DIGIT_SPEAKER_TAKE.wav. Takes 0 to 4 are the official test. "digits" and
"speakers" train on takes 5 to 49, once a seed; "unheard" trains on all takes of all speakers but one and tests on that
one, each in turn, or those of --speakers. With --spoken "unheard", "cut" and "pairs" train also on the synthetic
recordings of a table that examples/spoken_words.py wrote. The configurations are those of examples/; nothing is chosen
by the test.

Settings are chosen by the two parts that read no test, with --set for what is changed: "cut" trains digits on takes 10
to 49 and answers takes 5 to 9, whole and cut off at an end; "pairs" leaves two speakers out and answers both, so that
what is chosen for one of them by the other has seen neither.
"""

from __future__ import annotations

import argparse
import csv
import json
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Final

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
"""Those that are measured if none is named."""
PAIRS: Final = (
    ("george", "nicolas"),
    ("jackson", "lucas"),
    ("nicolas", "theo"),
)
"""Speakers that are left out together: each one once or more."""
CUTS: Final = {"end_20": (0.0, 0.2), "end_35": (0.0, 0.35), "start_15": (0.15, 0.0)}
"""Name -> shares that are cut off at the beginning and at the end, as some takes of the test are."""


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
    """One training and its tests."""

    name: str
    example: str
    """The configuration in examples/."""
    train: Sequence[Take]
    valid: Sequence[Take]
    tests: Mapping[str, Sequence[Take]]
    changes: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    """Section -> settings in place of the example's."""

    def accuracies(self, seed: int, out: Path) -> dict[str, float]:
        """Train with a seed and return the accuracy on each test."""
        out.mkdir(parents=True, exist_ok=True)
        settings = read_toml(ROOT / "examples" / self.example)
        for section, values in [*self.changes.items(), ("training", {"seed": seed})]:
            settings[section] = {**settings.get(section, {}), **values}
        data = settings.pop("data")
        model = heedful.train(
            "classify-audio",
            train=self._table("train", self.train, out),
            valid=self._table("valid", self.valid, out),
            out=out / f"{self.name}-{seed}",
            overwrite=True,
            data={key: value for key, value in data.items() if key not in ("train", "valid")},
            **settings,
        )
        return {
            name: model.evaluate(self._table(f"test-{name}", rows, out)).accuracy
            for name, rows in self.tests.items()
        }

    def _table(self, part: str, rows: Sequence[Take], out: Path) -> str:
        return write_table(out / f"{self.name}-{part}.csv", rows)


def official(name: str, rows: Sequence[Take]) -> Trial:
    """Train on takes 5 to 49, of which 5 to 9 are also the validation: all takes are used, and none chooses."""
    train = [each for each in rows if each.number not in TEST_TAKES]
    valid = [each for each in train if each.number in VALID_TAKES]
    test = [each for each in rows if each.number in TEST_TAKES]
    return Trial(name, f"fsdd_{name}.toml", train, valid, {name: test})


def unheard(speakers: Sequence[str], rows: Sequence[Take], synthetic: Sequence[Take]) -> Trial:
    """Train on all other speakers, of whose takes 5 to 9 are the validation, and on synthetic recordings."""
    others = [each for each in rows if each.speaker not in speakers]
    return Trial(
        "-".join(["unheard", *speakers]),
        "fsdd_unheard.toml",
        [*others, *synthetic],
        [each for each in others if each.number in VALID_TAKES],
        {name: [each for each in rows if each.speaker == name] for name in speakers},
    )


def cut_off(rows: Sequence[Take], synthetic: Sequence[Take], out: Path) -> Trial:
    """Train digits on takes 10 to 49 and on synthetic recordings; answer takes 5 to 9, whole and cut off."""
    valid = [each for each in rows if each.number in VALID_TAKES]
    train = [each for each in rows if each.number not in (*TEST_TAKES, *VALID_TAKES)]
    tests = {name: shortened(valid, out / name, *shares) for name, shares in CUTS.items()}
    return Trial("cut", "fsdd_digits.toml", [*train, *synthetic], valid, {"whole": valid, **tests})


def shortened(rows: Sequence[Take], folder: Path, before: float, after: float) -> list[Take]:
    """Write recordings without shares of their beginning and end into a folder and return them."""
    import soundfile

    folder.mkdir(parents=True, exist_ok=True)
    made = []
    for each in rows:
        samples, rate = soundfile.read(each.path, dtype="int16")
        kept = samples[int(before * len(samples)) : len(samples) - int(after * len(samples))]
        soundfile.write(folder / each.path.name, kept, rate)
        made.append(replace(each, path=folder / each.path.name))
    return made


def trials(part: str, rows: Sequence[Take], options: argparse.Namespace) -> list[Trial]:
    """Return the trainings of a part."""
    synthetic = spoken(options.spoken) if options.spoken else []
    if part == "unheard":
        speakers = options.speakers or sorted({each.speaker for each in rows})
        return [unheard([speaker], rows, synthetic) for speaker in speakers]
    if part == "pairs":
        return [unheard(pair, rows, synthetic) for pair in PAIRS]
    if part == "cut":
        return [cut_off(rows, synthetic, options.out)]
    return [official(part, rows)]


Results = dict[str, dict[str, list[float]]]
"""Trial -> test -> the accuracy of each seed."""


def over_seeds(
    wanted: Sequence[Trial], seeds: int, out: Path, say: Callable[[str], None]
) -> Results:
    """Return the accuracies of all trainings with each seed: first all with the first seed."""
    results: Results = {trial.name: {name: [] for name in trial.tests} for trial in wanted}
    for seed in range(seeds):
        for trial in wanted:
            began = time.process_time()
            found = trial.accuracies(seed, out)
            for name, accuracy in found.items():
                results[trial.name][name].append(accuracy)
            shown = ", ".join(f"{name} {value:.4f}" for name, value in found.items())
            spent = time.process_time() - began
            say(f"{trial.name}, seed {seed}: {shown}; {spent:.0f} s of one core")
        means = [statistics.mean(each) for tests in results.values() for each in tests.values()]
        say(
            f"after {seed + 1} seeds: mean {statistics.mean(means):.4f}, worst test {min(means):.4f}"
        )
    return results


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
    parser.add_argument("--set", type=json.loads, default={}, metavar="JSON")
    options = parser.parse_args()
    rows = takes(options.recordings)

    def say(line: str) -> None:
        print(line, flush=True)

    results: dict[str, Results] = {}
    for part in options.parts:
        if part == "features":
            say(f"features: {feature_speed(rows):.0f} times real time on one core")
            continue
        wanted = [replace(each, changes=options.set) for each in trials(part, rows, options)]
        results[part] = over_seeds(wanted, options.seeds, options.out, say)
    say(json.dumps(results))


if __name__ == "__main__":
    main()
