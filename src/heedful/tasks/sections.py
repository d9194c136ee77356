"""Sections that the configurations of several tasks share."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from heedful.models.config import Section

Schedule = Literal["inverse_square_root", "cosine", "linear", "constant"]


class LabelColumn(Section):
    """Where the labels come from."""

    label: str = Field(
        "label", description="Column of the labels; a number, from 1, where there is no header."
    )
    separator: str = Field(
        "",
        description="Separates several labels in one field, as in a,b: each example then has any number of labels. "
        "Empty: each has one.",
    )
    min_examples: int = Field(
        2, ge=1, description="A label must have so many training examples; fewer are an error."
    )


class TargetColumn(Section):
    """Where the numbers come from."""

    target: str = Field(
        "target",
        description="Column of the numbers; a number, from 1, where there is no header. Several columns, as in "
        "a,b: they are learned together, and a row may lack some of them.",
    )


class TrainingConfig(Section):
    """How the model is trained."""

    epochs: int = Field(30, ge=1, description="Most passes over the training data.")
    max_steps: int = Field(
        0, ge=0, description="Most optimizer steps, whatever the epochs say; 0: no limit."
    )
    max_tokens: int = Field(
        0,
        ge=0,
        description="Stop at the step that brings the predicted tokens to so many; 0: no limit.",
    )
    max_seconds: float = Field(
        0.0,
        ge=0,
        description="Stop at the step that brings the time spent on steps, validation not counted, to so "
        "many seconds; such a training is not repeatable; 0: no limit.",
    )
    batch_tokens: int = Field(
        4096,
        ge=1,
        description="Most tokens or steps in a batch, padding counted, on its longer side.",
    )
    learning_rate: float = Field(3e-3, gt=0, description="The highest learning rate.")
    schedule: Schedule = Field(
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
        0.1,
        ge=0,
        lt=1,
        description="Share of each target's probability spread over all tokens or labels; not with a chain of "
        "labels, several labels or numbers.",
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
    metric: str = Field(
        "loss", description="The validation metric by which the best weights are chosen."
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


class EncoderTraining(TrainingConfig):
    """How the model is trained."""

    epochs: int = 15
    batch_tokens: int = 1000
    learning_rate: float = 1e-3
    schedule: Schedule = "cosine"
    warmup_steps: int = 100
    patience: int = 0


class PredictionConfig(Section):
    """How a trained model reads files."""

    batch_tokens: int = Field(
        8192, ge=1, description="Most tokens or steps in a batch, padding counted."
    )
    chunk: int = Field(
        512,
        ge=1,
        description="Examples read before the first prediction: sorted by length within a chunk, and written in "
        "input order.",
    )


class ColumnPrediction(PredictionConfig):
    """How a trained model reads files."""

    column: str = Field("predicted", min_length=1, description="Name of the column that is added.")


class LabelPrediction(ColumnPrediction):
    """How a trained model reads files."""

    threshold: float = Field(
        0.5,
        gt=0,
        lt=1,
        description="With several labels: the least probability of a predicted label.",
    )
