"""Transcription of a recording while it comes in, equal to that of the whole recording."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from heedful.answers.transcript import TranscribedText
from heedful.data.audio.fbank import fbank
from heedful.decode.ctc_beam import PrefixBeam
from heedful.decode.evaluation_mode import evaluation_mode
from heedful.errors import OptionError
from heedful.inputs.frames import EncodedFrames
from heedful.tasks.predictor import Predictor


@dataclass(frozen=True)
class Reach:
    """What a position needs of the frames, and of the positions around it."""

    stride: int
    """Frames from one position to the next."""
    before: int
    """Frames before its own that the convolutions of a position see."""
    after: int
    context: tuple[int, int]
    """Positions before and after that the encoder sees."""

    @property
    def lookahead(self) -> int:
        """Frames after its own that a position needs."""
        return self.context[1] * self.stride + self.after


class LiveTranscriber:
    """Reads samples as they come, and says what has been heard so far.

    CTC reads each position once it is certain. What has been read is transcribed exactly as the whole recording would
    be by CTC with the same beam: the encoder is run again on as many positions as the new ones depend on. The encoder's
    context must be bounded (`heedful.models.encoders.Encoder.context`), as that of windows and convolutions is.

    Args:
        predictor: a trained model with CTC.
        beam: prefixes of CTC that are kept; None: as in the run's setting.

    Raises:
        OptionError: the model has no CTC, an encoder of unbounded context, or features that depend on the whole
            recording.
    """

    def __init__(self, predictor: Predictor, *, beam: int | None = None):
        self.predictor = predictor
        self.reach = _reach(predictor)
        data = predictor.config.data
        self.framing = data.framing()
        self.rate: int = self.framing.rate
        self.vocabulary = predictor.answer.vocabulary
        width = predictor.config.decoding.beam if beam is None else beam
        self.search = PrefixBeam(beam=width, blank=predictor.answer.blank)
        self.samples: NDArray[np.float32] = np.zeros(0, np.float32)
        bands = predictor.config.features.bands
        self.frames: NDArray[np.float32] = np.zeros((0, bands), np.float32)
        self.first = 0
        """The number of the first frame in `frames`, a multiple of the stride."""
        self.done = 0
        """Positions that CTC has read."""
        self.heard = 0
        """Samples that have come in."""

    @property
    def latency(self) -> float:
        """Seconds from the beginning of a position's first frame until it is certain."""
        framing = self.framing
        samples: int = framing.window_samples + self.reach.lookahead * framing.shift_samples
        return samples / self.rate

    @property
    def seconds(self) -> float:
        """The length of what has come in."""
        return self.heard / self.rate

    def text(self) -> str:
        """Return the best transcript of what CTC has read."""
        text: str = self.vocabulary.decode(self.search.best()[0].labels)
        return text

    def feed(self, samples: NDArray[np.float32]) -> str:
        """Read further samples, in [-1, 1] at the rate of the model, and return the transcript so far."""
        self.heard += len(samples)
        self.samples = np.concatenate([self.samples, samples.astype(np.float32)])
        count = self.framing.frames(len(self.samples))
        if count:
            shift = self.framing.shift_samples
            options = self.predictor.config.features.options()
            used = self.framing.window_samples + (count - 1) * shift
            values = fbank(torch.from_numpy(self.samples[:used]), self.framing, options).numpy()
            self.samples = self.samples[count * shift :]
            self.frames = np.concatenate([self.frames, values])
            known = self.first + len(self.frames)
            certain = (known - 1 - self.reach.after) // self.reach.stride - self.reach.context[1]
            self._read(certain + 1)
        return self.text()

    def finish(self) -> str:
        """Return the transcript of all that has come in; nothing is read after that."""
        known = self.first + len(self.frames)
        lengths = torch.tensor([known])
        self._read(int(self.predictor.model.inputs.lengths(lengths)[0]) if known else 0)
        return self.text()

    def _read(self, until: int) -> None:
        """Let CTC read the positions to before `until`, and forget the frames that later ones do not need."""
        if until <= self.done:
            return
        start = self.first // self.reach.stride
        model, inputs = self.predictor.model, self.predictor.input
        batch = self.predictor.to_device(inputs.collate([EncodedFrames(self.frames)]))
        with evaluation_mode(model), torch.inference_mode():
            scores = model(batch)[0].double().cpu().numpy()
        scores[:, [self.vocabulary.begin_id, self.vocabulary.end_id]] = -np.inf
        self.search.read(scores[self.done - start : until - start])
        self.done = until
        needed = (until - self.reach.context[0]) * self.reach.stride - self.reach.before
        first = max(self.first, needed - needed % self.reach.stride)
        self.frames, self.first = self.frames[first - self.first :], first


def _reach(predictor: Predictor) -> Reach:
    """Return what a position needs.

    Raises: OptionError where that is not bounded.
    """
    config = predictor.config
    if not isinstance(predictor.answer, TranscribedText) or not predictor.model.has_ctc:
        raise OptionError(
            "a stream is transcribed by CTC; train transcribe with ctc.weight above 0."
        )
    if config.features.normalize not in ("none", "global") or config.features.trim:
        raise OptionError(
            f"features.normalize is {config.features.normalize!r} and features.trim {config.features.trim:g}, which "
            "need the whole recording; train with features.normalize=global and features.trim=0."
        )
    if not config.data.snip_edges:
        raise OptionError(
            "data.snip_edges is false, which reflects the end of a recording; train with true."
        )
    context = predictor.model.encoder.context
    if context.before is None or context.after is None:
        raise OptionError(
            f"the encoder {config.encoder.kind!r} sees the whole recording; train one of bounded context, such as "
            "--encoder transformer with encoder.mask=window, encoder.positions=rotary and encoder.window_after=0, or "
            "--encoder convolution."
        )
    stride, reach = 1, 0
    for kernel, step in zip(config.inputs.kernels, config.inputs.strides, strict=True):
        reach += kernel // 2 * stride
        stride *= step
    return Reach(stride, reach, reach, (context.before, context.after))


def pcm_samples(data: Any) -> NDArray[np.float32]:
    r"""Return 16-bit little-endian samples as numbers in [-1, 1].

    >>> pcm_samples(b"\x00\x80\x00\x40").tolist()
    [-1.0, 0.5]
    """
    found: NDArray[np.float32] = np.frombuffer(data, dtype="<i2").astype(np.float32)
    return found / np.float32(32768)
