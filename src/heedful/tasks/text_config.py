"""The configuration of what gives each text an answer: classifying and regressing differ in a few lines."""

from __future__ import annotations

from typing import Literal, Self

from pydantic import Field, model_validator

from heedful.errors import OptionError
from heedful.models.classifier import PoolingConfig
from heedful.models.config import Section
from heedful.models.encoders import EncoderSection
from heedful.models.encoders.inputs import Characters, TokenInputsConfig
from heedful.models.encoders.recurrent import RecurrentEncoderConfig
from heedful.models.ensemble import EnsembleConfig
from heedful.models.frequency import FrequencyConfig
from heedful.tasks.sections import TrainingConfig


class TextData(Section):
    """Where the texts come from."""

    train: tuple[str, ...] = Field(
        (), description="Training tables: .tsv, .csv or .jsonl; .gz is read in place."
    )
    valid: tuple[str, ...] = Field((), description="Validation tables, given in the same way.")
    valid_share: float = Field(
        0.1,
        ge=0,
        lt=1,
        description="Without validation tables: the share of the training texts that is cut off for it. 0 cuts "
        "none off and validates on the training texts themselves, whose figures then say nothing of new ones: "
        "for a last training on everything, once all else is chosen.",
    )
    valid_seed: int = Field(0, ge=0, description="Which texts are cut off.")
    text: str = Field(
        "text", description="Column of the texts; a number, from 1, where there is no header."
    )
    max_length: int = Field(
        256, ge=2, description="Of a longer text, in tokens, the first and the last ones are read."
    )


class ClassifyData(TextData):
    """Where the texts and their labels come from."""

    label: str = Field("label", description="Column of the labels, likewise.")
    separator: str = Field(
        "",
        description="Parts several labels in one field, as in a,b: each text then has any number of labels. "
        "Empty: each text has one.",
    )
    min_examples: int = Field(
        2, ge=1, description="A label must have so many training texts; fewer are an error."
    )


class RegressData(TextData):
    """Where the texts and their targets come from."""

    target: str = Field("target", description="Column of the numbers, likewise.")


class TextVocabulary(Section):
    """What a token is, and which get an embedding of their own."""

    kind: Literal["word", "space", "char", "bpe", "unigram"] = Field(
        "word",
        description="word: punctuation apart, each character of Chinese, Japanese or Thai a word; space: what "
        "stands between spaces; char; bpe and unigram: sub-words learned from the training texts.",
    )
    min_frequency: int = Field(
        2,
        ge=1,
        description="A token must occur this often; others share the unknown one's embedding.",
    )
    size: int = Field(30_000, ge=6, description="Most tokens that get an embedding.")
    lowercase: bool = Field(True, description="Tokens in lower case.")
    longest_word: int = Field(
        32, ge=2, description="Of a longer token, the first and the last characters are read."
    )


class TextInputs(TokenInputsConfig):
    """How a token becomes features."""

    characters: Characters = Field(
        "none", description="How a token's characters are read; unknown words live by it."
    )
    word_dropout: float = Field(
        0.05, ge=0, lt=1, description="Share of tokens that training takes for unknown ones."
    )


class TextTraining(TrainingConfig):
    """How the model is trained."""

    epochs: int = Field(15, ge=1, description="Most passes over the training data.")
    batch_tokens: int = Field(1000, ge=1, description="Most tokens in a batch, padding counted.")
    learning_rate: float = Field(1e-3, gt=0, description="The highest learning rate.")
    schedule: Literal["inverse_square_root", "cosine", "linear", "constant"] = Field(
        "cosine", description="How the learning rate falls after the warm-up."
    )
    warmup_steps: int = Field(
        100, ge=0, description="Steps in which the learning rate rises from 0 to the highest."
    )
    patience: int = Field(
        0, ge=0, description="Stop after so many epochs without a better one; 0 never stops early."
    )


class ClassifyTraining(TextTraining):
    """How the model is trained."""

    label_smoothing: float = Field(
        0.1,
        ge=0,
        lt=1,
        description="Share of each target's probability spread over all labels; not with several a text.",
    )
    metric: Literal["accuracy", "macro_f1", "micro_f1", "loss"] = Field(
        "accuracy",
        description="The validation figure by which the best weights are chosen. With several labels a text "
        "accuracy is the share of texts whose labels are all right, and none other.",
    )


class RegressTraining(TextTraining):
    """How the model is trained."""

    label_smoothing: float = Field(0.0, ge=0, le=0, description="Numbers are not smoothed.")
    metric: Literal["rmse", "mae", "r2", "loss"] = Field(
        "rmse", description="The validation figure by which the best weights are chosen."
    )


class TextPrediction(Section):
    """How a trained model reads files."""

    batch_tokens: int = Field(8192, ge=1, description="Tokens read at once, padding counted.")
    chunk: int = Field(
        512,
        ge=1,
        description="Texts read before the first is answered: sorted by length within a chunk, and written in "
        "the order they came.",
    )
    column: str = Field("predicted", min_length=1, description="Name of the column that is added.")


class ClassifyPrediction(TextPrediction):
    """How a trained classifier reads files."""

    threshold: float = Field(
        0.5,
        gt=0,
        lt=1,
        description="With several labels a text: the least probability of one given.",
    )


class TextConfig(Section):
    """What both configurations share."""

    data: TextData = Field(TextData(), description="Where the texts come from.")
    vocabulary: TextVocabulary = Field(TextVocabulary(), description="What a token is.")
    inputs: TextInputs = Field(TextInputs(), description="How a token becomes features.")
    encoder: EncoderSection = Field(
        default_factory=RecurrentEncoderConfig, description="What a token knows of its context."
    )
    pooling: PoolingConfig = Field(
        PoolingConfig(), description="How the states of a text become one vector."
    )
    frequency: FrequencyConfig = Field(
        FrequencyConfig(), description="What is done about frequent words."
    )
    ensemble: EnsembleConfig = Field(
        EnsembleConfig(), description="How many networks answer together."
    )

    @model_validator(mode="after")
    def _attention_is_there_to_be_weighed(self) -> Self:
        for name in ("down_weight", "penalty"):
            if getattr(self.frequency, name) and self.pooling.kind != "attention":
                raise OptionError(
                    f"frequency.{name} acts on the attention that pools, but pooling.kind is "
                    f"{self.pooling.kind!r}; set pooling.kind to 'attention', or frequency.{name} to 0"
                )
        return self


class ClassifyConfig(TextConfig):
    """Configuration of `heedful train classify`."""

    data: ClassifyData = Field(ClassifyData(), description="Where texts and labels come from.")
    training: ClassifyTraining = Field(ClassifyTraining(), description="How the model is trained.")
    prediction: ClassifyPrediction = Field(
        ClassifyPrediction(), description="How a trained model reads files."
    )


class RegressConfig(TextConfig):
    """Configuration of `heedful train regress`."""

    data: RegressData = Field(RegressData(), description="Where texts and targets come from.")
    training: RegressTraining = Field(RegressTraining(), description="How the model is trained.")
    prediction: TextPrediction = Field(
        TextPrediction(), description="How a trained model reads files."
    )
