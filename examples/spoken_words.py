"""Recordings of words, spoken by every speech synthesizer and voice that is installed.

    apt-get install espeak-ng flite            # and, for voices with accents: mbrola mbrola-us1 mbrola-de4 ...
    python examples/spoken_words.py zero=0 one=1 two=2 --out spoken

A recognizer of words that has heard only some people learns from it what else the words may sound like. Each word is
spoken several times by each voice, at random speeds and pitches. `--out` holds the recordings and words.csv, with the
columns audio, label and voice; `zero=0` gives recordings of "zero" the label 0.

Synthesizers: espeak-ng with its variants and with MBROLA's voices that speak English, flite, and SVOX Pico. Those that
are not installed are left out.
"""

from __future__ import annotations

import argparse
import csv
import random
import shutil
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

ACCENTS: Final = [
    "en-us",
    "en-gb",
    "en-us-nyc",
    "en-gb-scotland",
    "en-gb-x-rp",
    "en-029",
    "en-gb-x-gbclan",
    "en-gb-x-gbcwmd",
]
NOT_PEOPLE: Final = ("robo", "demonic", "whisper", "croak", "fast", "announcer", "mr")
NO_WORDS: Final = ("awb_time", "kal")
"""Voices of flite that only tell the time, or are a coarser form of another."""


@dataclass(frozen=True)
class Voice:
    """A voice and how it says a word."""

    name: str
    times: int
    """How often it says each word."""
    command: Callable[[str, Path, random.Random], list[str]]
    """The command that says a word into a file, at a random speed and pitch."""


def espeak(voice: str, text: str, path: Path, rng: random.Random) -> list[str]:
    """The command of espeak-ng: words a minute, and pitch of 100."""
    speed, pitch = rng.randint(95, 190), rng.randint(25, 75)
    return ["espeak-ng", "-v", voice, "-s", str(speed), "-p", str(pitch), "-w", str(path), text]


def flite(voice: str, text: str, path: Path, rng: random.Random) -> list[str]:
    """The command of flite: how long a sound is, and the pitch in Hz."""
    length, pitch = rng.uniform(0.7, 1.4), rng.uniform(80, 200)
    set_length, set_pitch = f"duration_stretch={length:.2f}", f"int_f0_target_mean={pitch:.0f}"
    return [
        *("flite", "-voice", voice, "--setf", set_length, "--setf", set_pitch),
        *("-t", text, "-o", str(path)),
    ]


def pico(language: str, text: str, path: Path, rng: random.Random) -> list[str]:
    """The command of SVOX Pico: speed and pitch in per cent."""
    speed, pitch = rng.randint(70, 140), rng.randint(80, 125)
    marked = f'<speed level="{speed}"><pitch level="{pitch}">{text}</pitch></speed>'
    return ["pico2wave", "-l", language, "-w", str(path), marked]


def lines_of(*command: str) -> list[str]:
    """Return the lines that a command prints."""
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return done.stdout.splitlines()


def voices() -> Iterator[Voice]:
    """Yield what is installed."""
    if shutil.which("espeak-ng"):
        names = [line.split()[4] for line in lines_of("espeak-ng", "--voices=variant")[1:]]
        people = [
            Path(name).name
            for name in names
            if not any(word in name.lower() for word in NOT_PEOPLE)
        ]
        for number, name in enumerate(sorted(people)):
            accent = ACCENTS[number % len(ACCENTS)]
            yield Voice(f"espeak-{name}", 2, bind(espeak, f"{accent}+{name}"))
        if shutil.which("mbrola"):
            for line in lines_of("espeak-ng", "--voices=en")[1:]:
                file = next(word for word in line.split() if "/" in word and "--/" not in word)
                if file.startswith("mb/") and mbrola_database(file).exists():
                    yield Voice(Path(file).name, 6, bind(espeak, Path(file).name))
    if shutil.which("flite"):
        for name in lines_of("flite", "-lv")[0].split(":")[1].split():
            if name in NO_WORDS:
                continue
            yield Voice(f"flite-{name}", 5, bind(flite, name))
    if shutil.which("pico2wave"):
        for language in ("en-US", "en-GB"):
            yield Voice(f"pico-{language}", 5, bind(pico, language))


def mbrola_database(file: str) -> Path:
    """The sounds that espeak-ng's mb/mb-de4-en reads: the voice de4."""
    name = Path(file).name.removeprefix("mb-").removesuffix("-en")
    return Path("/usr/share/mbrola", name)


def bind(
    program: Callable[[str, str, Path, random.Random], list[str]], voice: str
) -> Callable[[str, Path, random.Random], list[str]]:
    """Return the command of one voice."""
    return lambda text, path, rng: program(voice, text, path, rng)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("words", nargs="+", metavar="WORD[=LABEL]")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    found = list(voices())
    if not found:
        raise SystemExit(
            "no speech synthesizer is installed; one of them: apt-get install espeak-ng (or flite, libttspico-utils)"
        )
    options.out.mkdir(parents=True, exist_ok=True)
    rng, rows = random.Random(options.seed), []
    for voice in found:
        for time in range(voice.times):
            for word in options.words:
                text, _, label = word.partition("=")
                path = options.out / f"{text}_{voice.name}_{time}.wav"
                subprocess.run(voice.command(text, path, rng), capture_output=True, check=True)
                rows.append([path.name, label or text, voice.name])
    with (options.out / "words.csv").open("w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows([["audio", "label", "voice"], *rows])
    print(f"{len(rows)} recordings by {len(found)} voices: {options.out / 'words.csv'}")


if __name__ == "__main__":
    main()
