"""A trained model with everything that turns a person's inputs into predictions."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
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
from heedful.errors import RunError
from heedful.inputs.base import Input
from heedful.tasks.streaming import predict_in_order
from heedful.tasks.upgrade import upgrade_weights

LAYOUT: Final = "layout.json"
"""The file of a run folder that holds the columns of the training files."""


def read_layout(folder: Path) -> dict[str, Any]:
    """Read what a run remembers of the columns of its training files; empty for older runs and other tasks.

    Raises: RunError for a damaged file.
    """
    path = folder / LAYOUT
    if not path.exists():
        return {}
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise RunError(f"{path} is damaged ({error}); copy the run folder again") from None
    if not isinstance(found, dict):
        raise RunError(f"{path} is damaged; copy the run folder again")
    return found


class Predictor:
    """A model with its task, configuration, input and answer.

    `heedful.training.loop` trains one into a run folder, from which `Task.load` reads it. Untrained, its predictions
    are chance:

    >>> from heedful.data.labelled import Labelled, Sentence
    >>> from heedful.tasks.tag import TASK, TaggingConfig
    >>> data = Labelled([Sentence(("I", "saw", "a", "saw"), ("PRON", "VERB", "DET", "NOUN"))])
    >>> config = TaggingConfig.model_validate({"encoder": {"kind": "window", "hidden": 8}})
    >>> predictor = TASK.learn(config, data)
    >>> [found] = predictor.predict([["a", "saw"]])
    >>> len(found.labels), set(found.labels) <= {"PRON", "VERB", "DET", "NOUN"}
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
        # a `heedful.tasks.base.Task`, which makes predictors
        self.task = task
        self.config = config
        # of the classes that the task names, which have more than their contracts
        self.input: Any = inputs
        self.answer: Any = answer
        self.model: Any = model
        self.layout: Mapping[str, Any] = layout or {}
        """What `Reader.layout` returned of the training data."""

    @property
    def labels(self) -> tuple[str, ...]:
        """The labels that it chooses from; none for answers that are not labels."""
        labels: tuple[str, ...] = self.answer.labels
        return labels

    @property
    def words(self) -> tuple[str, ...]:
        """The words that have an embedding; none for inputs that are not words."""
        lexicon = getattr(self.input, "words", None)
        return lexicon.entries if isinstance(lexicon, Lexicon) else ()

    def sizes(self) -> dict[str, int]:
        """Name and count what was learned beside the weights, for people."""
        return {**self.input.sizes(), **self.answer.sizes()}

    def predict(self, inputs: Iterable[Any], **search: Any) -> Iterator[Any]:
        """Yield the prediction of each input, in order, while inputs are still read.

        Args:
            inputs: as the task's reader gives them: texts, or lists of tokens.
            search: keywords of the answer; of generated text `beam`, `length_penalty` and `nbest`.

        Raises: OptionError for a keyword that the answer does not have, or a value out of its range.
        """
        self.answer.check_search(search)
        options = self.config.prediction

        def answer(encoded: Sequence[Any]) -> list[Any]:
            batch = self.to_device(self.input.collate(encoded))
            with evaluation_mode(self.model), torch.inference_mode():
                found: list[Any] = self.answer.predict(self.model, batch, **search)
            return found

        return predict_in_order(
            inputs,
            encode=self.input.encode,
            length=self.input.length,
            answer=answer,
            nothing=self.answer.empty,
            chunk=options.chunk,
            batch_tokens=options.batch_tokens,
        )

    def evaluate(self, data: Dataset, **search: Any) -> Any:
        """Predict the inputs of `data`, compare with its answers and return the metrics.

        Raises: DataError as `check_test`.
        """
        self.check_test(data)
        return self.score(data, list(self.predict(data.inputs, **search)))

    def check_test(self, data: Dataset, *, same_layout: bool = True) -> None:
        """Check that `data` can be compared with what this model predicts.

        Args:
            data: examples with their answers.
            same_layout: whether they must stand in the columns of the training files.

        Raises: DataError for answers in other columns, or of another kind.
        """
        if same_layout:
            self.task.reader.check_layout(data, self.layout)
        self.answer.check_test(data)

    def score(self, data: Dataset, predicted: Sequence[Any]) -> Any:
        """Compare predictions, however they came about, with the answers of `data` and return the metrics."""
        return self.answer.score(predicted, data, self.input.known(data.inputs))

    def to_device(self, batch: Any) -> Any:
        """Move a batch, a named tuple of tensors, to where the model is."""
        device = next(self.model.parameters()).device
        return type(batch)(*(part.to(device) for part in batch))

    def save(self, folder: Path) -> None:
        """Write configuration and vocabularies, not the weights, into a run folder."""
        run_folder.write_text(folder / run_folder.CONFIGURATION, write_toml(self.config))
        self.input.save(folder)
        self.answer.save(folder)
        if self.layout:
            run_folder.write_text(folder / LAYOUT, json.dumps(self.layout) + "\n")

    def save_weights(self, path: str | Path) -> None:
        """Write the weights as safetensors."""
        run_folder.write_tensors(Path(path), self.model.state_dict())

    def load_weights(self, run: Path) -> None:
        """Read the weights of a run folder, also of an older format.

        Raises: RunError for a truncated or corrupt file, or weights of another model.
        """
        path = run / run_folder.WEIGHTS
        tensors, _ = run_folder.read_tensors(path)
        upgraded = upgrade_weights(tensors, run_folder.read_format(run))
        try:
            self.model.load_state_dict(upgraded)
        except RuntimeError as error:
            raise RunError(
                f"{path} holds the weights of another model than {run_folder.CONFIGURATION} "
                f"describes: {str(error).splitlines()[-1].strip()}"
            ) from None
