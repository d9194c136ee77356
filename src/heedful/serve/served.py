"""A model under the name that requests call it by: from inputs as sent to answers as JSON."""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from heedful.errors import DataError, HeedfulError, NonFiniteError
from heedful.explore.explain import explain
from heedful.explore.explanation import Explanation
from heedful.explore.html import figure_values
from heedful.explore.schema import SCHEMA, AttentionRecord
from heedful.serve.batcher import Outcome, Work
from heedful.serve.limits import Limits, length_limit
from heedful.serve.uploads import Upload
from heedful.tasks.alignment import align_words
from heedful.tasks.predictor import Predictor


@dataclass(frozen=True)
class Prepared:
    """An input as the model reads it."""

    example: Any
    encoded: Any
    upload: Upload | None
    folder: Path
    """Where the upload is kept."""


class Served:
    """A model and the name that requests call it by.

    Args:
        name: from its run folder.
        predictor: the model.
        limits: see `Limits`.
    """

    def __init__(self, name: str, predictor: Predictor, limits: Limits):
        self.name, self.predictor, self.limits = name, predictor, limits
        self.length = length_limit(limits, predictor.config)

    @property
    def task(self) -> Any:
        """The task of the model."""
        return self.predictor.task

    @property
    def takes_files(self) -> bool:
        """Whether an input is a file, such as an image."""
        return bool(self.task.reader.takes_files)

    def warm_up(self) -> None:
        """Predict something, so that the first request need not wait for kernels."""
        if not self.takes_files:
            # A text may be no input at all, as for nodes of a graph.
            with contextlib.suppress(HeedfulError):
                example = self.task.reader.to_input("C", self.predictor.config.data, "the input")
                list(self.predictor.predict([example]))

    def run(self, works: Sequence[Work], check: Callable[[], None]) -> list[Outcome]:
        """Answer a batch of requests whose options of the search are equal; see `Batcher`."""
        with _folder(works) as folder:
            prepared = [self._attempt(self._prepare, work, folder) for work in works]
            good = [
                (work, each)
                for work, each in zip(works, prepared, strict=True)
                if not isinstance(each, Exception)
            ]
            outcomes = iter(self._answers(good, check))
            return [each if isinstance(each, Exception) else next(outcomes) for each in prepared]

    @staticmethod
    def _attempt(function: Callable[..., Any], *arguments: Any) -> Any:
        """Return what a function returns or raises: one request must not fail the others of its batch."""
        try:
            return function(*arguments)
        except Exception as error:
            return error

    def _prepare(self, work: Work, folder: Path) -> list[Prepared]:
        return [
            self._prepare_one(given, f"input {number}", folder / f"{id(work)}-{number}")
            for number, given in enumerate(work.inputs, start=1)
        ]

    def _prepare_one(self, given: Any, name: str, folder: Path) -> Prepared:
        upload = given if isinstance(given, Upload) else None
        with _without_paths(upload, folder):
            if upload is None:
                example = self.task.reader.from_json(given, self.predictor.config.data, name)
            else:
                example = self._example_of_file(upload, name, folder)
            [encoded] = self.predictor.input.encode([example])
        length = self.predictor.input.length(encoded)
        if length > self.length:
            raise DataError(
                f"{name} has {length:,} {self.task.unit}; this server takes at most {self.length:,}."
            )
        return Prepared(example, encoded, upload, folder)

    def _example_of_file(self, upload: Upload, name: str, folder: Path) -> Any:
        if not self.takes_files:
            raise DataError(
                f"{name} is a file; the task {self.task.name} takes {self.task.reader.input_hint} as JSON."
            )
        folder.mkdir()
        return self.task.reader.to_input(
            str(upload.write(folder)), self.predictor.config.data, name
        )

    def _answers(
        self, good: Sequence[tuple[Work, list[Prepared]]], check: Callable[[], None]
    ) -> list[Outcome]:
        """Return the outcome of each; a batch that cannot be predicted is tried request by request."""
        if not good:
            return []
        try:
            return self._predicted(good, check)
        except HeedfulError:
            return [self._attempt(self._predicted_alone, each, check) for each in good]

    def _predicted_alone(
        self, each: tuple[Work, list[Prepared]], check: Callable[[], None]
    ) -> Outcome:
        [outcome] = self._predicted([each], check)
        if isinstance(outcome, Exception):
            raise outcome
        return outcome

    def _predicted(
        self, good: Sequence[tuple[Work, list[Prepared]]], check: Callable[[], None]
    ) -> list[Outcome]:
        every = [each for _, prepared in good for each in prepared]
        encoded, examples = [each.encoded for each in every], [each.example for each in every]
        search = good[0][0].asked.search
        predictions = iter(
            self.predictor.predict_encoded(encoded, examples, before_batch=check, **search)
        )
        found = [[next(predictions) for _ in prepared] for _, prepared in good]
        return [
            self._attempt(self._finish, *pair, each) for pair, each in zip(good, found, strict=True)
        ]

    def _finish(
        self, work: Work, prepared: Sequence[Prepared], predictions: Sequence[Any]
    ) -> list[tuple[Any, dict[str, Any]]]:
        """Return each prediction, as it is and as JSON."""
        pairs = zip(prepared, predictions, strict=True)
        return [(found, self._to_json(each, found, work.asked)) for each, found in pairs]

    def _to_json(self, each: Prepared, prediction: Any, asked: Any) -> dict[str, Any]:
        answer, reader = self.predictor.answer, self.task.reader
        # What is said of an input may name its file, so it is said of inputs that are none.
        given = {} if self.takes_files else reader.to_json(each.example)
        values = {
            **given,
            **answer.to_json(prediction),
            **answer.class_values(prediction, asked.classes),
        }
        if asked.alignments:
            values |= self._alignment(each.example, prediction)
        if asked.attention or asked.figure:
            found = self._explanation(each, prediction)
            if asked.attention:
                values["attention"] = None if found is None else _attention(found.records)
            if asked.figure:
                values["figure"] = None if found is None else _figure(found)
        return values

    def _explanation(self, each: Prepared, prediction: Any) -> Explanation | None:
        """Return the explanation of a prediction; None for an empty input or text."""
        try:
            found = explain(self.predictor, each.example, prediction)
        except DataError:
            return None
        return found if found.records else None

    def _alignment(self, source: str, prediction: Any) -> dict[str, Any]:
        """Return the links in Pharaoh format, and the words that they count."""
        if not source.strip() or not prediction.text.strip():
            return {"alignment": "", "source_words": [], "target_words": []}
        found = align_words(self.predictor, source, prediction.text)
        return {
            "alignment": found.pharaoh(),
            "source_words": found.source_words,
            "target_words": found.target_words,
        }


