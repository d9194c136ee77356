"""Recordings × text: transcription by CTC, by a decoder with attention, or by both."""

from __future__ import annotations

from typing import Annotated, Any, Final, Self

from pydantic import Field, model_validator

from heedful.answers.transcript import CTCConfig, TranscribedText, TranscriptDecodingConfig
from heedful.errors import OptionError
from heedful.inputs.frames import FramesInput
from heedful.inputs.frames_config import AugmentConfig, FeaturesConfig, FrameInputsConfig
from heedful.inputs.pieces import TextVocabularyConfig
from heedful.models.config import OneOf, Section
from heedful.models.encoders import ENCODERS, EncoderSection
from heedful.models.encoders.recurrent import RecurrentEncoderConfig
from heedful.models.recurrent_text import RecurrentDecoderConfig
from heedful.models.transcriber import TEXT_DECODERS, TextDecoderSection, Transcriber
from heedful.tasks.audio import AudioTraining
from heedful.tasks.base import Task
from heedful.tasks.readers.audio import AudioData, AudioReader


class TranscribedAudio(AudioData):
    """Where the recordings and their transcripts come from, and how they are cut into frames."""

    text: str = Field(
        "",
        description="Column of the transcripts; empty: text, sentence, transcript, transcription or normalized_text.",
    )

    @property
    def answer(self) -> str:
        return self.text


class TranscriptVocabularyConfig(TextVocabularyConfig):
    """Tokenization of the transcripts."""

    kind: Annotated[str, OneOf("kind of vocabulary", ["bpe", "unigram", "word", "char"])] = "char"
    size: int = 500
    min_frequency: int = 1


class TranscribeAugmentConfig(AugmentConfig):
    """Random changes of the features of each training example; what is said stays whole."""

    @model_validator(mode="after")
    def _check_crop(self) -> Self:
        if self.crop:
            raise OptionError(
                f"augment.crop is {self.crop}, but a recording whose ends are cut off no longer says its transcript; "
                "leave it at 0"
            )
        return self


class TranscribeTraining(AudioTraining):
    """Optimization, schedule, stopping and reproducibility."""

    batch_tokens: int = 8192
    learning_rate: float = 2e-3
    metric: Annotated[str, OneOf("metric", TranscribedText.metrics)] = "wer"


class TranscribeConfig(Section):
    """Configuration of `heedful train transcribe`."""

    data: TranscribedAudio = TranscribedAudio()
    features: FeaturesConfig = FeaturesConfig()
    augment: TranscribeAugmentConfig = TranscribeAugmentConfig()
    inputs: FrameInputsConfig = FrameInputsConfig()
    vocabulary: TranscriptVocabularyConfig = TranscriptVocabularyConfig()
    encoder: EncoderSection = RecurrentEncoderConfig(kind="lstm", hidden=96, layers=2, dropout=0.2)
    ctc: CTCConfig = CTCConfig()
    decoder: TextDecoderSection = RecurrentDecoderConfig(embedding=64, hidden=128, dropout=0.2)
    training: TranscribeTraining = TranscribeTraining()
    decoding: TranscriptDecodingConfig = TranscriptDecodingConfig()

    @property
    def prediction(self) -> TranscriptDecodingConfig:
        """The `decoding` section, under the name that all tasks share."""
        return self.decoding

    @model_validator(mode="after")
    def _check_weights(self) -> Self:
        if self.decoder.kind != "none" and self.ctc.weight == 1:
            raise OptionError(
                "ctc.weight is 1, so that the decoder would not be trained; lower it, or set decoder.kind to none"
            )
        return self


def _build(config: TranscribeConfig, inputs: FramesInput, answer: TranscribedText) -> Transcriber:
    embedding = inputs.embedding()
    encoder = ENCODERS[config.encoder.kind](config.encoder, embedding.width)
    decoder = None
    if config.decoder.kind != "none":
        build = TEXT_DECODERS[config.decoder.kind]
        decoder = build(config.decoder, len(answer.vocabulary), encoder.width)
    return Transcriber(embedding, encoder, answer.head(encoder), decoder)


def _describe(config: Any) -> str:
    decoder, ctc = config.decoder.kind, bool(config.ctc.weight)
    writers = [*(["CTC"] if ctc or decoder == "none" else [])]
    if decoder != "none":
        writers.append(f"a decoder of kind {decoder}")
    return f"the encoder {config.encoder.kind} with {' and '.join(writers)}"


TASK: Final = Task(
    name="transcribe",
    examples="recordings",
    unit="frames",
    configuration=TranscribeConfig,
    input=FramesInput,
    answer=TranscribedText,
    reader=AudioReader("text"),
    build=_build,
    describe=_describe,
)
