"""Recordings as an input: log-mel frames, normalized, perturbed in training, and sub-sampled by convolutions."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, NamedTuple, Self
from weakref import WeakKeyDictionary

import numpy as np
import torch
from torch import Tensor, nn

from heedful.data.audio.augment import (
    DECIBEL,
    SpecMasks,
    add_noise,
    crop,
    draw_masks,
    equalize,
    move_bands,
    stretch,
    stretched_length,
    tilt,
    warp,
)
from heedful.data.audio.cache import Features
from heedful.data.audio.clips import Clip, Voice
from heedful.data.audio.fbank import fbank, mel_centres
from heedful.data.audio.normalize import (
    VoiceStatistics,
    band_statistics,
    loud_part,
    normalize,
    normalize_sliding,
    raise_floor,
    speech,
)
from heedful.data.audio.spectrogram import Spectrogram
from heedful.data.standardize import Standardizer
from heedful.errors import DataError, OptionError, count
from heedful.inputs.base import EmbeddedInput
from heedful.inputs.frames_config import (
    FRAMES,
    AugmentConfig,
    FeaturesConfig,
    FrameInputsConfig,
)
from heedful.nn.dropout import Dropout
from heedful.nn.linear import Linear


class FramesBatch(NamedTuple):
    """Recordings as log-mel frames, right-padded with zeros."""

    values: Tensor
    """(batch, frames, bands), normalized."""
    lengths: Tensor
    """(batch,), long: frames of each."""


class EncodedFrames(NamedTuple):
    """One recording as the model reads it, before normalization."""

    values: Features
    """(frames, bands), log power."""
    masks: SpecMasks = SpecMasks()
    """What is hidden, after normalization."""
    first: int = 0
    """Frames that trimming cut off at the beginning."""
    voice: VoiceStatistics | None = None
    """Of the speaker, with the normalization "speaker"."""


class FrameFeatures(nn.Module):
    """Convolutions with ReLU over frames: a `FramesBatch` -> (batch, positions, width).

    `lengths` maps numbers of frames to numbers of positions: ⌈frames / stride⌉ for each convolution. Positions do not
    depend on padding.

    >>> features = FrameFeatures(FrameInputsConfig(width=8), bands=40)
    >>> batch = FramesBatch(torch.ones(2, 5, 40), torch.tensor([5, 2]))
    >>> features(batch).shape, features.lengths(batch.lengths).tolist()
    (torch.Size([2, 3, 8]), [3, 1])
    """

    def __init__(self, config: FrameInputsConfig, bands: int):
        super().__init__()
        self.width, self.strides = config.width, config.strides
        widths = (bands, *[config.width] * len(config.kernels))
        self.convolutions = nn.ModuleList(
            nn.Conv1d(width, config.width, kernel, stride, padding=kernel // 2)
            for width, kernel, stride in zip(widths, config.kernels, config.strides, strict=False)
        )
        self.map = None if config.kernels else Linear(bands, config.width)
        self.dropout = Dropout(config.dropout)

    def lengths(self, frames: Tensor) -> Tensor:
        """Return the number of positions of that many frames, (batch,)."""
        for stride in self.strides:
            frames = (frames + stride - 1) // stride
        return frames

    def forward(self, batch: FramesBatch) -> Tensor:
        values, lengths = batch.values, batch.lengths
        if self.map is not None:
            mapped: Tensor = self.dropout(self.map(values))
            return mapped
        values = values.transpose(1, 2)
        for convolution, stride in zip(self.convolutions, self.strides, strict=True):
            places = torch.arange(values.shape[2], device=values.device)
            values = values.masked_fill(places >= lengths[:, None, None], 0.0)
            values = convolution(values).relu()
            lengths = (lengths + stride - 1) // stride
        output: Tensor = self.dropout(values.transpose(1, 2))
        return output


@dataclass(frozen=True, eq=False)
class FramesInput(EmbeddedInput[Clip, EncodedFrames]):
    """Recordings as log-mel frames.

    Reads the sections features (`FeaturesConfig`), augment (`AugmentConfig`) and inputs (`FrameInputsConfig`).

    >>> from heedful.data.audio.fbank import Framing
    >>> frames = FramesInput(FeaturesConfig(), AugmentConfig(), FrameInputsConfig())
    >>> clip = Clip.of(np.random.default_rng(0).normal(size=8000), 8000, Framing(rate=8000))
    >>> [encoded] = frames.encode([clip])
    >>> frames.length(encoded), frames.collate([encoded]).values.shape, frames.positions(clip)[:2]
    (98, torch.Size([1, 98, 40]), ['0.01', '0.03'])
    """

    features: FeaturesConfig
    augment: AugmentConfig
    options: FrameInputsConfig
    rate: int = 16_000
    """Samples a second."""
    standardizer: Standardizer | None = None
    """Of the training frames, a band each, with the normalization "global"."""
    voices: WeakKeyDictionary[Voice, VoiceStatistics] = field(default_factory=WeakKeyDictionary)
    """The statistics of the speakers met, with the normalization "speaker"."""

    @classmethod
    def learn(cls, config: Any, examples: Sequence[Clip]) -> Self:
        inputs = cls(config.features, config.augment, config.inputs, config.data.rate)
        if config.features.normalize == "speaker" and not config.data.speaker:
            raise OptionError(
                'features.normalize = "speaker" needs the column of who speaks: set data.speaker, or normalize by '
                '"utterance".'
            )
        if config.features.normalize == "speaker" and not any(
            clip.voice is not None and clip.voice.name for clip in examples
        ):
            raise DataError(
                f"no training recording says who speaks: none has the column {config.data.speaker!r} (data.speaker); "
                'name another, or normalize by "utterance".'
            )
        if config.features.normalize != "global":
            return inputs
        return replace(
            inputs,
            standardizer=band_statistics(
                [
                    inputs._with_floor(torch.from_numpy(np.array(each.values))).numpy()
                    for each in inputs.encode(examples)
                ]
            ),
        )

    @classmethod
    def load(cls, config: Any, folder: Path) -> Self:
        inputs = cls(config.features, config.augment, config.inputs, config.data.rate)
        if config.features.normalize != "global":
            return inputs
        return replace(inputs, standardizer=Standardizer.load(folder / FRAMES)[0])

    def save(self, folder: Path) -> None:
        if self.standardizer is not None:
            self.standardizer.save(folder / FRAMES)

    def data_notices(self, examples: Sequence[Clip]) -> list[str]:
        """Say which recordings are resampled."""
        others = Counter(clip.rate for clip in examples if clip.rate != clip.framing.rate)
        return [
            f"{count(number, 'recording')} of {rate:,} Hz: resampled to {examples[0].framing.rate:,} Hz (--rate)"
            for rate, number in sorted(others.items())
        ]

    def encode(self, examples: Sequence[Clip]) -> list[EncodedFrames]:
        """Compute the features, or take those that the clips' cache holds.

        Raises: BadRecordingError for a recording that is damaged or gone.
        """
        encoded = [self._trimmed(values) for values in self._features(examples)]
        if self.features.normalize != "speaker":
            return encoded
        return [
            each._replace(voice=None if clip.voice is None else self._statistics(clip.voice, clip))
            for clip, each in zip(examples, encoded, strict=True)
        ]

    def _statistics(self, voice: Voice, clip: Clip) -> VoiceStatistics:
        """Return the statistics of the loud frames of a speaker, one of whose clips is `clip`."""
        if voice not in self.voices:
            clips = [replace(each, cache=clip.cache) for each in voice.clips]
            loud = [
                speech(self._with_floor(torch.from_numpy(np.array(self._trimmed(each).values))))
                for each in self._features(clips)
                if len(each)
            ]
            self.voices[voice] = VoiceStatistics.of([each.numpy() for each in loud])
        return self.voices[voice]

    def _features(self, examples: Sequence[Clip]) -> list[Features]:
        options = self.features.options()
        cache = examples[0].cache if examples else None
        if cache is None:
            return [features_of(clip, options) for clip in examples]
        keys = [f"{clip.fingerprint} {options}" for clip in examples]
        by_key = dict(zip(keys, examples, strict=True))

        def compute(missing: Sequence[str]) -> Iterator[Features]:
            return (features_of(by_key[key], options) for key in missing)

        return cache.get(keys, compute)

    def _trimmed(self, values: Features) -> EncodedFrames:
        if not self.features.trim or not len(values):
            return EncodedFrames(values)
        kept = loud_part(torch.from_numpy(np.array(values)), self.features.trim).numpy()
        return EncodedFrames(values[kept], first=int(kept.argmax()))

    def length(self, encoded: EncodedFrames) -> int:
        return len(encoded.values)

    def positions_left(self, encoded: EncodedFrames, *, training: bool) -> int:
        frames = len(encoded.values)
        if training:
            frames = stretched_length(frames, self.augment.tempo[1] * self.augment.speed[1])
        for stride in self.options.strides:
            frames = (frames + stride - 1) // stride
        return frames

    def augmentation(self) -> Callable[[EncodedFrames, np.random.Generator], EncodedFrames]:
        return self._augmented

    def _augmented(self, encoded: EncodedFrames, rng: np.random.Generator) -> EncodedFrames:
        """Return a random variant of a training example."""
        options, voice = self.augment, encoded.voice
        faster = 1.0 if options.speed == (1.0, 1.0) else rng.uniform(*options.speed)
        values = self._in_time(np.asarray(encoded.values), faster, rng)
        if voice is None:
            values = self._by_another_speaker(values, len(values), faster, rng)
        else:
            # Another voice or microphone is that of all recordings of the speaker, whose statistics move with it.
            both = np.concatenate([values, voice.frames])
            both = self._by_another_speaker(both, len(values), faster, rng)
            values, voice = both[: len(values)], voice.moved(both[len(values) :])
        if options.level:
            values = values + np.float32(rng.uniform(-options.level, options.level) * DECIBEL)
        frames, bands = values.shape
        longest = int(options.time_share * frames)
        masks = SpecMasks(
            draw_masks(rng, frames, options.time_masks, longest),
            draw_masks(rng, bands, options.band_masks, options.band_width),
        )
        return encoded._replace(values=values, masks=masks, voice=voice)

    def _in_time(self, values: Features, faster: float, rng: np.random.Generator) -> Features:
        """Return the frames of a recording that is cut off and spoken at another tempo."""
        options = self.augment
        if options.crop:
            values = crop(values, *rng.uniform(0, options.crop, 2))
        if options.tempo != (1.0, 1.0) or options.speed != (1.0, 1.0):
            values = stretch(values, faster * rng.uniform(*options.tempo))
        return values

    def _by_another_speaker(
        self, frames: Features, own: int, faster: float, rng: np.random.Generator
    ) -> Features:
        """Return frames as of another voice, microphone and background, whose level is that of the first `own`."""
        options = self.augment
        if options.speed != (1.0, 1.0):
            centres = mel_centres(self.features.options(), self.rate).numpy()
            frames = move_bands(frames, faster, centres)
        if options.warp:
            frames = warp(frames, 1 + rng.uniform(-options.warp, options.warp))
        if options.tilt:
            frames = tilt(frames, rng.uniform(-options.tilt, options.tilt))
        if options.equalizer:
            frames = equalize(frames, options.equalizer, rng)
        if options.noise and rng.random() < options.noise:
            frames = add_noise(frames, rng.uniform(*options.noise_ratio), rng, own)
        return frames

    def collate(self, encoded: Sequence[EncodedFrames]) -> FramesBatch:
        lengths = torch.tensor([len(each.values) for each in encoded])
        values = torch.zeros(len(encoded), int(lengths.max()), encoded[0].values.shape[1])
        for row, each in zip(values, encoded, strict=True):
            values_read = self.normalized(torch.from_numpy(np.array(each.values)), each.voice)
            row[: len(each.values)] = values_read
            for first, number in each.masks.frames:
                row[first : first + number] = 0
            for first, number in each.masks.bands:
                row[:, first : first + number] = 0
        return FramesBatch(values, lengths)

    def _with_floor(self, values: Tensor) -> Tensor:
        return raise_floor(values, self.features.floor) if self.features.floor else values

    def normalized(self, values: Tensor, voice: VoiceStatistics | None = None) -> Tensor:
        """Return the log-mel features of at least one frame, (frames, bands), as the model reads them.

        `voice` are the statistics of the speaker, with the normalization "speaker"; None: those of the recording.
        """
        values = self._with_floor(values)
        kind, variance = self.features.normalize, self.features.variance
        if kind == "none":
            return values
        if kind == "utterance":
            return normalize(values, variance=variance)
        if kind == "sliding":
            return normalize_sliding(values, self.features.sliding, variance=variance)
        if kind == "speaker" and voice is None:
            return normalize(values, by=speech(values), variance=variance)
        statistics = self.standardizer if voice is None else voice.bands
        assert statistics is not None
        mean, scale = map(torch.as_tensor, (statistics.mean, statistics.scale))
        centred = values - mean
        return (centred / scale if variance else centred).float()

    def embedding(self) -> FrameFeatures:
        return FrameFeatures(self.options, self.features.bands)

    def sizes(self) -> dict[str, int]:
        return {"mel bands": self.features.bands}

    def positions(self, example: Clip) -> list[str]:
        """Return the seconds of the middle of each position."""
        [encoded] = self.encode([example])
        frames = range(encoded.first, encoded.first + len(encoded.values), self.stride)
        return [f"{example.framing.centre(frame):.2f}" for frame in frames]

    @property
    def stride(self) -> int:
        """Frames of a position."""
        return math.prod(self.options.strides)

    @property
    def can_hide(self) -> bool:
        return True

    def hide(self, encoded: EncodedFrames, positions: Sequence[int]) -> EncodedFrames:
        hidden = tuple((position * self.stride, self.stride) for position in positions)
        masks = encoded.masks._replace(frames=(*encoded.masks.frames, *hidden))
        return encoded._replace(masks=masks)

    def spectrogram(self, example: Clip) -> Spectrogram:
        [values], [encoded] = self._features([example]), self.encode([example])
        framing, features = example.framing, self.features
        high = features.high if features.high > 0 else framing.rate / 2 + features.high
        frames = [framing.centre(frame) for frame in range(len(values))]
        first = encoded.first + (self.stride - 1) / 2
        positions = [
            framing.centre(first + frame) for frame in range(0, len(encoded.values), self.stride)
        ]
        return Spectrogram(
            example.read(), framing.rate, values, frames, positions, features.low, high
        )

    def title(self, example: Clip) -> str:
        return f"{example.name}, {example.seconds:.2f} s"


def features_of(clip: Clip, options: Any) -> Features:
    """Return the log-mel features of a clip, (frames, bands)."""
    values: Features = fbank(torch.from_numpy(clip.read()), clip.framing, options).numpy()
    return values
