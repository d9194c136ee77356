"""Strings of spoken digits, joined from recordings of single digits, deterministically.

The recordings are those of the Free Spoken Digit Dataset: files DIGIT_SPEAKER_TAKE.wav, in a folder or a zip file.
Takes 0 to 4 of each digit and speaker are the test part, as the data set says; takes 5 to 9 are for validation, and
the rest for training. No take is in two parts.
"""

from __future__ import annotations

import io
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from heedful.data.audio.clips import Clip, Recording, Recordings
from heedful.data.audio.fbank import Framing

Samples = NDArray[np.float32]

RATE: Final = 8000
WORDS: Final = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")
PARTS: Final = {"test": range(5), "valid": range(5, 10), "train": range(10, 1000)}
"""Part -> its takes."""
LONGEST_GAP: Final = 0.3
LONGEST_OVERLAP: Final = 0.04
"""Seconds between two digits, or of a cross-fade of one into the next."""
LEVELS: Final = 6.0
"""Each digit is louder or quieter by up to so many dB."""
NOISE: Final = 3e-4
"""Standard deviation of the noise that lies under a string, gaps included."""


@dataclass(frozen=True)
class Take:
    """A recording of one digit."""

    digit: int
    speaker: str
    number: int
    samples: Samples


def read_takes(path: Path) -> list[Take]:
    """Read all takes of a folder or zip file, in order of their names."""
    import soundfile

    if path.is_dir():
        files = {each.name: each.read_bytes() for each in path.glob("*.wav")}
        if not files and (archives := sorted(path.glob("*.zip"))):
            return read_takes(archives[0])
    else:
        with zipfile.ZipFile(path) as archive:
            names = [name for name in archive.namelist() if name.endswith(".wav")]
            files = {Path(name).name: archive.read(name) for name in names}
    if not files:
        raise SystemExit(f"{path} holds no recordings DIGIT_SPEAKER_TAKE.wav")
    takes = []
    for name in sorted(files):
        digit, speaker, number = Path(name).stem.split("_")
        samples, rate = soundfile.read(io.BytesIO(files[name]), dtype="float32")
        if rate != RATE:
            raise SystemExit(f"{name} has {rate} samples per second; wanted {RATE}")
        takes.append(Take(int(digit), speaker, int(number), samples))
    return takes


def of_part(takes: Sequence[Take], part: str) -> list[Take]:
    """Return the takes of one part."""
    return [take for take in takes if take.number in PARTS[part]]


def join(takes: Sequence[Take], rng: np.random.Generator) -> Samples:
    """Join takes with random levels, gaps and cross-fades, over noise.

    >>> tone = np.ones(800, np.float32)
    >>> rng = np.random.default_rng(0)
    >>> joined = join([Take(1, "a", 0, tone), Take(2, "a", 0, tone)], rng)
    >>> len(joined) > 1000, joined.dtype
    (True, dtype('float32'))
    """
    pieces, at, end = [], round(rng.uniform(0.02, 0.1) * RATE), 0
    for take in takes:
        overlap = max(0, end - at)
        gain = 10 ** (rng.uniform(-LEVELS, LEVELS) / 20)
        samples = (take.samples * gain).astype(np.float32)
        if overlap:
            ramp = np.linspace(0, 1, overlap, dtype=np.float32)
            samples[:overlap] *= ramp
            pieces[-1][1][-overlap:] *= 1 - ramp
        pieces.append((at, samples))
        end = at + len(samples)
        shortest = min(LONGEST_OVERLAP * RATE, len(samples) // 4)
        at = end + round(rng.uniform(-shortest, LONGEST_GAP * RATE))
    joined = rng.normal(0, NOISE, end + round(rng.uniform(0.02, 0.1) * RATE)).astype(np.float32)
    for start, samples in pieces:
        joined[start : start + len(samples)] += samples
    return joined


def make_strings(
    takes: Sequence[Take], count: int, *, shortest: int, longest: int, seed: int, name: str
) -> Recordings:
    """Return so many strings of `shortest` to `longest` digits, each of one speaker, with their words.

    The takes of a speaker are used equally often: they are shuffled, and shuffled again when all have been used.
    """
    rng = np.random.default_rng(seed)
    speakers = sorted({take.speaker for take in takes})
    own = {each: [take for take in takes if take.speaker == each] for each in speakers}
    left: dict[str, list[Take]] = {each: [] for each in speakers}
    rows = []
    for number in range(count):
        speaker = speakers[number % len(speakers)]
        chosen: list[Take] = []
        for _ in range(int(rng.integers(shortest, longest + 1))):
            if not left[speaker]:
                left[speaker] = [own[speaker][i] for i in rng.permutation(len(own[speaker]))]
            chosen.append(left[speaker].pop())
        label = f"{name}-{number}-{speaker}"
        clip = Clip.of(join(chosen, rng), RATE, Framing(rate=RATE), label)
        rows.append(Recording(clip, " ".join(WORDS[take.digit] for take in chosen)))
    return Recordings(rows, name)
