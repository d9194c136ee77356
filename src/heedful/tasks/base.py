"""A task: which input, answer, reader and configuration go together; one training loop serves all of them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from pydantic import BaseModel
from torch import Tensor, nn

from heedful import run_folder
from heedful.answers.base import Answer, Scores
from heedful.config import read_configuration
from heedful.data.dataset import Dataset
from heedful.errors import DataError, OptionError, RunError
from heedful.inputs.base import Input
from heedful.models.encoders import ENCODERS
from heedful.models.model import AnyModel, Ensemble, Model
from heedful.tasks.batches import Batches
from heedful.tasks.predictor import Predictor, read_layout
from heedful.tasks.readers.base import Reader


class TrainingBatch(NamedTuple):
    """A padded batch and the targets of its rows."""

    batch: Any
    targets: Any


class Loss(nn.Module):
    """Model and loss as one module, so that Fabric can wrap them as one."""

    def __init__(self, model: nn.Module, answer: Answer[Any]):
        super().__init__()
        self.model = model
        self.answer = answer

    def forward(self, answered: TrainingBatch) -> Tensor:
        """Return the summed loss of the batch's `count` predictions."""
        return self.answer.loss(self.model, *answered)

    def count(self, answered: TrainingBatch) -> int:
        """Count the predictions (tokens, labels) of a batch."""
        return self.answer.count(*answered)

    def tokens(self, answered: TrainingBatch) -> int:
        """Count the positions of a batch, by which speed is measured."""
        return self.answer.tokens(*answered)


def head_model(config: Any, inputs: Any, answer: Any) -> AnyModel:
    """Build the networks of a configuration that has a section `encoder`, with fresh weights."""
    ensemble = getattr(config, "ensemble", None)
    members = [
        _member(config, inputs, answer) for _ in range(1 if ensemble is None else ensemble.members)
    ]
    return members[0] if len(members) == 1 else Ensemble(members)


def _member(config: Any, inputs: Any, answer: Any) -> Model:
    embedding = inputs.embedding()
    encoder = ENCODERS[config.encoder.kind](config.encoder, embedding.width)
    return Model(embedding, encoder, answer.head(encoder), inputs.frequency())


def encoder_name(config: Any) -> str:
    """Name the model of a configuration that has a section `encoder`."""
    return f"the encoder {config.encoder.kind}"


Parts = tuple[Input[Any, Any], Answer[Any]]


