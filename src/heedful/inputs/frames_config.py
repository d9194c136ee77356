"""Settings of recordings as an input: features, normalization, perturbation, sub-sampling."""

from __future__ import annotations

from typing import Annotated, Final, Literal

from pydantic import Field, model_validator

from heedful.data.audio.fbank import WINDOWS, MelOptions
from heedful.errors import OptionError
from heedful.models.config import OneOf, Section

Normalization = Literal["none", "utterance", "sliding", "speaker", "global"]


class FeaturesConfig(Section):
    """Log-mel filter banks of a frame, and their normalization."""

    bands: int = Field(40, ge=4, le=256, description="Mel bands; 40 or 80 are usual.")
    low: float = Field(20.0, ge=0, description="Lowest frequency, in Hz.")
    high: float = Field(
        0.0,
        description="Highest frequency, in Hz; 0 or negative: so much below half the sample rate.",
    )
    pre_emphasis: float = Field(0.97, ge=0, lt=1, description="Pre-emphasis c of x[t] - c x[t-1].")
    shape: Annotated[str, OneOf("window", WINDOWS)] = Field(
        "povey", description="Window that each frame is multiplied by."
    )
    remove_mean: bool = Field(True, description="Take the mean off each frame of samples.")
    floor: float = Field(
        0.0,
        ge=0,
        description="Raise the power to so many dB below the loudest of the recording, so that the silence of quiet "
        "and of noisy recordings is alike; 0: no floor.",
    )
    normalize: Normalization = Field(
        "utterance",
        description="Mean and deviation of each band: none; of the recording (utterance), which also removes the "
        "microphone; of the surrounding features.sliding frames (sliding); of all recordings of the speaker (speaker, "
        "with the column data.speaker), which keeps the word and removes voice and microphone; of the training data "
        "(global), which keeps what distinguishes speakers and microphones.",
    )
    variance: bool = Field(
        False, description="Divide by the deviation, too, rather than only take the mean off."
    )
    sliding: int = Field(300, ge=3, description="Frames of a sliding normalization.")
    trim: float = Field(
        0.0,
        ge=0,
        description="Cut frames off both ends that are more than so many dB below the loudest; 0: no trimming.",
    )

    def options(self) -> MelOptions:
        """Return the options of the filter banks."""
        return MelOptions(
            bands=self.bands,
            low=self.low,
            high=self.high,
            pre_emphasis=self.pre_emphasis,
            window=self.shape,
            remove_mean=self.remove_mean,
        )


class AugmentConfig(Section):
    """Random changes of the features of each training example, drawn anew each epoch from training.seed."""

    tempo: tuple[float, float] = Field(
        (0.9, 1.1),
        description="Tempo is multiplied by a factor in this range, the pitch unchanged; 1.25 shortens to 80%. A batch "
        "may hold so many more frames than training.batch_tokens.",
    )
    crop: float = Field(
        0.0,
        ge=0,
        lt=0.5,
        description="Longest cut at each end, as a share of the frames: recordings that are cut off too early.",
    )
    speed: tuple[float, float] = Field(
        (1.0, 1.0),
        description="Recordings are played so many times as fast, tempo and pitch together.",
    )
    warp: float = Field(
        0.0,
        ge=0,
        lt=0.5,
        description="The mel scale is stretched by up to this share: other vocal tracts.",
    )
    tilt: float = Field(
        0.0,
        ge=0,
        description="Gain that rises or falls with frequency by up to so many dB: other microphones.",
    )
    equalizer: float = Field(
        0.0,
        ge=0,
        description="Random smooth gain over frequency, whose slowest part deviates by so many dB: other microphones.",
    )
    level: float = Field(
        0.0,
        ge=0,
        description="Louder or quieter by up to so many dB; without effect under utterance normalization.",
    )
    noise: float = Field(
        0.0, ge=0, le=1, description="Probability of added stationary noise of a random spectrum."
    )
    noise_ratio: tuple[float, float] = Field(
        (10.0, 30.0), description="Power of the recording over that of the noise, in dB."
    )
    time_masks: int = Field(
        2, ge=0, description="Spans of frames hidden from the model (SpecAugment)."
    )
    time_share: float = Field(
        0.1, ge=0, le=1, description="Longest of them, as a share of the frames."
    )
    band_masks: int = Field(2, ge=0, description="Spans of bands hidden from the model.")
    band_width: int = Field(7, ge=0, description="Longest of them, in bands.")

    @model_validator(mode="after")
    def _check_ranges(self) -> AugmentConfig:
        for name, (low, high) in {"tempo": self.tempo, "speed": self.speed}.items():
            if not 0.3 <= low <= high <= 3:
                raise OptionError(
                    f"augment.{name} is {[low, high]}; expected a range within 0.3 and 3"
                )
        if self.noise_ratio[0] > self.noise_ratio[1]:
            raise OptionError(f"augment.noise_ratio is {list(self.noise_ratio)}; expected a range")
        return self


class FrameInputsConfig(Section):
    """Convolutions over the frames, which also sub-sample."""

    width: int = Field(96, ge=1, description="Features of each convolution.")
    kernels: tuple[int, ...] = Field(
        (5, 3),
        description="Frames that each convolution sees, odd numbers; none: a linear map of each frame.",
    )
    strides: tuple[int, ...] = Field(
        (2, 1),
        description="Of that many positions each convolution keeps one; their product is the sub-sampling.",
    )
    dropout: float = Field(0.1, ge=0, lt=1, description="Dropout probability of the features.")

    @model_validator(mode="after")
    def _check_convolutions(self) -> FrameInputsConfig:
        if len(self.kernels) != len(self.strides):
            raise OptionError(
                f"inputs.kernels {list(self.kernels)} and inputs.strides {list(self.strides)} differ in number; give "
                "one of each per convolution"
            )
        if any(kernel < 1 or kernel % 2 == 0 for kernel in self.kernels):
            raise OptionError(f"inputs.kernels is {list(self.kernels)}; expected odd numbers")
        if any(stride < 1 for stride in self.strides):
            raise OptionError(f"inputs.strides is {list(self.strides)}; expected 1 or more")
        return self


class PositionInputsConfig(FrameInputsConfig):
    """Convolutions over the frames, without sub-sampling: each frame has an answer."""

    strides: tuple[int, ...] = (1, 1)

    @model_validator(mode="after")
    def _check_one_position_per_frame(self) -> PositionInputsConfig:
        if any(stride != 1 for stride in self.strides):
            raise OptionError(
                f"inputs.strides is {list(self.strides)}, but each frame has an answer; a longer data.shift gives "
                "fewer frames"
            )
        return self


class PositionFeaturesConfig(FeaturesConfig):
    """Log-mel filter banks of a frame, and their normalization."""

    trim: float = Field(0.0, ge=0, le=0)


class PositionAugmentConfig(AugmentConfig):
    """Random changes of the features of each training example; the frames keep their labels, so the tempo is fixed."""

    tempo: tuple[float, float] = (1.0, 1.0)

    @model_validator(mode="after")
    def _check_frames_stay(self) -> PositionAugmentConfig:
        if self.crop:
            raise OptionError(
                f"augment.crop is {self.crop}, but each frame has a label; leave it at 0"
            )
        for name, value in {"tempo": self.tempo, "speed": self.speed}.items():
            if value != (1.0, 1.0):
                raise OptionError(
                    f"augment.{name} is {list(value)}, but each frame has a label; leave it at [1.0, 1.0]"
                )
        return self


FRAMES: Final = "frames.json"
"""File of a run folder with what was learned about recordings."""
