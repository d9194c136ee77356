"""What an encoder reads of a token: an embedding, a frame of sound, or a patch of an image."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Final

import torch
from torch import Tensor, nn

from heedful.data.audio.fbank import Framing, MelOptions, fbank
from heedful.nn.linear import Linear

NOISE: Final = 0.5
"""Deviation of the noise that is added to every number of a signal; the signals themselves have deviation 1."""
RATE: Final = 8000
"""Samples a second of tones."""
PATCH: Final = 8
"""Rows and columns of a patch."""


def tones(count: int) -> Tensor:
    """Return the log-mel frame of a tone for each token: (count, 40).

    Pitches are equally spaced in mel from 200 to 3,400 Hz.

    >>> tones(17).shape, int(tones(17)[0].argmax()) < int(tones(17)[16].argmax())
    (torch.Size([17, 40]), True)
    """
    low, high = (1127 * math.log(1 + pitch / 700) for pitch in (200, 3400))
    pitches = 700 * (torch.linspace(low, high, count, dtype=torch.float64) / 1127).expm1()
    framing = Framing(rate=RATE)
    times = torch.arange(framing.window_samples) / RATE
    waves = (0.1 * torch.sin(2 * math.pi * pitches[:, None] * times)).float()
    return _standardized(torch.cat([fbank(wave, framing, MelOptions(bands=40)) for wave in waves]))


def gratings(count: int) -> Tensor:
    """Return a patch of stripes for each token, whose direction turns from token to token: (count, 64).

    >>> gratings(17).shape
    torch.Size([17, 64])
    """
    rows, columns = torch.meshgrid(torch.arange(PATCH), torch.arange(PATCH), indexing="ij")
    angles = math.pi * torch.arange(count)[:, None, None] / count
    along = rows * angles.sin() + columns * angles.cos()
    return _standardized(torch.sin(2 * math.pi * along / 4).flatten(1))


def _standardized(signals: Tensor) -> Tensor:
    return (signals - signals.mean()) / signals.std()


SIGNALS: Final[dict[str, Callable[[int], Tensor]]] = {"tones": tones, "patches": gratings}
"""Name -> signals of so many tokens, (count, features)."""
INPUTS: Final = ("tokens", *SIGNALS)
"""Choices of `heedful probe --inputs`."""


class TokenInputs(nn.Module):
    """Embeddings of tokens: (rows, length) -> (rows, length, width)."""

    def __init__(self, count: int, width: int):
        super().__init__()
        self.count = count
        self.embedding = nn.Embedding(count, width)

    def forward(self, tokens: Tensor, chance: torch.Generator | None = None) -> Tensor:
        embedded: Tensor = self.embedding(tokens)
        return embedded


class SignalInputs(nn.Module):
    """A linear map of the signal of each token, to which noise is added: (rows, length) -> (rows, length, width).

    Args:
        signals: (tokens, features).
        width: features that the encoder reads.

    >>> inputs = SignalInputs(tones(17), 32)
    >>> inputs(torch.zeros(2, 5, dtype=torch.long), torch.Generator()).shape
    torch.Size([2, 5, 32])
    """

    signals: Tensor

    def __init__(self, signals: Tensor, width: int):
        super().__init__()
        self.count = len(signals)
        self.register_buffer("signals", signals)
        self.map = Linear(signals.shape[1], width)

    def forward(self, tokens: Tensor, chance: torch.Generator | None = None) -> Tensor:
        """Return what the encoder reads; `chance` draws the noise, and without it there is none."""
        values = self.signals[tokens]
        if chance is not None:
            values = values + NOISE * torch.randn(values.shape, generator=chance)
        mapped: Tensor = self.map(values)
        return mapped


def build_inputs(name: str, count: int, width: int) -> TokenInputs | SignalInputs:
    """Return the inputs of that name, one of `INPUTS`, for so many tokens."""
    if name == "tokens":
        return TokenInputs(count, width)
    return SignalInputs(SIGNALS[name](count), width)
