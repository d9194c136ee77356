"""A model with the vocabularies, statistics and configuration that it needs to predict."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import torch
from torch import nn

from heedful import run_folder
from heedful.answers.base import Answer
from heedful.config import write_toml
from heedful.data.dataset import Dataset
from heedful.data.lexicon import Lexicon
from heedful.decode.evaluation_mode import evaluation_mode
from heedful.errors import NonFiniteError, RunError, unquoted
from heedful.inputs.base import Input
from heedful.models.moving import moved_to_model
from heedful.stored_files import read_json
from heedful.strict_json import to_strict_json
from heedful.tasks.copying import copy_unknown
from heedful.tasks.streaming import predict_in_order
from heedful.tasks.upgrade import upgrade_weights

LAYOUT: Final = "layout.json"
"""File of a run folder with the layout of the training files."""


def read_layout(folder: Path) -> dict[str, Any]:
    """Load the layout of the training files; empty for older runs and other tasks.

    Raises: RunError for a corrupt file.
    """
    path = folder / LAYOUT
    if not path.exists():
        return {}
    layout = read_json(path)
    if not isinstance(layout, dict):
        raise RunError(f"{path} is corrupt; copy the run folder again")
    return layout


class Predictor:
    """A model with its task, configuration, input and answer.

    `heedful.training.loop` trains one and saves it to a run folder; `Task.load` loads it. Untrained, its predictions
    are random:

    >>> from heedful.data.labelled import Labelled, Sentence
    >>> from heedful.tasks.tag import TASK, TaggingConfig
    >>> data = Labelled([Sentence(("I", "saw", "a", "saw"), ("PRON", "VERB", "DET", "NOUN"))])
    >>> config = TaggingConfig.model_validate({"encoder": {"kind": "window", "hidden": 8}})
    >>> predictor = TASK.learn(config, data)
    >>> [prediction] = predictor.predict([["a", "saw"]])
    >>> len(prediction.labels), set(prediction.labels) <= {"PRON", "VERB", "DET", "NOUN"}
    (2, True)
    """

    def __init__(
        self,
        task: Any,
        config: Any,
        inputs: Input[Any, Any],
        answer: Answer[Any],
        model: nn.Module,
        layout: Mapping[str, Any] | None = None,
    ):
        # A `heedful.tasks.base.Task`; that module imports this one.
        self.task = task
        self.config = config
        # `Any`: callers use members of the subclasses that the task names.
        self.input: Any = inputs
        self.answer: Any = answer
        self.model: Any = model
        self.layout: Mapping[str, Any] = layout or {}
        """The value of `Reader.layout` for the training data."""

    @property
    def labels(self) -> tuple[str, ...]:
        """The label set; empty for tasks that do not predict labels."""
        labels: tuple[str, ...] = self.answer.labels
        return labels

    @property
    def words(self) -> tuple[str, ...]:
        """The words that have an embedding; empty for inputs that are not words."""
        lexicon = getattr(self.input, "words", None)
        return lexicon.entries if isinstance(lexicon, Lexicon) else ()

    def sizes(self) -> dict[str, int]:
        """Return the sizes of vocabularies and label sets by name, for display."""
        return {**self.input.sizes(), **self.answer.sizes()}

    def predict(
        self,
        inputs: Iterable[Any],
        *,
        before_batch: Callable[[], object] | None = None,
        **search: Any,
    ) -> Iterator[Any]:
        """Lazily yield the prediction of each input, in order.

        Args:
            inputs: as returned by the task's reader: texts, lists of tokens or series.
            before_batch: called before each batch; an exception of it ends the prediction.
            search: options of the answer; docs/translating.md has those of generated text.

        Raises: OptionError for an option that the answer does not have, or a value out of range; NonFiniteError
            naming the input for which the model's output holds NaN or infinity.
        """
        inputs, sources = (
            itertools.tee(inputs) if self.answer.copies_unknown(search) else (inputs, ())
        )
        return self._predict(inputs, self.input.encode, sources, before_batch, search)

    def predict_encoded(
        self,
        encoded: Iterable[Any],
        sources: Iterable[Any],
        *,
        before_batch: Callable[[], object] | None = None,
        **search: Any,
    ) -> Iterator[Any]:
        """Do as `predict` for inputs, `sources`, that `input.encode` has encoded, in one call or in several."""
        return self._predict(encoded, list, sources, before_batch, search)

    def _predict(
        self,
        inputs: Iterable[Any],
        encode: Callable[[list[Any]], Sequence[Any]],
        sources: Iterable[Any],
        before_batch: Callable[[], object] | None,
        search: Mapping[str, Any],
    ) -> Iterator[Any]:
        self.answer.check_search(search)
        options, numbers = self.config.prediction, itertools.count()

        def numbered_of(examples: list[Any]) -> list[tuple[int, Any]]:
            return [(next(numbers), each) for each in encode(examples)]

        def predict_batch(numbered: Sequence[tuple[int, Any]]) -> list[Any]:
            if before_batch is not None:
                before_batch()
            rows, encoded = zip(*numbered, strict=True)
            batch = self.to_device(self.input.collate(encoded))
            own = self.answer.of_rows(search, rows)
            with evaluation_mode(self.model), torch.inference_mode():
                predictions: list[Any] = self.answer.predict(self.model, batch, **own)
            placed: list[Any] = self.answer.placed(predictions, encoded)
            return placed

        predicted = predict_in_order(
            inputs,
            encode=numbered_of,
            length=lambda numbered: self.input.length(numbered[1]),
            predict=predict_batch,
            empty=self.answer.empty,
            chunk=options.chunk,
            batch_tokens=options.batch_tokens,
        )
        if not self.answer.copies_unknown(search):
            return predicted
        return (copy_unknown(self, *pair) for pair in zip(sources, predicted, strict=False))

    def predict_data(self, data: Dataset, **options: Any) -> Iterator[Any]:
        """Do as `predict` for the inputs of a dataset; a NonFiniteError names their file and line."""
        try:
            yield from self.predict(data.inputs, **options)
        except NonFiniteError as error:
            raise NonFiniteError(error.row, data.location(error.row)) from None

    def evaluate(self, data: Dataset, **search: Any) -> Any:
        """Predict the inputs of `data` and return the metrics against its reference answers.

        Raises: DataError as `check_test`.
        """
        self.check_test(data)
        return self.score(data, list(self.predict_data(data, **search)))

    def check_test(self, data: Dataset, *, same_layout: bool = True) -> None:
        """Check that this model can be evaluated on `data`.

        Args:
            data: examples with reference answers.
            same_layout: whether they must be in the columns of the training files.

        Raises: DataError for answers in other columns, or answers that the model cannot predict.
        """
        if same_layout:
            self.task.reader.check_layout(data, self.layout)
        self.answer.check_test(data)

    def score(self, data: Dataset, predicted: Sequence[Any]) -> Any:
        """Return the metrics of predictions against the reference answers of `data`."""
        return self.answer.score(predicted, data, self.input.in_vocabulary(data.inputs))

    def to_device(self, batch: Any) -> Any:
        """Return a batch on the device of the model and in its precision."""
        return moved_to_model(batch, self.model)

    def save(self, folder: Path) -> None:
        """Write the configuration and the vocabularies, but not the weights, to a run folder."""
        run_folder.write_text(folder / run_folder.CONFIGURATION, write_toml(self.config))
        self.input.save(folder)
        self.answer.save(folder)
        if self.layout:
            run_folder.write_text(folder / LAYOUT, to_strict_json(self.layout) + "\n")

    def save_weights(self, path: str | Path) -> None:
        """Write the weights as safetensors."""
        run_folder.write_tensors(Path(path), self.model.state_dict())

    def load_weights(self, run: Path) -> None:
        """Load the weights of a run folder, including older formats.

        Raises: RunError for a truncated or corrupt file, weights that do not match the configuration, and weights
            that are not finite numbers.
        """
        path = run / run_folder.WEIGHTS
        tensors, _ = run_folder.read_tensors(path)
        upgraded = upgrade_weights(tensors, run_folder.read_format(run))
        initial = self.model.state_dict()
        for name, tensor in upgraded.items():
            is_number = name not in initial or initial[name].is_floating_point()
            if is_number and not (tensor.is_floating_point() and bool(tensor.isfinite().all())):
                raise RunError(
                    f"{path} is damaged: {unquoted(name)} holds other values than finite numbers; copy the run folder "
                    "again or retrain"
                )
        try:
            self.model.load_state_dict(upgraded)
        except RuntimeError as error:
            raise RunError(
                f"{path} does not match the model that {run_folder.CONFIGURATION} "
                f"describes: {unquoted(str(error).splitlines()[-1].strip())}"
            ) from None
