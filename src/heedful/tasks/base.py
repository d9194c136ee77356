"""A task combines an input, an answer, a reader and a configuration; all share one training loop."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from pydantic import BaseModel
from torch import Tensor, nn

from heedful import run_folder
from heedful.answers.base import Answer, Scores
from heedful.config import read_configuration
from heedful.data.dataset import Dataset
from heedful.errors import DataError, OptionError, RunError, shown
from heedful.inputs.base import Input
from heedful.models.encoders import build_encoder
from heedful.models.model import AnyModel, Ensemble, Model
from heedful.tasks.batches import Batches, Encoded, Variant
from heedful.tasks.predictor import Predictor, read_layout
from heedful.tasks.readers.base import Reader
from heedful.tasks.size_check import limited_size


class TrainingBatch(NamedTuple):
    """A padded batch and its targets."""

    batch: Any
    targets: Any


def _joint_change(predictor: Predictor) -> Variant | None:
    """Return what makes a random variant of a training example: of its input, its target, or both."""
    of_input: Variant | None = predictor.input.pair_augmentation()
    of_target = predictor.answer.augmentation()
    if of_target is None:
        return of_input

    def change(encoded: Any, target: Any, generator: np.random.Generator) -> tuple[Any, Any]:
        if of_input is not None:
            encoded, target = of_input(encoded, target, generator)
        return encoded, of_target(target, generator)

    return change


class LossModule(nn.Module):
    """Model and loss in one module, as Fabric needs it to wrap both."""

    def __init__(self, model: nn.Module, answer: Answer[Any]):
        super().__init__()
        self.model = model
        self.answer = answer

    def forward(self, batch: TrainingBatch) -> Tensor:
        """Return the loss of a batch, summed over its predictions."""
        return self.answer.loss(self.model, *batch)

    def count_predictions(self, batch: TrainingBatch) -> int:
        """Return the number of predictions (tokens, labels) in a batch."""
        return self.answer.count_predictions(*batch)

    def count_tokens(self, batch: TrainingBatch) -> int:
        """Return the number of positions in a batch, the unit of training speed."""
        return self.answer.count_tokens(*batch)


def build_encoder_model(config: Any, inputs: Any, answer: Any) -> AnyModel:
    """Build a newly initialized encoder model, or the ensemble that `config.ensemble` asks for."""
    ensemble = getattr(config, "ensemble", None)
    members = [
        _build_member(config, inputs, answer)
        for _ in range(1 if ensemble is None else ensemble.members)
    ]
    return members[0] if len(members) == 1 else Ensemble(members)


def _build_member(config: Any, inputs: Any, answer: Any) -> Model:
    return build_member(inputs.embedding(), config.encoder, inputs, answer)


def build_member(embedding: Any, encoder_config: Any, inputs: Any, answer: Any) -> Model:
    """Build a newly initialized network of an embedding, an encoder and the head of an answer."""
    encoder = build_encoder(
        encoder_config,
        embedding.width,
        grid=getattr(embedding, "grid", None),
        edge_width=getattr(embedding, "edge_width", 0),
    )
    encoder.whole_width = getattr(embedding, "whole_width", 0)
    return Model(embedding, encoder, answer.head(encoder), inputs.frequency())


def describe_encoder(config: Any) -> str:
    """Return a description of a configured encoder model, for the report."""
    return f"the encoder {config.encoder.kind}"


def copy_leading_weights(source: nn.Module, target: nn.Module) -> None:
    """Copy the parameters of a module into one that is equal but for more rows of vocabularies and labels.

    >>> old, new = nn.Embedding(2, 3), nn.Embedding(4, 3)
    >>> copy_leading_weights(old, new)
    >>> bool((new.weight[:2] == old.weight).all())
    True
    """
    parameters = dict(target.named_parameters())
    with torch.no_grad():
        for name, initial in source.named_parameters():
            parameters[name][tuple(slice(size) for size in initial.shape)] = initial


InputAndAnswer = tuple[Input[Any, Any], Answer[Any]]


@dataclass(frozen=True, kw_only=True)
class Task:
    """Input × answer × reader × configuration.

    A new task is one value of this class and one entry in `heedful.tasks.table.ENTRIES`.
    """

    name: str
    """Name on the command line and in the run folder."""
    examples: str
    """Plural noun for one input with its answer, in messages: pairs, sentences, texts."""
    unit: str = "words"
    """Plural noun for the positions of an input, the unit of its length."""
    configuration: type[BaseModel]
    """Has the sections `data` (read by the reader), `training` (a `TrainingConfig`), `prediction`, and those of the
    input and the answer."""
    input: type[Input[Any, Any]]
    answer: type[Answer[Any]]
    reader: Reader
    build: Callable[[Any, Any, Any], nn.Module] = build_encoder_model
    """(configuration, input, answer) -> newly initialized model."""
    learn_jointly: Callable[[Any, Dataset], InputAndAnswer] | None = None
    """(configuration, training data) -> input and answer, for tasks in which they share a vocabulary."""
    fit: Callable[[Predictor, Dataset], None] | None = None
    """(predictor, training data): computes what of a new model is solved for at once, not trained."""
    describe: Callable[[Any], str] = describe_encoder
    """configuration -> description of the model, for the report."""

    def check(self, config: Any, train: Dataset, valid: Dataset) -> None:
        """Raise DataError or OptionError for non-empty data that the answer cannot be trained on."""
        self.answer.check(config, train, valid)

    def check_options(self, options: Mapping[str, Any]) -> dict[str, Any]:
        """Check the options of evaluate, predict and explain that only some tasks support.

        Args:
            options: option -> value; None or False means not set.

        Returns: the subset that `Predictor.predict` takes.

        Raises: OptionError for an option that has no effect on this task.
        """
        supported = self.answer.search_options | self.answer.command_options
        for section, name in (
            ("data", "columns"),
            ("data", "tokens"),
            ("data", "encoding"),
            ("data", "max_line"),
            ("data", "skip_bad"),
            ("data", "edges"),
            ("data", "nodes"),
            ("data", "labels"),
            ("prediction", "column"),
        ):
            field = self.configuration.model_fields.get(section)
            if field is not None and name in getattr(field.annotation, "model_fields", ()):
                supported |= {name}
        chosen = {
            k: value for k, value in options.items() if value is not None and value is not False
        }
        for name in chosen:
            if name not in supported:
                option = name.replace("_", "-")
                raise OptionError(
                    f"the option {option} has no effect on the task {shown(self.name)}; leave it out"
                )
        return {k: value for k, value in chosen.items() if k in self.answer.search_options}

    def learn(self, config: Any, train: Dataset) -> Predictor:
        """Learn vocabularies and statistics from the training data and build a newly initialized model."""
        return self._fitted(config, *self._learned(config, train), train)

    def _learned(self, config: Any, train: Dataset) -> InputAndAnswer:
        if self.learn_jointly is not None:
            return self.learn_jointly(config, train)
        return self.input.learn(config, train.inputs), self.answer.learn(config, train.answers)

    def _fitted(self, config: Any, inputs: Any, answer: Any, train: Dataset) -> Predictor:
        predictor = self._predictor(config, inputs, answer, self.reader.layout(train))
        if self.fit is not None:
            self.fit(predictor, train)
        return predictor

    def learn_from(self, config: Any, train: Dataset, initial: Predictor) -> Predictor:
        """Build a model for the training data that starts from the weights of `initial`.

        Words, characters and labels of `initial` keep their ids; new ones get newly initialized weights.

        Args:
            config: the configuration of the new training.
            train: its data.
            initial: what `load_initial` returns for this configuration.
        """
        inputs, answer = self._learned(config, train)
        inputs, answer = inputs.extend(initial.input), answer.extend(initial.answer)
        predictor = self._fitted(config, inputs, answer, train)
        copy_leading_weights(initial.model, predictor.model)
        return predictor

    def reload(self, config: Any, folder: Path) -> Predictor:
        """Load the vocabularies and statistics of a run folder and build a newly initialized model."""
        inputs, answer = self.input.load(config, folder), self.answer.load(config, folder)
        return self._predictor(config, inputs, answer, read_layout(folder))

    def _reload_checked(self, config: Any, folder: Path) -> Predictor:
        """Do as `reload`, for a folder that may come from a stranger.

        Raises: RunError for a configuration of a larger model than the weights of the folder.
        """
        inputs, answer = self.input.load(config, folder), self.answer.load(config, folder)
        try:
            with limited_size(folder / run_folder.WEIGHTS):
                return self._predictor(config, inputs, answer, read_layout(folder))
        except OptionError as error:
            raise RunError(f"the run's configuration is invalid: {error}") from None

    def reload_finished(self, config: Any, folder: Path, train: Dataset) -> Predictor:
        """Do as `reload`, for a finished run that is trained further on `train`."""
        inputs = self.input.load(config, folder)
        answer = self.answer.load_finished(config, folder, train.answers)
        return self._predictor(config, inputs, answer, read_layout(folder))

    def _predictor(
        self, config: Any, inputs: Any, answer: Any, layout: Mapping[str, Any]
    ) -> Predictor:
        return Predictor(self, config, inputs, answer, self.build(config, inputs, answer), layout)

    def load_config(self, run: str | Path) -> Any:
        """Load the configuration of a run folder.

        Raises: RunError for a folder that is missing, not a run of this task, or has an invalid configuration.
        """
        folder = run_folder.check(run, self.name)
        try:
            return read_configuration(self.configuration, run_folder.configuration_file(folder))
        except OptionError as error:
            raise RunError(f"the run's configuration is invalid: {error}") from None

    def load(self, run: str | Path) -> Predictor:
        """Load a trained model from a run folder.

        Raises: RunError for a folder that is missing, not a run of this task, truncated or corrupt.
        """
        predictor = self._reload_checked(self.load_config(run), Path(run))
        predictor.load_weights(Path(run))
        predictor.model.eval()
        return predictor

    def load_initial(self, config: Any, run: str | Path) -> Predictor:
        """Load a trained model under the configuration of a training that starts from its weights.

        Raises: RunError as `load`, and if the configuration describes another model than that of the run.
        """
        folder = Path(run)
        # What the training section changes is computed anew from the new data, and has no part in the model.
        training = self.load_config(folder).training
        predictor = self._reload_checked(config.model_copy(update={"training": training}), folder)
        try:
            predictor.load_weights(folder)
        except RunError as error:
            raise RunError(
                f"the configuration describes another model than the initial run ({error}); leave the model's "
                "settings as they are"
            ) from None
        return predictor

    def encode(self, predictor: Predictor, data: Dataset) -> Encoded:
        """Encode the inputs and the reference answers of data.

        Raises: DataError for an example that the model cannot read, and for an invalid answer.
        """
        return Encoded(predictor.input.encode(data.inputs), predictor.answer.targets(data))

    def batches(
        self,
        predictor: Predictor,
        data: Dataset,
        *,
        training: bool,
        encoded: Encoded | None = None,
    ) -> Batches[TrainingBatch]:
        """Encode data, unless they are `encoded`; for training, drop examples longer than `data.max_length`.

        Reads the settings data.max_length (for training), training.batch_tokens and training.seed.

        Raises: DataError for an example whose encoding is empty, or if all examples are dropped.
        """
        inputs, answer, options = predictor.input, predictor.answer, predictor.config.training
        encoded = encoded or self.encode(predictor, data)
        lengths = inputs.lengths(encoded.inputs)
        target_lengths = answer.lengths(encoded.targets)
        if not lengths.all():
            row = int(np.argmin(lengths))
            raise data.error(row, f"the {data.example} has no tokens; remove the row.")
        self._check_fit(predictor, data, encoded, training=training)
        rows = np.arange(len(lengths))
        if training:
            max_length = predictor.config.data.max_length
            fits = inputs.fits(lengths, max_length)
            if target_lengths is not None:
                fits &= answer.fits(target_lengths, max_length)
            rows = rows[fits]
            if not len(rows):
                raise DataError(
                    f"every training {data.example} is longer than data.max_length = {max_length}; increase it"
                )
        table = np.stack([lengths, lengths if target_lengths is None else target_lengths], axis=1)

        def collate(chosen: list[Any], targets: list[Any]) -> TrainingBatch:
            return TrainingBatch(inputs.collate(chosen), answer.collate(targets))

        return Batches(
            encoded,
            rows,
            table[rows],
            collate,
            options.batch_tokens,
            options.seed,
            self._variant(predictor, data) if training else None,
        )

    def _variant(self, predictor: Predictor, data: Dataset) -> Variant | None:
        """Return what takes the place of a training example in an epoch: a fresh one, a random variant, or both."""
        change = _joint_change(predictor)
        if data.fresh(np.random.default_rng(0)) is None:
            return change

        def renew(encoded: Any, target: Any, generator: np.random.Generator) -> tuple[Any, Any]:
            fresh = data.fresh(generator)
            assert fresh is not None
            [encoded], [target] = self.encode(predictor, fresh)
            return (encoded, target) if change is None else change(encoded, target, generator)

        return renew

    def _check_fit(
        self, predictor: Predictor, data: Dataset, encoded: Encoded, *, training: bool
    ) -> None:
        """Raise DataError with a line for each example whose target its input cannot carry."""
        inputs, answer = predictor.input, predictor.answer
        if not answer.misfit_advice:
            return
        errors = []
        for row, (example, target) in enumerate(zip(*encoded, strict=True)):
            positions = inputs.positions_left(example, training=training)
            if wrong := answer.misfit(target, positions):
                errors.append(str(data.error(row, wrong)))
        if errors:
            raise DataError("\n".join([*errors, answer.misfit_advice]))

    def loss(self, predictor: Predictor) -> LossModule:
        """Return the loss module of the predictor's model."""
        return LossModule(predictor.model, predictor.answer)

    @property
    def depends_on_batch(self) -> bool:
        """Whether the loss of a training example depends on the other examples of its batch."""
        return self.input.depends_on_batch or self.answer.depends_on_batch

    def validate(
        self, predictor: Predictor, data: Dataset, predicted: Sequence[Any]
    ) -> tuple[Scores, list[str]]:
        """Return the validation metrics of predictions, except the loss, and warnings about them."""
        answer: Answer[Any] = predictor.answer
        return answer.scores(predictor.score(data, predicted)), answer.warnings(predicted, data)
