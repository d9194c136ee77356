"""One image or video: its pixels, or the files that they are decoded from."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from heedful.data.images.decode import BadImageError, read_pixels
from heedful.data.images.form import AS_THEY_ARE, DEFAULT_SIZE, Fit, Form, resize
from heedful.errors import DataError

Frames = NDArray[np.uint8]
"""(frames, height, width, channels); an image is one frame."""


@dataclass(eq=False)
class Picture:
    """An image, or the frames of a video, of 8-bit pixels.

    Large images are not kept as they were decoded, but in the size that they are most likely asked for; for another
    size the files are decoded again.

    >>> picture = Picture.of(np.zeros((6, 4), np.uint8), "black")
    >>> picture.size, picture.at(Form(3, 2)).shape
    ((6, 4), (1, 3, 2, 1))
    """

    kept: Frames
    name: str
    """For display: the path, or the file and the number in it."""
    size: tuple[int, int]
    """Height and width as decoded."""
    files: tuple[Path, ...] = ()
    """Of the frames; empty if `kept` is as it was given."""
    argument: str = ""
    """What names it on the command line; empty if it was read from no file."""
    form: Form | None = None
    """The form of `kept`, unless it is as it was decoded."""
    _digest: str = field(default="", repr=False)

    @classmethod
    def of(
        cls, pixels: object, name: str, error: Callable[[str], DataError] = DataError
    ) -> Picture:
        """Make a picture of an array; see `as_frames`."""
        frames = as_frames(pixels, error)
        return cls(frames, name, frames.shape[1:3])

    @classmethod
    def read(cls, files: Sequence[Path], name: str, side: int = 0, fit: Fit = "stretch") -> Picture:
        """Decode the files of an image, or of the frames of a video.

        Args:
            files: one, or several of equal size.
            name: for display.
            side: height and width that will be asked for; 0: not known yet.
            fit: how images are brought to them.

        Raises: BadImageError for a file that cannot be decoded, or a frame of another size than the first.
        """
        first = read_pixels(files[0])
        size = first.shape[:2]
        form = None
        if side or max(size) > AS_THEY_ARE:
            form = Form(side or DEFAULT_SIZE, side or DEFAULT_SIZE, fit)
        kept = _decode(files, size, form, first)
        argument = str(files[0] if len(files) == 1 else files[0].parent)
        return cls(kept, name, size, tuple(files), argument, form)

    @property
    def frames(self) -> int:
        """The number of frames."""
        return len(self.kept)

    @property
    def channels(self) -> int:
        """1 for grey, 3 for colour."""
        return int(self.kept.shape[-1])

    def at(self, form: Form) -> Frames:
        """Return the frames in a form: (frames, form.height, form.width, channels)."""
        if self.form == form or self.size == form[:2] == self.kept.shape[1:3]:
            return self.kept
        if self.form is not None:
            return _decode(self.files, self.size, form)
        return np.stack([resize(frame, form) for frame in self.kept])

    def digest(self) -> str:
        """Return a digest of size and pixels, for fingerprints of data."""
        if not self._digest:
            pixels = hashlib.sha256(self.kept.tobytes()).hexdigest()
            self._digest = f"{self.size} {self.kept.shape} {pixels}"
        return self._digest


def _decode(
    files: Sequence[Path], size: tuple[int, int], form: Form | None, first: Frames | None = None
) -> Frames:
    frames = []
    for path in files:
        frame = first if first is not None and path is files[0] else read_pixels(path)
        if frame.shape[:2] != size:
            raise BadImageError(
                f"the frame has {_by(frame.shape[:2])} pixels; the first of the video has {_by(size)}.",
                path=path,
            )
        frames.append(frame if form is None else resize(frame, form))
    if len({frame.shape[-1] for frame in frames}) > 1:
        frames = [frame if frame.shape[-1] == 3 else np.repeat(frame, 3, -1) for frame in frames]
    return np.stack(frames)


def _by(size: tuple[int, ...]) -> str:
    return " × ".join(map(str, size))


def as_frames(pixels: object, error: Callable[[str], DataError] = DataError) -> Frames:
    """Convert an array of whole numbers from 0 to 255 to (frames, height, width, channels).

    (height, width) is a grey image; (height, width, 3) or (height, width, 1) an image; (frames, height, width) grey
    frames, unless the last axis is 1 or 3; (frames, height, width, 1 or 3) frames.

    Raises: DataError for other shapes, types and values, built by `error` from a message.

    >>> as_frames([[0, 255]]).shape, as_frames(np.zeros((5, 8, 8, 3), int)).shape
    ((1, 1, 2, 1), (5, 8, 8, 3))
    """
    try:
        array = np.asarray(pixels)
    except ValueError:
        raise error("the rows of the image have different lengths.") from None
    shape = array.shape
    has_channels = array.ndim in (3, 4) and array.shape[-1] in (1, 3)
    if array.ndim == 2 or (array.ndim == 3 and not has_channels):
        array = array[..., None]
    if array.ndim == 3:
        array = array[None]
    if array.ndim != 4 or array.shape[-1] not in (1, 3) or 0 in array.shape:
        raise error(
            f"an array of shape {shape} is no image; expected (height, width), (height, width, 1 or 3) or "
            "(frames, height, width, 1 or 3)."
        )
    if array.dtype == np.uint8:
        return array
    if array.dtype.kind not in "iuf":
        raise error(f"the pixels are of type {array.dtype}; expected whole numbers from 0 to 255.")
    if array.dtype.kind == "f" or array.min() < 0 or array.max() > 255:
        raise error(
            f"the pixels are {array.dtype} from {array.min():g} to {array.max():g}; expected whole numbers from 0 to "
            "255."
        )
    return array.astype(np.uint8)
