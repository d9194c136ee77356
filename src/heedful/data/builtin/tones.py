"""The corpus `tones`: recordings of two to four tones of three pitches, with every kind of answer."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final, Literal

import numpy as np

from heedful.data.audio.clips import Clip, Recording, Recordings
from heedful.data.audio.fbank import Framing
from heedful.data.audio.files import resampled_length
from heedful.data.audio.segments import Segment, frame_labels
from heedful.data.builtin.corpus import BuiltinCorpus

PITCHES: Final = {"low": (300.0, 400.0), "middle": (700.0, 900.0), "high": (1500.0, 1900.0)}
"""Name -> range of its frequency, in Hz."""

DESCRIPTION: Final = (
    "Recordings of half a second to two seconds: two to four tones, low, middle or high, of 80 to 250 ms with pauses "
    "and noise. The label says whether the last tone is higher (rising), lower (falling) or the same (level) as the "
    "first, the number is the seconds of all tones, each frame is labelled with its tone or none, and the transcript "
    "names the tones in order."
)

AudioKind = Literal["label", "number", "frames", "text", "none"]


@dataclass(frozen=True)
class Tones:
    """One recording: what is played, before it is."""

    segments: tuple[Segment, ...]
    frequencies: tuple[float, ...]
    seconds: float
    seed: int

    def clip(self, framing: Framing) -> Clip:
        """Play the tones at the rate of the frames."""
        rate = framing.rate
        rng = np.random.default_rng(self.seed)
        samples = rng.normal(0, 0.003, resampled_length(round(self.seconds * 1000), 1000, rate))
        for segment, frequency in zip(self.segments, self.frequencies, strict=True):
            begin, end = round(segment.begin * rate), round(segment.end * rate)
            phase = 2 * np.pi * frequency * np.arange(end - begin) / rate
            # Fades of 5 ms, so that a tone does not begin with a click.
            fade = np.minimum(
                1, np.minimum(np.arange(end - begin), np.arange(end - begin)[::-1]) / (0.005 * rate)
            )
            samples[begin:end] += 0.2 * fade * np.sin(phase)
        return Clip.of(samples, rate, framing, f"tones-{self.seed}")

    def answer(self, kind: AudioKind, clip: Clip) -> Any:
        """Return the answer of one kind."""
        names = [each.label for each in self.segments]
        if kind == "label":
            order = list(PITCHES)
            step = order.index(names[-1]) - order.index(names[0])
            return ("level" if not step else "rising" if step > 0 else "falling",)
        if kind == "number":
            return (f"{sum(each.end - each.begin for each in self.segments):.3f}",)
        if kind == "frames":
            return frame_labels(clip.framing, clip.frames, self.segments)
        return " ".join(names) if kind == "text" else ()


@dataclass(frozen=True)
class AudioCorpus(BuiltinCorpus[tuple[Tones, ...]]):
    """Generated recordings with every kind of answer."""

    def recordings(
        self, part: Literal["train", "valid", "test"], kind: AudioKind, framing: Framing
    ) -> Recordings:
        """Return one part with the answers of one kind."""
        rows = []
        for each in self.part(part):
            clip = each.clip(framing)
            rows.append(Recording(clip, each.answer(kind, clip)))
        return Recordings(rows, f"builtin:tones, {part}")


def build(
    seed: int = 0, *, train_size: int = 400, valid_size: int = 100, test_size: int = 200
) -> AudioCorpus:
    """Generate the corpus, deterministically.

    >>> corpus = build(train_size=1, valid_size=1, test_size=1)
    >>> corpus.recordings("train", "text", Framing()).answers
    ['middle low high high']
    """
    rng = np.random.default_rng(seed)
    train, valid, test = (
        tuple(_tones(rng) for _ in range(size)) for size in (train_size, valid_size, test_size)
    )
    return AudioCorpus(train, valid, test, DESCRIPTION)


def _tones(rng: np.random.Generator) -> Tones:
    names = list(PITCHES)
    segments, frequencies, at = [], [], 0.1
    for _ in range(int(rng.integers(2, 5))):
        name, length = names[int(rng.integers(3))], float(rng.uniform(0.08, 0.25))
        segments.append(Segment(round(at, 3), round(at + length, 3), name))
        frequencies.append(float(rng.uniform(*PITCHES[name])))
        at += length + float(rng.uniform(0.04, 0.12))
    return Tones(tuple(segments), tuple(frequencies), round(at + 0.1, 3), int(rng.integers(2**31)))
