"""What `heedful.load` and `heedful.train` are: trained models from Python, whatever their task."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from heedful import run_folder
from heedful.answers.text import Generated
from heedful.config import Values, apply_overrides, build
from heedful.data.dataset import Dataset
from heedful.errors import DataError, OptionError, nearest, unknown_choice
from heedful.explore.explain import Explanation
from heedful.explore.explain import explain as explain_prediction
from heedful.explore.run_report import write_report
from heedful.tasks.alignment import align_words
from heedful.tasks.base import Task
from heedful.tasks.options import GivenOptions
from heedful.tasks.predictor import Predictor
from heedful.tasks.runs import task_of
from heedful.tasks.table import ENTRIES, TASKS
from heedful.training.events import Event, Started
from heedful.training.loop import train_model

Data = Any
"""A path, several, rows (a mapping an example), a DataFrame, or a `Dataset`."""


class TrainedModel:
    """A trained model of any task: predict, explain, evaluate.

    `heedful.load` and `heedful.train` return one. `predictor` is what it is made of.
    """

    def __init__(self, predictor: Predictor, run: Path):
        self.predictor = predictor
        self.run = run
        """The run folder."""

    def __repr__(self) -> str:
        """Name the task and the run folder."""
        return f"<heedful model of the task {self.task!r}, {self.run}>"

    @property
    def task(self) -> str:
        """The name of its task."""
        name: str = self.predictor.task.name
        return name

    @property
    def config(self) -> Any:
        """Its configuration, complete."""
        return self.predictor.config

    @property
    def labels(self) -> tuple[str, ...]:
        """The labels that it chooses from; none for answers that are not labels."""
        return self.predictor.labels

    def predict(
        self, inputs: Iterable[Any], *, alignments: bool = False, **search: Any
    ) -> list[Any]:
        """Return a prediction for each input, in order.

        What a prediction is depends on the task:

        - a label a text: `heedful.answers.label.Labels` with `label`, `labels`, `all_probabilities`;
        - a label a token: `heedful.answers.token_label.PositionLabels` with `labels`, `probabilities`;
        - a number: `heedful.answers.number.PredictedNumber` with `value`;
        - a text: `heedful.answers.text.Generated` with `text`, `score`, `candidates` and `alignment`.

        Args:
            inputs: texts; for a tagger lists of tokens, or texts whose tokens are parted by spaces.
            alignments: of generated text, also align each with its source.
            search: of generated text `beam`, `length_penalty` and `nbest`.

        Raises: OptionError for one text instead of a list, or a keyword that has no effect on this task.
        """
        if isinstance(inputs, str):
            raise OptionError(f"inputs is one text, {inputs[:40]!r}; give a list, as in [text].")
        self.predictor.task.check_options({"alignments": alignments, **search})
        read = [self._input(one) for one in inputs]
        found = list(self.predictor.predict(read, **search))
        if not alignments:
            return found
        return [self._aligned(one, each) for one, each in zip(read, found, strict=True)]

    def _input(self, one: Any) -> Any:
        if not isinstance(one, str):
            return one
        return self.predictor.task.reader.parse(one, self.config.data)

    def _aligned(self, source: str, found: Generated) -> Generated:
        if not source.strip() or not found.text.strip():
            return found
        alignment = align_words(self.predictor, source, found.text)
        return dataclasses.replace(found, alignment=alignment)

    def explain(self, one: Any, *, reference: str | None = None, **search: Any) -> Explanation:
        """Return what the model attends to for one input: records, `html()`, `png()`, a picture in a notebook.

        Args:
            one: an input, as for `predict`.
            reference: of generated text, a target to explain instead of the model's own.
            search: as for `predict`.

        Raises: DataError for an input or a target that is empty; OptionError for a keyword without effect.
        """
        self.predictor.task.check_options({"reference": reference, **search})
        example = self._input(one)
        if reference is not None:
            return explain_prediction(self.predictor, example, target=reference)
        [prediction] = self.predictor.predict([example], **search)
        return explain_prediction(self.predictor, example, prediction)

    def evaluate(self, data: Data, **search: Any) -> Any:
        """Predict the inputs of `data`, compare with its answers, and return the metrics.

        Args:
            data: a path, several paths, rows, a DataFrame or a `Dataset`, as for `heedful.train`.
            search: as for `predict`.

        Raises: DataError for data that cannot be used; OptionError for a keyword without effect.
        """
        found = _dataset(self.predictor.task, self.config.data, data, "test")
        return self.predictor.evaluate(found, **search)


def load(run: str | Path) -> TrainedModel:
    """Load a trained model from its run folder, whatever its task.

    Raises: RunError for a folder that is missing, is no run, or is damaged.

    >>> load("no/such/run")
    Traceback (most recent call last):
    heedful.errors.RunError: run folder 'no/such/run' does not exist
    """
    return TrainedModel(task_of(run).load(run), Path(run))


def train(
    task: str,
    *,
    train: Data,
    valid: Data = None,
    out: str | Path,
    resume: bool = False,
    overwrite: bool = False,
    progress: Callable[[Event], object] | None = None,
    **settings: Any,
) -> TrainedModel:
    """Train a model of a task into the run folder `out`, and return it.

    Args:
        task: a name in `heedful.tasks.table.TASKS`: translate, tag, classify, regress.
        train: a path, several paths (two line-aligned files are pairs), the name of a built-in corpus; or rows, each a
            mapping of columns; or a pandas or polars DataFrame.
        valid: likewise; None: a built-in corpus brings its own, and a share of texts is cut off.
        out: a folder that is not there, or, resuming or overwriting, that of a run.
        resume: go on with the run in `out`.
        overwrite: replace the run in `out`, once the first step can be taken.
        progress: called with each event of the training (`heedful.training.events`).
        settings: options of `heedful train` (`encoder="lstm"`, `text="review"`), and sections of the configuration
            (`training={"epochs": 3}`).

    Raises: OptionError for an unknown task, setting or value, with the nearest one; DataError for data that cannot
        be used; RunError for a folder that is taken.

    >>> import tempfile
    >>> rows = [{"text": "good film", "label": "yes"}, {"text": "bad film", "label": "no"}] * 12
    >>> tiny = {"epochs": 1, "keep_freed_memory": False}
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     model = train("classify", train=rows, out=f"{folder}/run", encoder="none", training=tiny)
    >>> [found] = model.predict(["good"])
    >>> sorted(found.all_probabilities), model.labels
    (['no', 'yes'], ('no', 'yes'))
    """
    if task not in TASKS:
        raise unknown_choice("task", task, TASKS)
    config = _configuration(TASKS[task], train, valid, settings)
    if not resume:
        run_folder.check_free(out, overwrite=overwrite)
    data = _training_data(TASKS[task], config.data, train, valid)
    return fit(
        TASKS[task], config, *data, out, progress=progress, resume=resume, overwrite=overwrite
    )


def fit(
    task: Task,
    config: Any,
    train: Dataset,
    valid: Dataset,
    out: str | Path,
    *,
    progress: Callable[[Event], object] | None = None,
    resume: bool = False,
    overwrite: bool = False,
) -> TrainedModel:
    """Train a model as `heedful.train` and `heedful train` do: a run folder with its report.

    Args:
        task: one of `heedful.tasks.table.TASKS`.
        config: its configuration, complete.
        train: the training data.
        valid: the validation data, by which the best weights are chosen.
        out: the run folder.
        progress: called with each event.
        resume: go on with the run in `out`.
        overwrite: replace the run in `out`.

    Raises: as `heedful.training.loop.train_model`.
    """
    events = train_model(task, config, train, valid, out, resume=resume, overwrite=overwrite)
    for event in events:
        if isinstance(event, Started):
            run_folder.write_skipped(Path(out), [*train.skipped, *valid.skipped])
        if progress is not None:
            progress(event)
    trained = load(out)
    write_report(trained.predictor, Path(out), valid)
    return trained


def _configuration(task: Task, train: Data, valid: Data, settings: Mapping[str, Any]) -> Any:
    """Lay options and sections over the defaults; paths of data are kept, as the command keeps them."""
    options = {option.name: option for option in ENTRIES[task.name].options[2:]}
    sections = task.configuration.model_fields
    values: Values = {}
    chosen: dict[str, Any] = {}
    for name, value in settings.items():
        if name in sections and isinstance(value, Mapping):
            values[name] = dict(value)
        elif name in options:
            chosen[name] = value
        else:
            raise _unknown_setting(name, [*options, *sections])
    paths = {"train": _paths(train), "valid": _paths(valid)}
    values["data"] = {**{k: v for k, v in paths.items() if v}, **values.get("data", {})}
    context = GivenOptions(chosen, values, (), task.name)
    overrides = [
        each for name, value in chosen.items() for each in options[name].overrides(value, context)
    ]
    return build(task.configuration, apply_overrides(task.configuration, values, overrides))


def _unknown_setting(name: str, choices: Sequence[str]) -> OptionError:
    near = nearest(name, choices)
    hint = f"; did you mean {near!r}?" if near else "."
    return OptionError(
        f"unknown setting {name!r}{hint} Options and sections (with a mapping of keys) are: "
        f"{', '.join(dict.fromkeys(choices))}."
    )


def _training_data(task: Task, section: Any, train: Data, valid: Data) -> tuple[Dataset, Dataset]:
    """Read or convert training and validation data; without the latter some is cut off, where the task does that."""
    if _paths(train) and (valid is None or _paths(valid)):
        return task.reader.read_training(section)
    found = _dataset(task, section, train, "train")
    if valid is None:
        return task.reader.split(found, section)
    return found, _dataset(task, section, valid, "valid")


def _dataset(task: Task, section: Any, data: Data, part: Any) -> Dataset:
    """Read paths, or convert rows or a DataFrame."""
    if isinstance(data, Dataset):
        return data
    if paths := _paths(data):
        return task.reader.read(paths, section, part)
    rows = _rows(data)
    if not rows:
        raise DataError(f"{part} holds no examples; one or more are wanted.")
    return task.reader.from_rows(rows, section, part)


def _paths(data: Data) -> tuple[str, ...]:
    """Return paths, or names of built-in corpora; none for other data."""
    if isinstance(data, str | Path):
        return (str(data),)
    if isinstance(data, list | tuple) and data and isinstance(data[0], str | Path):
        return tuple(map(str, data))
    return ()


def _rows(data: Data) -> list[Mapping[str, Any]]:
    """Return the rows of a DataFrame of pandas (`to_dict`) or polars (`to_dicts`), or of a list of mappings."""
    if hasattr(data, "to_dicts"):
        return list(data.to_dicts())
    if hasattr(data, "to_dict") and hasattr(data, "columns"):
        return list(data.to_dict("records"))
    rows = list(data) if isinstance(data, Iterable) else [data]
    for number, row in enumerate(rows, start=1):
        if not isinstance(row, Mapping):
            raise DataError(
                f"example {number} is a {type(row).__name__}; a mapping of columns is wanted, such as "
                '{"text": "good", "label": "yes"}.'
            )
    return rows
