"""The configuration of a translator: what to read, which model, how to train and how to decode."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from heedful.errors import OptionError
from heedful.models import RecurrentConfig, TransformerConfig


class Section(BaseModel):
    """A frozen part of a configuration in which an unknown key is an error."""

    model_config = ConfigDict(frozen=True, extra="forbid")


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

    kind: Literal["bpe", "unigram", "word", "char"] = Field(
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


class TrainingConfig(Section):
    """How the model is trained."""

    epochs: int = Field(30, ge=1, description="Most passes over the training pairs.")
    batch_tokens: int = Field(
        4096, ge=1, description="Most tokens in a batch, padding counted, on its longer side."
    )
    learning_rate: float = Field(3e-3, gt=0, description="The highest learning rate.")
    schedule: Literal["inverse_square_root", "cosine", "linear", "constant"] = Field(
        "inverse_square_root", description="How the learning rate falls after the warm-up."
    )
    warmup_steps: int = Field(
        1000, ge=0, description="Steps in which the learning rate rises from 0 to the highest."
    )
    adam_betas: tuple[float, float] = Field(
        (0.9, 0.98), description="Adam's averaging factors of the gradient and of its square."
    )
    weight_decay: float = Field(0.0, ge=0, description="Decoupled weight decay (AdamW).")
    label_smoothing: float = Field(
        0.1, ge=0, lt=1, description="Share of each target's probability spread over all tokens."
    )
    clip_norm: float = Field(
        1.0, ge=0, description="Longest gradient (its norm over all parameters); 0 never clips."
    )
    average_epochs: int = Field(
        5,
        ge=1,
        description="The weights of the last so many epochs are averaged at the end, and "
        "kept if the average validates better than the best epoch; 1 never averages.",
    )
    metric: Literal["bleu", "chrf", "exact_match", "loss"] = Field(
        "bleu", description="The validation figure by which the best weights are chosen."
    )
    patience: int = Field(
        10, ge=0, description="Stop after so many epochs without a better one; 0 never stops early."
    )
    checkpoint_steps: int = Field(
        0,
        ge=0,
        description="Also save a checkpoint every so many steps within an epoch; 0: only "
        "at the end of each epoch.",
    )
    progress_steps: int = Field(20, ge=1, description="Steps between two reports of progress.")
    seed: int = Field(
        0, ge=0, description="Fixes the first weights, dropout and the order of the batches."
    )
    threads: int = Field(0, ge=0, description="CPU threads to compute with; 0: PyTorch's choice.")
    keep_freed_memory: bool = Field(
        True,
        description="Let the C library (glibc) keep freed memory: much faster on a CPU, at "
        "the price of a process that does not shrink until it ends.",
    )
    accelerator: Literal["cpu", "cuda", "mps", "auto"] = Field(
        "cpu", description="Kind of device to train on."
    )
    precision: Literal["32-true", "bf16-mixed", "16-mixed", "64-true"] = Field(
        "32-true", description="Number format; the mixed ones keep the weights in 32 bits."
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
    training: TrainingConfig = Field(TrainingConfig(), description="How the model is trained.")
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
