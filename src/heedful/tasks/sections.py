"""Configuration sections shared by several tasks."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from heedful.answers.class_weights import WEIGHTINGS
from heedful.data.words import canonical
from heedful.errors import OptionError
from heedful.models.config import Chunk, OneOf, PredictionBatch, Section

Schedule = Literal["inverse_square_root", "cosine", "linear", "constant"]


class LabelColumn(Section):
    """Column of the labels.

    A base of the section `data` of tasks whose answer is `Label`, which reads separator and min_examples.
    """

    label: str = Field(
        "label", description="Label column; its number, from 1, in files without a header."
    )
    separator: str = Field(
        "",
        description="Separator of several labels in one field, such as the comma in a,b (multi-label classification); "
        "empty: one label per example.",
    )
    min_examples: int = Field(
        2, ge=1, description="Minimum training examples per label; fewer are an error."
    )

    @property
    def multi_label(self) -> bool:
        """Whether an example may have several labels or none."""
        return bool(self.separator)

    @property
    def required_labels(self) -> tuple[str, ...]:
        """Labels that must occur in the training data, whatever they are."""
        return ()


class LabelColumns(LabelColumn):
    """Column of the labels, or a column of 0 and 1 for each label."""

    label_columns: tuple[str, ...] = Field(
        (),
        description="0/1 columns, one per label, instead of the label column (multi-label classification).",
    )

    @model_validator(mode="after")
    def _one_form_of_labels(self) -> Self:
        columns = self.label_columns
        if columns and self.separator:
            raise OptionError(
                "data.label_columns and data.separator are two forms of several labels; give one of them"
            )
        if len(set(map(canonical, columns))) < len(columns) or len(columns) == 1 or "" in columns:
            raise OptionError(
                f"data.label_columns is {list(columns)}; expected two or more columns, all different"
            )
        return self

    @property
    def multi_label(self) -> bool:
        return bool(self.label_columns) or super().multi_label

    @property
    def required_labels(self) -> tuple[str, ...]:
        return tuple(map(canonical, self.label_columns))


class TargetColumn(Section):
    """Column of the target numbers."""

    target: str = Field(
        "target",
        description="Target column; its number, from 1, in files without a header. Several columns, as in a,b, are "
        "learned together; a row may lack some.",
    )


class TrainingConfig(Section):
    """Optimization, schedule, stopping and reproducibility."""

    epochs: int = Field(30, ge=1, description="Maximum passes over the training data.")
    max_steps: int = Field(
        0, ge=0, description="Maximum optimizer steps, within the epochs; 0: no limit."
    )
    max_tokens: int = Field(
        0,
        ge=0,
        description="Stop after the step that reaches this many predicted tokens; 0: no limit.",
    )
    max_seconds: float = Field(
        0.0,
        ge=0,
        description="Stop after the step that reaches this many seconds of training, validation excluded; makes runs "
        "irreproducible; 0: no limit.",
    )
    batch_tokens: int = Field(
        4096,
        ge=1,
        description="Maximum tokens or steps in a batch, padding included, on its longer side.",
    )
    accumulate: int = Field(
        1,
        ge=1,
        description="Batches whose gradients are summed for one optimizer step, as if they were one batch, in the "
        "memory of one.",
    )
    learning_rate: float = Field(3e-3, gt=0, description="Peak learning rate.")
    schedule: Schedule = Field(
        "inverse_square_root", description="Learning rate decay after the warm-up."
    )
    warmup_share: float = Field(
        0.1,
        ge=0,
        lt=1,
        description="Share of all steps in which the learning rate rises linearly from 0 to its peak.",
    )
    warmup_steps: int | None = Field(
        None, ge=0, description="Warm-up in steps instead, whatever their number in all."
    )
    adam_betas: tuple[float, float] = Field(
        (0.9, 0.98), description="Decay rates of Adam's first and second moment estimates."
    )
    adam_epsilon: float = Field(
        1e-9,
        gt=0,
        description="Added to the root of Adam's second moment; larger steadies small gradients.",
    )
    weight_decay: float = Field(0.0, ge=0, description="Weight decay.")
    decoupled_decay: bool = Field(
        True,
        description="Whether the decay is apart from the gradient (AdamW); otherwise it is a part of it (L2), which "
        "Adam scales.",
    )
    label_smoothing: float = Field(
        0.1,
        ge=0,
        lt=1,
        description="Target probability spread evenly over all classes; unused for CRF, multi-label and "
        "numeric answers.",
    )
    clip_norm: float = Field(1.0, ge=0, description="Maximum global gradient norm; 0: no clipping.")
    skip_nonfinite: int = Field(
        0,
        ge=0,
        description="Steps in a row that are left out if their loss or gradient is not finite, before training stops "
        "with an error.",
    )
    average_epochs: int = Field(
        5,
        ge=1,
        description="Average the weights of this many last epochs; 1: no averaging.",
    )
    keep_average: Literal["if_better", "always"] = Field(
        "if_better",
        description="Keep the average in place of the best epoch if it validates better, or always.",
    )
    ema_decay: float = Field(
        0.0,
        ge=0,
        lt=1,
        description="Decay of an exponential moving average of the weights, such as 0.999: what is validated and "
        "saved is the average; 0: off.",
    )
    metric: str = Field("loss", description="Validation metric that selects the best weights.")
    patience: int = Field(
        10,
        ge=0,
        description="Stop after this many epochs without improvement; 0: no early stopping.",
    )
    checkpoint_steps: int = Field(
        0,
        ge=0,
        description="Steps between checkpoints within an epoch; 0: only by checkpoint_minutes and at the end of each "
        "epoch.",
    )
    checkpoint_minutes: float = Field(
        5.0,
        ge=0,
        description="Minutes between checkpoints within an epoch, to resume from after the process was killed; 0: none "
        "by time.",
    )
    progress_steps: int = Field(20, ge=1, description="Steps between progress reports.")
    seed: int = Field(
        0, ge=0, description="Random seed of initial weights, dropout and batch order."
    )
    threads: int = Field(0, ge=0, description="CPU threads; 0: PyTorch's default.")
    keep_freed_memory: bool = Field(
        True,
        description="Keep freed memory in the process (glibc): much faster on CPUs, but memory is returned only at "
        "exit.",
    )
    accelerator: Literal["cpu", "cuda", "mps", "auto"] = Field(
        "cpu", description="Device type to train on."
    )
    precision: Literal["32-true", "bf16-mixed", "16-mixed", "64-true"] = Field(
        "32-true", description="Floating-point precision; mixed keeps the weights in 32 bits."
    )
    devices: Literal["auto"] | Annotated[int, Field(ge=1)] = Field(
        1,
        description="Processes on this machine that train one model, each with a device of its own or, on CPUs, with a "
        "share of the threads; auto: as many as is known to be fastest.",
    )
    nodes: int = Field(1, ge=1, description="Machines that train one model, each with `devices`.")
    strategy: Literal["ddp", "fsdp"] = Field(
        "ddp",
        description="What the processes hold: ddp all of the training state, fsdp a part of gradients and optimizer "
        "state each.",
    )
    peer_seconds: float = Field(
        300.0,
        gt=0,
        description="Seconds of waiting for another process in a training step, after which it counts as lost.",
    )


class EncoderTraining(TrainingConfig):
    """Optimization, schedule, stopping and reproducibility.

    The defaults are those for encoder models; encoder–decoders take the ones of `TrainingConfig`.
    """

    epochs: int = 15
    batch_tokens: int = 1000
    learning_rate: float = 1e-3
    schedule: Schedule = "cosine"
    warmup_share: float = 0.05
    patience: int = 0


class ClassWeighting(Section):
    """Weights of unevenly frequent labels in the training loss."""

    class_weights: Annotated[str, OneOf("class weighting", WEIGHTINGS, "none")] = Field(
        "none",
        description="Weights of the labels in the training loss, which make rare labels count as much as frequent "
        "ones; effective: less strongly so than balanced.",
    )
    class_weights_beta: float = Field(
        0.999,
        ge=0,
        lt=1,
        description="β of the effective numbers of class_weights=effective: 0 is no weighting, near 1 balanced.",
    )


class PredictionConfig(Section):
    """Batching and output of predictions."""

    batch_tokens: PredictionBatch = Field(
        8192, description="Maximum tokens or steps in a batch, padding included."
    )
    chunk: Chunk = Field(
        512,
        description="Examples read, sorted by length and predicted at once; output keeps the input order.",
    )


class ColumnPrediction(PredictionConfig):
    """Batching and output of predictions."""

    column: str = Field("predicted", min_length=1, description="Name of the added column.")


class LabelPrediction(ColumnPrediction):
    """Batching and output of predictions."""

    threshold: float = Field(
        0.5,
        gt=0,
        lt=1,
        description="Multi-label: minimum probability of a predicted label.",
    )
