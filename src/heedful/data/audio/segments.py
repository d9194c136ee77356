"""Time-marked segments as a label per frame."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, NamedTuple

from heedful.data.audio.fbank import Framing

BACKGROUND: Final = "none"
"""The label of frames outside all segments."""


class Segment(NamedTuple):
    """A label from `begin` to before `end`, in seconds."""

    begin: float
    end: float
    label: str


def frame_labels(
    framing: Framing, frames: int, segments: Sequence[Segment], background: str = BACKGROUND
) -> tuple[str, ...]:
    """Return the label of each frame: that of the segment in which its middle lies; of several the last listed.

    >>> framing = Framing(rate=1000, window=20, shift=10)
    >>> frame_labels(framing, 4, [Segment(0.015, 0.035, "call")])
    ('none', 'call', 'call', 'none')
    """
    labels = [background] * frames
    first, step = framing.centre(0), framing.centre(1) - framing.centre(0)
    for segment in segments:
        # -(-a // b) is the least integer not below a / b
        begin = max(0, int(-(-(segment.begin - first) // step)))
        end = min(frames, int(-(-(segment.end - first) // step)))
        labels[begin:end] = [segment.label] * max(0, end - begin)
    return tuple(labels)


def merge_frames(framing: Framing, labels: Sequence[str], background: str) -> list[Segment]:
    """Return the segments of equal neighbouring labels, in seconds; a frame ends halfway to the next.

    >>> merge_frames(Framing(rate=1000, window=20, shift=10), ["none", "call", "call", "none"], "none")
    [Segment(begin=0.015, end=0.035, label='call')]
    """
    found: list[Segment] = []
    half = (framing.centre(1) - framing.centre(0)) / 2
    for number, label in enumerate(labels):
        middle = framing.centre(number)
        if number and labels[number - 1] == label:
            if label != background:
                found[-1] = found[-1]._replace(end=round(middle + half, 6))
        elif label != background:
            found.append(Segment(round(middle - half, 6), round(middle + half, 6), label))
    return found
