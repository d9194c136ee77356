"""The configuration of a tagger: what to read, how tokens become features, which encoder, how to train."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from heedful.data.label_formats import FORMATS
from heedful.models.config import OneOf, Section
from heedful.models.encoders import EncoderSection
from heedful.models.encoders.inputs import TokenInputsConfig
from heedful.models.encoders.recurrent import RecurrentEncoderConfig
from heedful.tasks.sections import TrainingConfig


class TaggingData(Section):
    """Where the labelled sentences come from."""

    train: tuple[str, ...] = Field(
        (),
        description="Training files: CoNLL-U, CoNLL columns or JSON lines; .gz is read in place.",
    )
    valid: tuple[str, ...] = Field((), description="Validation files, given in the same way.")
    column: str = Field(
        "",
        description="Which column holds the labels. CoNLL-U: upos, xpos, feats, deprel, ... or a feature "
        'such as Number. CoNLL columns: a number, or "last". JSON lines: a key. Empty: upos, last, tags.',
    )
    format: Annotated[str, OneOf("format", FORMATS, "auto")] = Field(
        "auto", description="The files' format; auto tells it by the names."
    )
    tokens: str = Field("tokens", description="The key of the tokens in JSON lines.")
    max_length: int = Field(
        250, ge=1, description="Longer training sentences, in tokens, are left out."
    )


class TaggingVocabulary(Section):
    """Which words and characters get an embedding of their own."""

    min_frequency: int = Field(
        2, ge=1, description="A word must occur this often; others share the unknown word's."
    )
    size: int = Field(100_000, ge=1, description="Most words that get an embedding.")
    lowercase: bool = Field(
        True, description="Words in lower case; characters are always read as they are written."
    )
    longest_word: int = Field(
        32, ge=2, description="Of a longer word, the first and the last characters are read."
    )


class LabelsConfig(Section):
    """How labels are scored."""

    chain: bool = Field(
        False, description="Score neighbouring labels together: a linear-chain CRF and Viterbi."
    )
    spans: bool = Field(
        True,
        description="Labels that mark spans (BIO, IOB, BIOES) keep to their scheme: data that break it are refused, "
        "and a chain never gives what breaks it.",
    )
    dropout: float = Field(
        0.3, ge=0, lt=1, description="Probability of dropping a feature of the encoder's states."
    )


class TaggingTraining(TrainingConfig):
    """How the model is trained."""

    epochs: int = Field(20, ge=1, description="Most passes over the training data.")
    batch_tokens: int = Field(1000, ge=1, description="Most tokens in a batch, padding counted.")
    learning_rate: float = Field(2e-3, gt=0, description="The highest learning rate.")
    schedule: Literal["inverse_square_root", "cosine", "linear", "constant"] = Field(
        "cosine", description="How the learning rate falls after the warm-up."
    )
    warmup_steps: int = Field(
        100, ge=0, description="Steps in which the learning rate rises from 0 to the highest."
    )
    adam_betas: tuple[float, float] = Field(
        (0.9, 0.98), description="Adam's averaging factors of the gradient and of its square."
    )
    label_smoothing: float = Field(
        0.1,
        ge=0,
        lt=1,
        description="Share of each target's probability spread over all labels; not with a chain.",
    )
    metric: Literal["accuracy", "macro_f1", "loss"] = Field(
        "accuracy", description="The validation figure by which the best weights are chosen."
    )


class TaggingPrediction(Section):
    """How a trained tagger reads files."""

    batch_tokens: int = Field(8192, ge=1, description="Tokens tagged at once, padding counted.")
    chunk: int = Field(
        512,
        ge=1,
        description="Sentences read before the first is tagged: sorted by length within a chunk, and "
        "written in the order they came.",
    )


class TaggingConfig(Section):
    """Configuration of `heedful train tag`."""

    data: TaggingData = Field(TaggingData(), description="Where the labelled sentences come from.")
    vocabulary: TaggingVocabulary = Field(
        TaggingVocabulary(), description="Which words get an embedding of their own."
    )
    inputs: TokenInputsConfig = Field(
        TokenInputsConfig(), description="How a token becomes features."
    )
    encoder: EncoderSection = Field(
        default_factory=RecurrentEncoderConfig, description="What a token knows of its context."
    )
    labels: LabelsConfig = Field(LabelsConfig(), description="How labels are scored.")
    training: TaggingTraining = Field(TaggingTraining(), description="How the model is trained.")
    prediction: TaggingPrediction = Field(
        TaggingPrediction(), description="How a trained tagger reads files."
    )
