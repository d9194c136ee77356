"""Recordings: samples, of which a program of its own makes the frames that the model reads."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Final

import torch
from torch import Tensor, nn

from heedful.data.audio.fbank import INT16, Framing, cut, log_energies
from heedful.data.audio.normalize import loud_part
from heedful.export.program import Given, Program, traced
from heedful.export.reading.base import BATCH, Code, FirstProgram, Reading
from heedful.inputs.frames import FramesBatch

FRAMES: Final = 29
"""Of the example that a model is traced with: more than any convolution sub-samples to 1."""


class FramesReading(Reading):
    """`values` (batch, frames, bands), normalized log-mel features with anything at padding, as the program `features`
    makes them of the samples of one recording; `lengths` (batch,), the frames of each.
    """

    first: ClassVar[FirstProgram | None] = FirstProgram("features", ("samples",), ("values",))

    @property
    def given(self) -> Sequence[Given]:
        bands = self.input.features.bands
        return [
            Given("values", ("batch", "frames", bands), torch.zeros(BATCH, FRAMES, bands)),
            Given("lengths", ("batch",), torch.full((BATCH,), FRAMES)),
        ]

    def batch(self, *tensors: Tensor) -> Any:
        values, lengths = tensors
        real = torch.arange(values.shape[1]) < lengths[:, None]
        return FramesBatch(values.masked_fill(~real[..., None], 0.0), lengths)

    def programs(self) -> Mapping[str, Program]:
        rate = self.input.rate
        given = Given("samples", ("samples",), torch.zeros(rate // 2 + 3))
        # Windows and filters are made once, and must not be made of what the trace works with.
        self.features(given.example)
        program = traced(nn.Module(), self.features, [given], ["values"])
        return {"features": program._replace(is_exact=True)}

    def features(self, samples: Tensor) -> Tensor:
        """Return what the model reads of the samples of one recording, (samples,) in [-1, 1] -> (frames, bands)."""
        options, framing = self.input.features, self.framing
        frames = cut(samples.float() * INT16, framing)
        values = log_energies(frames, framing, options.options())
        if options.trim:
            values = values[loud_part(values, options.trim)]
        read: Tensor = self.input.normalized(values)
        return read

    def code(self) -> Code:
        return Code(
            [],
            [
                f"samples = np.sin(np.arange({self.input.rate}) / 5).astype(np.float32)  # a second, in [-1, 1]",
            ],
            [
                "values, lengths = values[None], np.array([len(values)])",
            ],
        )

    @property
    def notes(self) -> str:
        return (
            f"`samples` are those of one channel at {self.input.rate:,} Hz, floating-point numbers from -1 to 1, as of "
            f'`soundfile.read("recording.wav", dtype="float32")`, at least one frame of {self.framing.window:g} ms. '
            "For a batch, pad the `values` of shorter recordings with anything at the end."
        )

    @property
    def framing(self) -> Framing:
        """How samples are cut into frames."""
        framing: Framing = self.predictor.config.data.framing()
        return framing
