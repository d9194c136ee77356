"""Attention over the spectrogram of a recording, with its wave form and playable samples, as HTML without scripts."""

from __future__ import annotations

import base64
import html
import io
import wave
from collections.abc import Sequence
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from heedful.data.audio.spectrogram import Spectrogram
from heedful.explore.chart import ticks
from heedful.explore.png import png

_LEFT, _WIDTH, _RIGHT = 64, 720, 12
_WAVE, _BANDS, _WEIGHTS = (8, 60), (76, 170), (254, 60)
"""(top, height) of the wave form, the spectrogram and the weights."""
_BASE: Final = 330
_COLUMNS: Final = 700
"""Most columns of the picture, and points of the wave form."""
_PLAYED: Final = 120
"""Longest recording that is put into the page, in seconds; a minute takes 1 to 4 MB."""
_SHADE: Final = 0.8
"""Opacity of the shade over a position of weight 0; the largest weight has none."""


def draw_spectrogram(shown: Spectrogram, weights: NDArray[Any], name: str = "weight") -> str:
    """Return the wave form, the spectrogram shaded where the weights are small, the weights, and a player.

    Args:
        shown: the recording.
        weights: (positions,), 0 or more.
        name: what the weights are, for the label.

    >>> rate, frames = 1000, np.arange(5) / 10
    >>> shown = Spectrogram(np.zeros(500, np.float32), rate, np.ones((5, 4), np.float32), frames, frames, 20.0, 500.0)
    >>> drawn = draw_spectrogram(shown, np.array([0, 1, 2, 1, 0]))
    >>> "<audio controls" in drawn, drawn.count("<rect")
    (True, 5)
    """
    seconds = len(shown.samples) / shown.rate
    best = int(np.argmax(weights))
    label = html.escape(f"{name}: largest at {shown.positions[best]:.2f} of {seconds:.2f} s")
    edges = _edges(shown.positions, seconds)
    parts = [
        f'<svg class="chart" viewBox="0 0 {_WIDTH} {_BASE + 30}" role="img" aria-label="{label}">',
        _wave_form(shown, seconds),
        _picture(shown, seconds),
        *_shades(edges, weights, _edges(shown.frames, seconds), seconds),
        _curve(edges, weights, seconds),
        *_labels(shown, seconds, name),
        "</svg>",
    ]
    return f'<div class="wide">{"".join(parts)}</div>\n{_player(shown, seconds)}'


def _x(second: float, seconds: float) -> float:
    return round(_LEFT + (_WIDTH - _LEFT - _RIGHT) * second / seconds, 2)


def _edges(positions: Sequence[float], seconds: float) -> NDArray[Any]:
    """Return the edges between positions, in seconds: halfway, and as far on the outside."""
    middle = np.asarray(positions, dtype=np.float64)
    half = np.diff(middle) / 2 if len(middle) > 1 else np.array([seconds / 2])
    inner = middle[:-1] + half[: len(middle) - 1]
    found = np.concatenate([[middle[0] - half[0]], inner, [middle[-1] + half[-1]]])
    return found.clip(0, seconds)


def _wave_form(shown: Spectrogram, seconds: float) -> str:
    """Return the range of the samples in each column, as one path."""
    top, height = _WAVE
    columns = np.array_split(shown.samples, min(_COLUMNS, len(shown.samples)))
    scale = float(np.abs(shown.samples).max()) or 1.0
    at = np.linspace(0, seconds, len(columns))
    path = []
    for second, column in zip(at, columns, strict=True):
        low, high = (
            top + height / 2 * (1 - float(end) / scale) for end in (column.min(), column.max())
        )
        path.append(f"M{_x(second, seconds)} {low:.1f}V{high - 0.5:.1f}")
    return f'<path d="{"".join(path)}" style="stroke:var(--soft);fill:none"/>'


def _picture(shown: Spectrogram, seconds: float) -> str:
    """Return the spectrogram as a grey picture: dark is loud, low frequencies at the bottom."""
    values = shown.values
    if len(values) > _COLUMNS:
        values = np.stack([part.mean(0) for part in np.array_split(values, _COLUMNS)])
    low, high = np.percentile(values, [5, 99.5])
    level = ((values - low) / max(high - low, 1e-6)).clip(0, 1)
    data = base64.b64encode(png((255 * (1 - level)).astype(np.uint8).T[::-1])).decode()
    top, height = _BANDS
    edges = _edges(shown.frames, seconds)
    left, right = _x(edges[0], seconds), _x(edges[-1], seconds)
    return (
        f'<image x="{left}" y="{top}" width="{right - left:.2f}" height="{height}" preserveAspectRatio="none" '
        f'href="data:image/png;base64,{data}"/>'
    )


def _shades(
    edges: NDArray[Any], weights: NDArray[Any], frames: NDArray[Any], seconds: float
) -> list[str]:
    """Return a shade over each position, and over frames that trimming cut off, to which nothing attends."""
    top, height = _BANDS
    largest = float(weights.max()) or 1.0
    edges = np.concatenate([frames[:1], edges, frames[-1:]])
    weights = np.concatenate([[0.0], weights, [0.0]])
    return [
        f'<rect x="{_x(begin, seconds)}" y="{top}" width="{_x(end, seconds) - _x(begin, seconds):.2f}" '
        f'height="{height}" style="fill:var(--paper);opacity:{_SHADE * (1 - float(weight) / largest):.2f}"/>'
        for begin, end, weight in zip(edges[:-1], edges[1:], weights, strict=True)
        if _x(end, seconds) > _x(begin, seconds)
    ]


def _curve(edges: NDArray[Any], weights: NDArray[Any], seconds: float) -> str:
    """Return the weights as steps."""
    top, height = _WEIGHTS
    largest = float(weights.max()) or 1.0
    path = [f"M{_x(edges[0], seconds)} {top + height}"]
    for end, weight in zip(edges[1:], weights, strict=True):
        path.append(f"V{top + height * (1 - float(weight) / largest):.1f}H{_x(end, seconds)}")
    path.append(f"V{top + height}Z")
    return f'<path d="{"".join(path)}" style="fill:var(--curve-1)"/>'


def _labels(shown: Spectrogram, seconds: float, name: str) -> list[str]:
    top, height = _BANDS
    parts = [
        f'<text x="{_LEFT - 6}" y="{y}" text-anchor="end">{text}</text>'
        for y, text in (
            (_WAVE[0] + 34, "wave"),
            (top + 12, f"{shown.high:,.0f} Hz"),
            (top + height, f"{shown.low:,.0f} Hz"),
            (_WEIGHTS[0] + 34, html.escape(name)),
        )
    ]
    for tick in ticks(0.0, seconds, 8):
        x = _x(tick, seconds)
        parts.append(f'<text x="{x}" y="{_BASE + 4}" text-anchor="middle">{tick:g} s</text>')
    return parts


def _player(shown: Spectrogram, seconds: float) -> str:
    if seconds > _PLAYED:
        return f'<p class="note">The recording is longer than {_PLAYED} s and is not put into the page.</p>\n'
    data = base64.b64encode(wav_bytes(shown)).decode()
    return f'<p><audio controls src="data:audio/wav;base64,{data}"></audio></p>\n'


def wav_bytes(shown: Spectrogram) -> bytes:
    """Return the samples as a WAV file of 16 bits."""
    content = io.BytesIO()
    with wave.open(content, "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(shown.rate)
        file.writeframes((shown.samples.clip(-1, 1) * 32767).astype("<i2").tobytes())
    return content.getvalue()
