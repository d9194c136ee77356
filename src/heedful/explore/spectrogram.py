"""What the page of a recording draws and plays: its wave form, its spectrogram, and its samples."""

from __future__ import annotations

import base64
import io
import wave
from collections.abc import Sequence
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from heedful.data.audio.spectrogram import Spectrogram
from heedful.explore.png import png

_COLUMNS: Final = 700
"""Most columns of the picture."""
_POINTS: Final = 400
"""Of the wave form."""
_PLAYED: Final = 120
"""Longest recording that is put into the page, in seconds; a minute takes 1 to 4 MB."""


def recording_drawing(shown: Spectrogram) -> dict[str, Any]:
    """Return what a page draws the weights over, as JSON values; times are in seconds.

    `edges` are those between the positions of the model, `frames` the begin and end of the picture, in which dark is
    loud and low frequencies are at the bottom; `wave` has the lowest and highest sample of each column, of 100.

    >>> rate, frames = 1000, np.arange(5) / 10
    >>> shown = Spectrogram(np.zeros(500, np.float32), rate, np.ones((5, 4), np.float32), frames, frames, 20.0, 500.0)
    >>> drawn = recording_drawing(shown)
    >>> drawn["seconds"], drawn["edges"]
    (0.5, [0.0, 0.05, 0.15, 0.25, 0.35, 0.45])
    """
    seconds = len(shown.samples) / shown.rate
    frames = _edges(shown.frames, seconds)
    scale = float(np.abs(shown.samples).max(initial=0.0)) or 1.0
    parts = np.array_split(shown.samples, min(_POINTS, len(shown.samples)))
    return {
        "type": "recording",
        "title": "recording",
        "seconds": seconds,
        "edges": _edges(shown.positions, seconds).round(4).tolist(),
        "frames": [round(float(frames[0]), 4), round(float(frames[-1]), 4)],
        "href": _picture(shown),
        "low": shown.low,
        "high": shown.high,
        "wave": [[round(100 * float(end) / scale) for end in (p.min(), p.max())] for p in parts],
    }


def _edges(positions: Sequence[float], seconds: float) -> NDArray[Any]:
    """Return the edges between positions, in seconds: halfway, and as far on the outside."""
    middle = np.asarray(positions, dtype=np.float64)
    half = np.diff(middle) / 2 if len(middle) > 1 else np.array([seconds / 2])
    inner = middle[:-1] + half[: len(middle) - 1]
    found = np.concatenate([[middle[0] - half[0]], inner, [middle[-1] + half[-1]]])
    return found.clip(0, seconds)


def _picture(shown: Spectrogram) -> str:
    """Return the spectrogram as a grey picture in an address."""
    values = shown.values
    if len(values) > _COLUMNS:
        values = np.stack([part.mean(0) for part in np.array_split(values, _COLUMNS)])
    low, high = np.percentile(values, [5, 99.5])
    level = ((values - low) / max(high - low, 1e-6)).clip(0, 1)
    data = base64.b64encode(png((255 * (1 - level)).astype(np.uint8).T[::-1])).decode()
    return f"data:image/png;base64,{data}"


def player(shown: Spectrogram) -> str:
    """Return HTML that plays a recording, unless it is too long for a page."""
    if len(shown.samples) / shown.rate > _PLAYED:
        return f'<p class="note">The recording is longer than {_PLAYED} s and is not put into the page.</p>\n'
    data = base64.b64encode(wav_bytes(shown)).decode()
    return (
        '<p><audio controls aria-label="the recording" '
        f'src="data:audio/wav;base64,{data}"></audio></p>\n'
    )


def wav_bytes(shown: Spectrogram) -> bytes:
    """Return the samples as a WAV file of 16 bits."""
    content = io.BytesIO()
    with wave.open(content, "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(shown.rate)
        file.writeframes((shown.samples.clip(-1, 1) * 32767).astype("<i2").tobytes())
    return content.getvalue()
