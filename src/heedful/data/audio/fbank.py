"""Log-mel filter banks in plain PyTorch, with Kaldi's meaning of every option."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Final

import torch
from torch import Tensor

INT16: Final = 32768.0
"""Kaldi reads samples as 16-bit integers; ours are in [-1, 1]."""
WINDOWS: Final = ("povey", "hamming", "hann", "blackman", "rectangular")
_BLOCK: Final = 10_000
"""Frames transformed at once: 100 s by 10 ms, about 40 MB."""


@dataclass(frozen=True, kw_only=True)
class Framing:
    """How samples are cut into frames.

    >>> Framing(rate=8000).frames(8000), Framing(rate=8000, snip_edges=False).frames(8000)
    (98, 100)
    """

    rate: int = 16_000
    """Samples per second."""
    window: float = 25.0
    """Milliseconds of a frame."""
    shift: float = 10.0
    """Milliseconds from one frame to the next."""
    snip_edges: bool = True
    """Whether only frames that fit are cut; otherwise one per shift, the edges reflected."""

    @property
    def window_samples(self) -> int:
        """Samples of a frame."""
        return int(self.rate * 0.001 * self.window)

    @property
    def shift_samples(self) -> int:
        """Samples from one frame to the next."""
        return int(self.rate * 0.001 * self.shift)

    def frames(self, samples: int) -> int:
        """Return the number of frames of that many samples."""
        window, shift = self.window_samples, self.shift_samples
        if self.snip_edges:
            return 0 if samples < window else 1 + (samples - window) // shift
        return (samples + shift // 2) // shift

    def samples(self, frames: int) -> int:
        """Return the least number of samples that gives so many frames."""
        if self.snip_edges:
            return self.window_samples + (frames - 1) * self.shift_samples
        return frames * self.shift_samples - self.shift_samples // 2

    def centre(self, frame: float) -> float:
        """Return the time of the middle of a frame, in seconds."""
        shift = self.shift_samples
        first = self.window_samples / 2 if self.snip_edges else shift / 2
        return (first + frame * shift) / self.rate


@dataclass(frozen=True, kw_only=True)
class MelOptions:
    """What is computed of a frame."""

    bands: int = 80
    """Mel bands."""
    low: float = 20.0
    """Lowest frequency, in Hz."""
    high: float = 0.0
    """Highest frequency; 0 or less: so much below half the sample rate."""
    pre_emphasis: float = 0.97
    """c of x[t] - c x[t-1]."""
    window: str = "povey"
    """Shape of the window, one of `WINDOWS`."""
    remove_mean: bool = True
    """Whether the mean of each frame is taken off."""


def fbank(samples: Tensor, framing: Framing, options: MelOptions | None = None) -> Tensor:
    r"""Return the log-mel filter banks of samples: (samples,) in [-1, 1] -> (frames, bands), float32.

    .. math:: y_{tb} = \log \max(\epsilon, \sum_k M_{bk} |\mathrm{FFT}(w \odot e_t)_k|^2)

    for the frame :math:`e_t` after removal of its mean and pre-emphasis, the window w and triangular filters M that are
    equally spaced in mel, :math:`1127 \ln(1 + f / 700)`. Options and scale (16-bit integers) are those of Kaldi's
    compute-fbank-feats without dither, use_energy and htk_compat.

    >>> fbank(torch.zeros(16_000), Framing()).shape
    torch.Size([98, 80])
    """
    options = options or MelOptions()
    frames = cut(samples.float() * INT16, framing)
    if not len(frames):
        return samples.new_zeros(0, options.bands)
    return torch.cat([log_energies(part, framing, options) for part in frames.split(_BLOCK)])


def log_energies(frames: Tensor, framing: Framing, options: MelOptions) -> Tensor:
    """Return the log-mel filter banks of frames that `cut` has cut: (frames, window) -> (frames, bands)."""
    width = 1 << (framing.window_samples - 1).bit_length()
    filters = mel_filters(options, framing.rate, width)
    window = window_shape(options.window, framing.window_samples)
    if options.remove_mean:
        frames = frames - frames.mean(1, keepdim=True)
    if options.pre_emphasis:
        before = torch.cat([frames[:, :1], frames[:, :-1]], dim=1)
        frames = frames - options.pre_emphasis * before
    spectrum = torch.fft.rfft(frames * window, n=width)
    power = spectrum.real.square() + spectrum.imag.square()
    energies: Tensor = power[:, :-1] @ filters
    return energies.clamp(min=torch.finfo(torch.float32).eps).log()


def cut(samples: Tensor, framing: Framing) -> Tensor:
    """Return the frames of samples: (samples,) -> (frames, window), a view where no edge is reflected."""
    count, window, shift = (
        framing.frames(samples.shape[0]),
        framing.window_samples,
        framing.shift_samples,
    )
    if not count:
        return samples.new_zeros(0, window)
    if framing.snip_edges:
        return samples.unfold(0, window, shift)
    first = shift // 2 - window // 2
    indices = torch.arange(first, first + (count - 1) * shift + window)
    twice = 2 * samples.shape[0]
    period = indices.remainder(twice)
    reflected = torch.minimum(period, twice - 1 - period)
    return samples[reflected].unfold(0, window, shift)


@lru_cache(maxsize=8)
def window_shape(name: str, size: int) -> Tensor:
    """Return a window, (size,)."""
    if name == "rectangular":
        return torch.ones(size)
    phase = torch.arange(size, dtype=torch.float64) * (2 * torch.pi / (size - 1))
    cosine = phase.cos()
    shapes = {
        "hann": 0.5 - 0.5 * cosine,
        "povey": (0.5 - 0.5 * cosine) ** 0.85,
        "hamming": 0.54 - 0.46 * cosine,
        "blackman": 0.42 - 0.5 * cosine + 0.08 * (2 * phase).cos(),
    }
    return shapes[name].float()


@lru_cache(maxsize=8)
def mel_filters(options: MelOptions, rate: int, width: int) -> Tensor:
    """Return triangular filters, (width / 2, bands), for an FFT of so many points."""
    edges = _mel_edges(options, rate)
    points = _mel(torch.arange(width // 2, dtype=torch.float64) * rate / width)[:, None]
    left, centre, right = edges[:-2], edges[1:-1], edges[2:]
    rising = (points - left) / (centre - left)
    falling = (right - points) / (right - centre)
    return torch.minimum(rising, falling).clamp(min=0).float()


@lru_cache(maxsize=8)
def mel_centres(options: MelOptions, rate: int) -> Tensor:
    """Return the frequency of the middle of each band, in Hz, (bands,).

    >>> mel_centres(MelOptions(bands=3, high=4000.0), 8000).round().tolist()
    [451.0, 1140.0, 2240.0]
    """
    return 700.0 * ((_mel_edges(options, rate)[1:-1] / 1127.0).exp() - 1)


def _mel_edges(options: MelOptions, rate: int) -> Tensor:
    """Return the edges of the triangles in mel, (bands + 2,)."""
    high = options.high if options.high > 0 else rate / 2 + options.high
    low, high = (
        float(_mel(torch.tensor(each, dtype=torch.float64))) for each in (options.low, high)
    )
    return torch.linspace(low, high, options.bands + 2, dtype=torch.float64)


def _mel(frequency: Tensor) -> Tensor:
    return 1127.0 * (1 + frequency / 700.0).log()