@dataclass(frozen=True, kw_only=True)
class Task:
    """Input × answer × reader × configuration.

    A new task is one value of this class and one entry in `heedful.tasks.table.TASKS`.
    """

    name: str
    """The word after `heedful train`, and the marker of the run folder."""
    examples: str
    """What a person calls the examples: pairs, sentences, texts."""
    unit: str = "words"
    """What a person calls the positions of an input, by which its length is given."""
    configuration: type[BaseModel]
    """Has sections `data` (of the reader), `training` (a `TrainingConfig`) and `prediction`, and those of input and
    answer."""
    input: type[Input[Any, Any]]
    answer: type[Answer[Any]]
    reader: Reader
    build: Callable[[Any, Any, Any], nn.Module] = head_model
    """(configuration, input, answer) -> the model with fresh weights."""
    learn_parts: Callable[[Any, Dataset], Parts] | None = None
    """(configuration, training data) -> input and answer, where the two learn together."""
    describe: Callable[[Any], str] = encoder_name
    """Names the model of a configuration, for the report."""

    def check(self, config: Any, train: Dataset, valid: Dataset) -> None:
        """Raise DataError or OptionError for data that nothing can be learned from, beyond being empty."""
        self.answer.check(config, train, valid)

    def check_options(self, given: Mapping[str, Any]) -> dict[str, Any]:
        """Check the options of evaluate, predict and explain that only some tasks have.

        Args:
            given: option -> value; None or False: not given.

        Returns: those that are keywords of `Predictor.predict`.

        Raises: OptionError for an option that was given and has no effect on this task.
        """
        known = self.answer.search_options | self.answer.command_options
        for section, name in (("data", "columns"), ("data", "tokens"), ("prediction", "column")):
            field = self.configuration.model_fields.get(section)
            if field is not None and name in getattr(field.annotation, "model_fields", ()):
                known |= {name}
        chosen = {
            k: value for k, value in given.items() if value is not None and value is not False
        }
        for name in chosen:
            if name not in known:
                option = name.replace("_", "-")
                raise OptionError(
                    f"the option {option} has no effect on the task {self.name!r}; leave it out"
                )
        return {k: value for k, value in chosen.items() if k in self.answer.search_options}

    def learn(self, config: Any, train: Dataset) -> Predictor:
        """Learn vocabularies and the like from the training data, and build the model with fresh weights."""
        if self.learn_parts is not None:
            parts = self.learn_parts(config, train)
        else:
            inputs = self.input.learn(config, train.inputs)
            parts = inputs, self.answer.learn(config, train.answers)
        return self._predictor(config, parts, self.reader.layout(train))

    def reload(self, config: Any, folder: Path) -> Predictor:
        """Read the vocabularies and the like of a run folder, and build the model with fresh weights."""
        parts = self.input.load(config, folder), self.answer.load(config, folder)
        return self._predictor(config, parts, read_layout(folder))

    def _predictor(self, config: Any, parts: Parts, layout: Mapping[str, Any]) -> Predictor:
        return Predictor(self, config, *parts, self.build(config, *parts), layout)

    def load_config(self, run: str | Path) -> Any:
        """Read the configuration of a run folder.

        Raises: RunError for a folder that is missing, foreign or has an unusable configuration.
        """
        folder = run_folder.check(run, self.name)
        try:
            return read_configuration(self.configuration, folder / run_folder.CONFIGURATION)
        except OptionError as error:
            raise RunError(f"the run's configuration cannot be used: {error}") from None

    def load(self, run: str | Path) -> Predictor:
        """Read a run folder, ready to predict.

        Raises: RunError for a folder that is missing, foreign, truncated or corrupt.
        """
        predictor = self.reload(self.load_config(run), Path(run))
        predictor.load_weights(Path(run))
        predictor.model.eval()
        return predictor

    def batches(
        self, predictor: Predictor, data: Dataset, *, training: bool
    ) -> Batches[Any, TrainingBatch]:
        """Encode data; for training, examples longer than `data.max_length` are left out.

        Raises: DataError for an example without positions, or when all examples are left out.
        """
        inputs, answer, options = predictor.input, predictor.answer, predictor.config.training
        examples = list(zip(inputs.encode(data.inputs), answer.targets(data), strict=True))
        for row, (encoded, _) in enumerate(examples):
            if not inputs.length(encoded):
                raise data.error(row, f"the {data.example} holds no token; remove the row.")
        if training:
            longest = predictor.config.data.max_length
            examples = [
                (encoded, target)
                for encoded, target in examples
                if inputs.fits(encoded, longest) and answer.fits(target, longest)
            ]
            if not examples:
                raise DataError(
                    f"every training {data.example} is longer than data.max_length = {longest}"
                )

        def lengths(example: tuple[Any, Any]) -> tuple[int, int]:
            length = inputs.length(example[0])
            return length, answer.length(example[1]) or length

        def collate(chosen: Sequence[tuple[Any, Any]]) -> TrainingBatch:
            return TrainingBatch(
                inputs.collate([encoded for encoded, _ in chosen]),
                answer.collate([target for _, target in chosen]),
            )

        return Batches(examples, lengths, collate, options.batch_tokens, options.seed)

    def loss(self, predictor: Predictor) -> Loss:
        """Return the training loss around the predictor's model."""
        return Loss(predictor.model, predictor.answer)

    def validate(self, predictor: Predictor, data: Dataset) -> Scores:
        """Predict and compare: the metrics beside the loss."""
        answer: Answer[Any] = predictor.answer
        return answer.scores(predictor.evaluate(data, **answer.validation_search))