def _attention(records: Sequence[AttentionRecord]) -> dict[str, Any]:
    """Return records as JSON."""
    return {"schema": SCHEMA, "records": [record.to_dict() for record in records]}


def _figure(explanation: Explanation) -> dict[str, Any]:
    """Return the explorer's figure; weights on a recording, image or graph are drawn on it."""
    return figure_values(explanation.records, drawing=explanation.drawing)


@contextlib.contextmanager
def _folder(works: Sequence[Work]) -> Iterator[Path]:
    """A folder for the uploads of a batch, if there are any."""
    if any(isinstance(each, Upload) for work in works for each in work.inputs):
        with tempfile.TemporaryDirectory(prefix="heedful-") as folder:
            yield Path(folder)
    else:
        yield Path()


@contextlib.contextmanager
def _without_paths(upload: Upload | None, folder: Path) -> Iterator[None]:
    """Let errors name files as the client does: an upload by its name, another file without its folder."""
    try:
        yield
    except NonFiniteError:
        raise
    except (OverflowError, RecursionError):
        raise DataError("the input holds a number that is too large, or too many lists.") from None
    except HeedfulError as error:
        message = str(error)
        if upload is not None:
            for written in (str(folder / upload.own_name), upload.own_name, str(folder)):
                message = message.replace(written, upload.shown_name)
        path = getattr(error, "path", None)
        if path is not None:
            message = message.replace(str(path), path.name)
        raise DataError(message) from None
