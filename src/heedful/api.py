"""The Python interface: `heedful.train` and `heedful.load` return a `TrainedModel` of any task."""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from heedful import run_folder
from heedful.answers.text_base import Generated
from heedful.config import Values, apply_overrides, build
from heedful.data.dataset import Dataset
from heedful.data.preparation import reporting_preparation
from heedful.errors import DataError, OptionError, StoppedError, nearest, unknown_choice
from heedful.tasks.alignment import align_words
from heedful.tasks.base import Task
from heedful.tasks.options import GivenOptions
from heedful.tasks.predictor import Predictor
from heedful.tasks.runs import task_of
from heedful.tasks.table import ENTRIES, TASKS
from heedful.training.events import Event, Finished, Started, Stopped
from heedful.training.loop import join_for, never, train_model
from heedful.training.processes import Processes
from heedful.training.report_again import finish_again, lacks_only_report
from heedful.training.staging import recover
from heedful.training.state import FEATURES
from heedful.training.write_errors import explain_write_errors

if TYPE_CHECKING:
    from heedful.explore.explanation import Explanation
    from heedful.tasks.scoring import TextScore

Data = Any
"""A path, several paths, rows (one mapping per example), a DataFrame, or a `Dataset`."""


class TrainedModel:
    """A trained model of any task: predict, explain, evaluate.

    Returned by `heedful.load` and `heedful.train`; wraps `predictor`.
    """

    def __init__(self, predictor: Predictor, run: Path):
        self.predictor = predictor
        self.run = run
        """The run folder."""

    def __repr__(self) -> str:
        """Return task and run folder."""
        return f"<heedful model of the task {self.task!r}, {self.run}>"

    @property
    def task(self) -> str:
        """The task name."""
        name: str = self.predictor.task.name
        return name

    @property
    def config(self) -> Any:
        """The complete configuration."""
        return self.predictor.config

    @property
    def labels(self) -> tuple[str, ...]:
        """The label set; empty for tasks that do not predict labels."""
        return self.predictor.labels

    def predict(
        self, inputs: Iterable[Any], *, alignments: bool = False, **search: Any
    ) -> list[Any]:
        """Return a prediction for each input, in order.

        The type of the predictions depends on the task:

        - a label per text: `heedful.answers.label.Labels` with `label`, `labels`, `all_probabilities`, `top`;
        - a label per token: `heedful.answers.token_label.PositionLabels` with `labels`, `probabilities`;
        - a number: `heedful.answers.number.PredictedNumber` with `value`;
        - a text: `heedful.answers.text.Generated` with `text`, `score`, `candidates` and `alignment`.

        Args:
            inputs: texts; for a tagger lists of tokens, or texts with tokens separated by spaces; for series arrays
                or names of files. Or rows, as for `heedful.train` but without the answer, or a DataFrame of them.
            alignments: for generated text, also align each text with its source.
            search: for generated text `beam`, `nbest`, `sample`, `prefix` and the others of docs/translating.md; for
                labels of a text `threshold`, the least probability of a label, below which a text of one label gets
                none, and `top_k`, how many labels with their probabilities `top` holds.

        Raises: OptionError for one input instead of a list, or an option that has no effect on this task;
            DataError naming an input of a wrong type.
        """
        rows = _frame_rows(inputs)
        graph = self.predictor.task.reader.from_object(inputs, self.config.data, "the input")
        if rows is not None:
            inputs = rows
        elif graph is not None:
            inputs = graph.inputs
        elif isinstance(inputs, str | Mapping) or not isinstance(inputs, Iterable):
            raise OptionError(f"inputs is {inputs!r:.40}; expected a list, as in [text].")
        self.predictor.task.check_options({"alignments": alignments, **search})
        examples = self.predictor.task.reader.to_inputs(inputs, self.config.data)
        predictions = list(self.predictor.predict(examples, **search))
        if not alignments:
            return predictions
        return [self._aligned(*pair) for pair in zip(examples, predictions, strict=True)]

    def _parse(self, given: Any, name: str) -> Any:
        return self.predictor.task.reader.to_input(given, self.config.data, name)

    def _aligned(self, source: str, generated: Generated) -> Generated:
        if not source.strip() or not generated.text.strip():
            return generated
        alignment = align_words(self.predictor, source, generated.text)
        return dataclasses.replace(generated, alignment=alignment)

    def explain(
        self,
        one: Any,
        *,
        reference: str | None = None,
        measures: bool = False,
        steps: bool = False,
        gates: bool = False,
        unit: int | None = None,
        **search: Any,
    ) -> Explanation:
        """Return the attention weights for one input, with `records`, `html()`, `png()` and notebook display.

        Args:
            one: an input, as for `predict`.
            reference: for generated text, a target to explain instead of the model's output.
            measures: also measure norms, contributions, rollout and gradient × attention; for texts, tokens and series.
            steps: also keep what each weight was computed from, which `html()` shows step by step.
            gates: also record the gates of LSTM and GRU, token by token.
            unit: with gates, the unit of each layer that is shown beside the mean, from 0.
            search: as for `predict`.

        Raises: DataError for an input that is empty or of a wrong type, or an empty target; OptionError for an
            option without effect.
        """
        from heedful.explore.explain import explain as explain_prediction

        self.predictor.task.check_options({"reference": reference, **search})
        example = self._parse(one, "the input")
        if reference is not None:
            found = explain_prediction(self.predictor, example, target=reference)
        else:
            [prediction] = self.predictor.predict([example], **search)
            found = explain_prediction(self.predictor, example, prediction)
        if gates:
            from heedful.explore.gates.explained import with_gates

            found = with_gates(self.predictor, found, unit=unit)
        if not (steps or measures):
            return found
        from heedful.explore.measured import with_measures

        if steps:
            found = with_measures(self.predictor, found, steps=True)
        return with_measures(self.predictor, found) if measures else found

    def live(self) -> Any:
        """Return a widget for a notebook in which texts are typed and explained, two of them beside each other.

        Raises: OptionError if anywidget is not installed (extra `notebook`).
        """
        # Imported here, as only notebooks need it.
        from heedful.explore.notebook import live_widget

        return live_widget(self.explain, title=self.run.name)

    def score(self, sources: Sequence[str], targets: Sequence[str]) -> list[TextScore]:
        """Return the log-probability of each target text for its source, by token and in all.

        Raises: OptionError for a task that does not generate text from text, or lists of different lengths;
            DataError for a blank source.
        """
        if len(sources) != len(targets):
            raise OptionError(
                f"got {len(sources):,} sources but {len(targets):,} targets; give one target for each."
            )
        # Imported here, as only generated text needs it.
        from heedful.tasks.scoring import score_texts

        return list(score_texts(self.predictor, zip(sources, targets, strict=True)))

    def evaluate(self, data: Data, **search: Any) -> Any:
        """Predict the inputs of `data` and return the metrics against its answers.

        Args:
            data: as for `heedful.train`.
            search: as for `predict`.

        Raises: DataError for invalid data; OptionError for an option without effect.
        """
        dataset = _dataset(self.predictor.task, self.config.data, data, "test")
        return self.predictor.evaluate(dataset, **search)


