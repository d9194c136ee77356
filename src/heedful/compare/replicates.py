"""One model on several divisions of a table: its errors on the test parts, beside those of baselines."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Final

from heedful import run_folder
from heedful.compare.baselines import fit_baseline
from heedful.data.molecules.splits import (
    Split,
    folds,
    save_splits,
    split_molecules,
    splits_to_json,
)
from heedful.data.texts import Texts
from heedful.errors import OptionError, RunError, StoppedError
from heedful.strict_json import to_strict_json
from heedful.tasks.base import Task
from heedful.training.events import Event, Stopped
from heedful.training.loop import never, train_model
from heedful.training.stage import Stage, read_stage
from heedful.training.staging import recover

SPLITS_FILE: Final = "splits.json"
RESULTS: Final = "replicates.json"
MODEL: Final = "model"
"""The name of the model among the baselines."""


@dataclass(frozen=True, kw_only=True)
class Replicate:
    """What one division came to."""

    number: int
    """Counted from 0; the index in `SPLITS_FILE`."""
    examples: tuple[int, int, int]
    """Of training, validation and test."""
    values: dict[str, float] = field(default_factory=dict)
    """Contender -> the metric on the test part; lower or higher is better as the answer says."""
    coverage: float | None = None
    """Share of the test targets within their intervals, of a model of numbers."""


def make_splits(table: Texts, data: Any, count: int, folded: bool) -> list[Split]:
    """Divide a table several times.

    Args:
        table: the molecules.
        data: the section `data`: kind, sizes and seed of the split.
        count: how many divisions.
        folded: whether each molecule is once in a test part: `count` folds. Otherwise the seed of each division is one
            more than that of the one before.

    Raises: OptionError for data that are divided by file or column already, too few molecules, or folds of a kind of
        split that has none.
    """
    if not hasattr(data, "splits_file"):
        raise OptionError(
            "replicates need a table of molecules, which the command divides; choose a task on molecules"
        )
    for name in ("splits_file", "splits_column", "valid"):
        if getattr(data, name):
            raise OptionError(
                f"data.{name} divides the data already; leave it out, or train with it once"
            )
    kind = "random" if data.split == "none" else data.split
    if not folded:
        return [
            split_molecules(
                table.inputs, kind, sizes=data.split_sizes, seed=data.split_seed + number
            )
            for number in range(count)
        ]
    if kind != "random":
        raise OptionError(
            f"folds are drawn at random, not by {kind}; use --replicates with --split {kind}"
        )
    return folds(table.inputs, count, data.split_seed)


def run_replicates(
    task: Task,
    config: Any,
    splits: Sequence[Split],
    folder: Path,
    baselines: Sequence[str] = (),
    *,
    stop: Callable[[], bool] = never,
) -> Iterator[Event | Replicate]:
    """Train and test once on each division, in folders `replicate-N`; what is finished there is only tested.

    The seed of each training is one more than that of the one before.

    Raises: StoppedError once `stop` returned True; RunError for other divisions than those of the folder.
    """
    path = folder / SPLITS_FILE
    folder.mkdir(parents=True, exist_ok=True)
    if path.exists():
        if path.read_bytes() != splits_to_json(splits).encode():
            raise RunError(
                f"{path} has other parts; use the same data and settings, or another --out"
            )
    else:
        run_folder.check_free(folder)
        save_splits(path, splits)
    found = []
    for number in range(len(splits)):
        yield from _train(
            task, _config_of(config, path, number), folder / f"replicate-{number}", stop
        )
        found.append(_test(task, folder / f"replicate-{number}", number, baselines))
        yield found[-1]
    values = {"metric": task.answer.primary_metric, "replicates": [asdict(each) for each in found]}
    run_folder.write_text(
        folder / RESULTS, to_strict_json({**values, "summary": summary(found)}) + "\n"
    )


def summary(found: Sequence[Replicate]) -> dict[str, dict[str, float | None]]:
    """Return the mean and the deviation over the replicates of each contender.

    >>> both = [Replicate(number=n, examples=(8, 1, 1), values={"model": 1.0 + n}) for n in range(2)]
    >>> summary(both)
    {'model': {'mean': 1.5, 'deviation': 0.7071067811865476}}
    """
    told: dict[str, dict[str, float | None]] = {}
    for name in found[0].values:
        values = [each.values[name] for each in found]
        deviation = statistics.stdev(values) if len(values) > 1 else None
        told[name] = {"mean": statistics.fmean(values), "deviation": deviation}
    return told


def _config_of(config: Any, splits: Path, number: int) -> Any:
    values = config.model_dump()
    values["data"] |= {"split": "none", "splits_file": str(splits), "split_index": number}
    values["training"]["seed"] += number
    return type(config).model_validate(values)


def _train(task: Task, config: Any, run: Path, stop: Callable[[], bool]) -> Iterator[Event]:
    recover(run)
    stage = read_stage(run)
    if stage is Stage.FINISHED:
        return
    is_begun = stage is Stage.TRAINING
    data = task.reader.read_training(config.data)
    for event in train_model(
        task, config, *data, run, resume=is_begun, overwrite=not is_begun, stop=stop
    ):
        yield event
        if isinstance(event, Stopped):
            raise StoppedError(f"the training in {run} was asked to stop")


def _test(task: Task, run: Path, number: int, baselines: Sequence[str]) -> Replicate:
    trained = task.load(run)
    section = trained.config.data
    train, valid = task.reader.read_training(section)
    test = task.reader.read_test(None, section)
    predicted = list(trained.predict_data(test))
    metrics = trained.score(test, predicted)
    values = {MODEL: _value(task, trained.answer, predicted, test)}
    for name in baselines:
        answer, predict = fit_baseline(
            name, task, trained.config, train, trained.config.training.seed
        )
        values[name] = _value(task, answer, predict(test), test)
    return Replicate(
        number=number,
        examples=(len(train), len(valid), len(test)),
        values=values,
        coverage=getattr(metrics, "coverage", None),
    )


def _value(task: Task, answer: Any, predicted: Sequence[Any], test: Any) -> float:
    return float(task.answer.value(answer.statistics(predicted, test).sum(axis=0)))
