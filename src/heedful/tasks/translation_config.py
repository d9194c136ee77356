"""The configuration of a translator: what to read, which model, how to train and how to decode."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from heedful.data.learning import LEARNERS
from heedful.errors import OptionError
from heedful.models import FrequencyConfig, RecurrentConfig, TransformerConfig
from heedful.models.config import OneOf, Section
from heedful.tasks.sections import TrainingConfig


class DataConfig(Section):
    """Where the sentence pairs come from."""

    train: tuple[str, ...] = Field(
        (),
        description="Training pairs: two line-aligned files (source, target; .gz is read in place), one TSV, "
        'CSV or JSON-lines file with columns, or "builtin:dates" or "builtin:numbers".',
    )
    valid: tuple[str, ...] = Field((), description="Validation pairs, given in the same way.")
    columns: tuple[str, ...] = Field(
        (), description="Source and target column, for pairs that are read from one table."
    )
    max_length: int = Field(
        250, ge=1, description="Training pairs with a longer side, in tokens, are left out."
    )


class VocabularyConfig(Section):
    """How text is cut into tokens."""

    kind: Annotated[str, OneOf("kind of vocabulary", LEARNERS)] = Field(
        "bpe", description='Sub-words ("bpe", "unigram"), "word" or "char".'
    )
    size: int = Field(8000, ge=8, description="Most entries that a vocabulary may have.")
    min_frequency: int = Field(
        2, ge=1, description="A token (for bpe: a merge) must occur this often to get an entry."
    )
    lowercase: bool = Field(False, description="Turn both languages into lower case.")
    shared: bool = Field(
        True, description="One vocabulary for both languages; false makes one for each."
    )


class TranslationTraining(TrainingConfig):
    """How the model is trained."""

    metric: Literal["bleu", "chrf", "exact_match", "loss"] = Field(
        "bleu", description="The validation figure by which the best weights are chosen."
    )


class DecodingConfig(Section):
    """How translations are searched for, when evaluating and predicting."""

    beam: int = Field(5, ge=1, description="Hypotheses kept at each step; 1 is greedy search.")
    length_penalty: float = Field(
        1.0, ge=0, description="Power of the length by which a score is divided; 0: plain sums."
    )
    max_length_ratio: float = Field(
        2.0,
        gt=0,
        description="A translation has at most so many tokens for each source token, and ten more.",
    )
    batch_tokens: int = Field(
        8192, ge=1, description="Source tokens decoded at once, padding counted."
    )
    chunk: int = Field(
        512,
        ge=1,
        description="Lines read before the first is translated: sorted by length within "
        "a chunk, and written in the order they came.",
    )


ModelSection = Annotated[TransformerConfig | RecurrentConfig, Field(discriminator="kind")]


class TranslationConfig(Section):
    """Configuration of `heedful train translate`."""

    data: DataConfig = Field(DataConfig(), description="Where the sentence pairs come from.")
    vocabulary: VocabularyConfig = Field(
        VocabularyConfig(), description="How text is cut into tokens."
    )
    model: ModelSection = Field(
        default_factory=TransformerConfig, description="The model and its sizes."
    )
    frequency: FrequencyConfig = Field(
        FrequencyConfig(), description="What is done about frequent tokens of the source."
    )
    training: TranslationTraining = Field(
        TranslationTraining(), description="How the model is trained."
    )
    decoding: DecodingConfig = Field(
        DecodingConfig(), description="How translations are searched for."
    )

    @model_validator(mode="after")
    def _one_embedding_has_one_vocabulary(self) -> Self:
        # two vocabularies of the same size would be taken for one
        if self.model.share_embeddings and not self.vocabulary.shared:
            raise OptionError(
                "model.share_embeddings wants one vocabulary for both languages, but vocabulary.shared "
                "is false; make both true or both false"
            )
        return self

    @model_validator(mode="after")
    def _attention_is_there_to_be_weighed(self) -> Self:
        for name in ("down_weight", "penalty"):
            none = isinstance(self.model, RecurrentConfig) and self.model.attention == "none"
            if none and getattr(self.frequency, name):
                raise OptionError(
                    f"frequency.{name} acts on the attention to the source, but model.attention is 'none'; choose a "
                    f"score as model.attention, or set frequency.{name} to 0"
                )
        return self