def load(run: str | Path) -> TrainedModel:
    """Load a trained model of any task from its run folder.

    Raises: RunError for a folder that is missing, not a run, or damaged.

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
    init_from: str | Path | None = None,
    progress: Callable[[Event], object] | None = None,
    stop: Callable[[], bool] = never,
    **settings: Any,
) -> TrainedModel:
    """Train a model, save it to the run folder `out`, and return it.

    Args:
        task: a name in `heedful.tasks.table.TASKS`, such as "classify".
        train: a path, several paths (such as two line-aligned files), the name of a built-in corpus, rows (mappings
            from column to value), a pandas or polars DataFrame, or a `Dataset`.
        valid: as `train`; None: the validation part of a built-in corpus, or a fraction split off `train`.
        out: a new or empty folder; the folder of a run to resume or overwrite.
        resume: resume the run in `out`.
        overwrite: replace the run in `out`, once training is ready to start.
        init_from: the folder of a trained run of this task, whose weights and settings are the start; new words and
            labels are added to its own.
        progress: called with each event of `heedful.training.events`.
        stop: called after each step; once it returns True, as `threading.Event().is_set` does when another thread or
            a signal handler has set it, a checkpoint is saved and StoppedError is raised.
        settings: options of `heedful train` (`encoder="lstm"`, `text="review"`), and configuration sections
            (`training={"epochs": 3}`).

    No signal handler is installed: Ctrl-C raises KeyboardInterrupt at once, and `resume` goes on from the last
    checkpoint, at most `training.checkpoint_minutes` old.

    Raises: OptionError for an unknown task, setting or value, with the nearest one; DataError for invalid data;
        RunError if `out` is in use; DivergedError for a loss, gradient or weights that are not finite, see
        `heedful.training.loop.train_model`; StoppedError as `stop` says.

    >>> import tempfile
    >>> rows = [{"text": "good film", "label": "yes"}, {"text": "bad film", "label": "no"}] * 12
    >>> tiny = {"epochs": 1, "keep_freed_memory": False}
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     model = train("classify", train=rows, out=f"{folder}/run", encoder="none", training=tiny)
    >>> [prediction] = model.predict(["good"])
    >>> sorted(prediction.all_probabilities), model.labels
    (['no', 'yes'], ('no', 'yes'))
    """
    if task not in TASKS:
        raise unknown_choice("task", task, TASKS)
    base = {} if init_from is None else TASKS[task].load_config(init_from).model_dump(mode="json")
    config = _configuration(TASKS[task], train, valid, settings, base)
    processes = join_for(TASKS[task], config.training)
    if processes.is_first:
        recover(Path(out))
        if not resume:
            run_folder.check_free(out, overwrite=overwrite)
    with reporting_preparation(progress):
        data = _training_data(TASKS[task], config.data, train, valid)
    return fit(
        TASKS[task],
        config,
        *data,
        out,
        progress=progress,
        stop=stop,
        resume=resume,
        overwrite=overwrite,
        initial=None if init_from is None else TASKS[task].load_initial(config, init_from),
        processes=processes,
    )


def fit(
    task: Task,
    config: Any,
    train: Dataset,
    valid: Dataset,
    out: str | Path,
    *,
    progress: Callable[[Event], object] | None = None,
    stop: Callable[[], bool] = never,
    resume: bool = False,
    overwrite: bool = False,
    initial: Predictor | None = None,
    processes: Processes | None = None,
) -> TrainedModel:
    """Train a model and write its run folder with the report; used by `heedful.train` and the command.

    Args:
        task: one of `heedful.tasks.table.TASKS`.
        config: the complete configuration.
        train: the training data.
        valid: the validation data, which select the best weights.
        out: the run folder.
        progress: called with each event.
        stop: as for `heedful.train`.
        resume: resume the run in `out`.
        overwrite: replace the run in `out`.
        initial: a trained model whose weights the training starts from.
        processes: see `heedful.training.loop.train_model`.

    Raises: see `heedful.training.loop.train_model`; StoppedError as `stop` says.
    """
    out = Path(out)
    processes = join_for(task, config.training) if processes is None else processes
    with reporting_preparation(progress):
        if resume and _lacks_only_report(task, out, config, processes):
            events = finish_again(task, out, train, valid, processes)
        else:
            events = train_model(
                task,
                config,
                train,
                valid,
                out,
                resume=resume,
                overwrite=overwrite,
                initial=initial,
                stop=stop,
                processes=processes,
            )
        # closed at once after an error, so that the folder does not stay locked
        with contextlib.closing(events):  # type: ignore[type-var]
            for event in events:
                if processes.is_first:
                    _handle(event, out, train, valid)
                if progress is not None:
                    progress(event)
                if isinstance(event, Stopped):
                    raise StoppedError(
                        f"training was asked to stop and did, after step {event.step:,}; resume the run in {out}"
                    )
    processes.gather(None)  # the others wait until the first one has written the report
    return load(out)


def _lacks_only_report(task: Task, out: Path, config: Any, processes: Processes) -> bool:
    return processes.share(processes.is_first and lacks_only_report(task, out, config))


def _handle(event: Event, out: Path, train: Dataset, valid: Dataset) -> None:
    """Write the files of a run that are not its model: the skipped rows at the start, the report at the end."""
    with explain_write_errors(out):
        if isinstance(event, Started):
            run_folder.write_skipped(out, [*train.skipped, *valid.skipped])
        if isinstance(event, Finished):
            # Imported here, as in `explain`: what draws is not needed to predict.
            from heedful.explore.run_report import write_report

            write_report(load(out).predictor, out, valid.cached_in(out.parent / FEATURES))


def _configuration(
    task: Task, train: Data, valid: Data, settings: Mapping[str, Any], base: Values
) -> Any:
    """Apply options and sections to `base` or the defaults; data paths are recorded, as by the command."""
    options = {option.name: option for option in ENTRIES[task.name].all_options[2:]}
    sections = task.configuration.model_fields
    values: Values = dict(base)
    chosen: dict[str, Any] = {}
    for name, value in settings.items():
        if name in sections and isinstance(value, Mapping):
            values[name] = {**values.get(name, {}), **value}
        elif name in options:
            chosen[name] = value
        else:
            raise _unknown_setting(name, [*options, *sections])
    given = settings.get("data", {})
    values["data"] = {
        **values.get("data", {}), "train": _paths(train), "valid": _paths(valid), **given
    }  # fmt: skip
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
    """Load training and validation data; missing validation data are split off if the task supports it."""
    if _paths(train) and (valid is None or _paths(valid)):
        return task.reader.read_training(section)
    dataset = _dataset(task, section, train, "train")
    if valid is None:
        return task.reader.split(dataset, section)
    return dataset, _dataset(task, section, valid, "valid")


def _dataset(task: Task, section: Any, data: Data, part: Any) -> Dataset:
    """Read paths, or convert rows or a DataFrame to a dataset."""
    if isinstance(data, Dataset):
        return data
    if paths := _paths(data):
        return task.reader.read(paths, section, part)
    found = task.reader.from_object(data, section, part)
    if found is not None:
        return found
    rows = _rows(data)
    if not rows:
        raise DataError(f"{part} holds no examples; expected at least one.")
    return task.reader.from_rows(rows, section, part)


def _paths(data: Data) -> tuple[str, ...]:
    """Return paths or names of built-in corpora; empty for other data."""
    if isinstance(data, str | Path):
        return (str(data),)
    if isinstance(data, list | tuple) and data and isinstance(data[0], str | Path):
        return tuple(map(str, data))
    return ()


def _frame_rows(data: Data) -> list[Mapping[str, Any]] | None:
    """Return the rows of a DataFrame of pandas (`to_dict`) or polars (`to_dicts`); None for anything else."""
    if hasattr(data, "to_dicts"):
        return list(data.to_dicts())
    if hasattr(data, "to_dict") and hasattr(data, "columns"):
        return list(data.to_dict("records"))
    return None


def _rows(data: Data) -> list[Mapping[str, Any]]:
    """Return the rows of a DataFrame, or of a list of mappings."""
    frame = _frame_rows(data)
    if frame is not None:
        return frame
    rows = list(data) if isinstance(data, Iterable) else [data]
    for number, row in enumerate(rows, start=1):
        if not isinstance(row, Mapping):
            raise DataError(
                f"example {number} is a {type(row).__name__}; expected a mapping of columns such as "
                '{"text": "good", "label": "yes"}.'
            )
    return rows
