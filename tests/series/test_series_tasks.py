"""Tasks on series from training to predictions: they learn, resume, are explained, and beat what costs nothing."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import heedful
from heedful.answers.forecast import Forecast, Forecasted, persistence, seasonal
from heedful.data.builtin import load_builtin_series, waves
from heedful.data.series.series import Series, SeriesSet
from heedful.data.series.windows import Window, Windows
from heedful.errors import DataError, OptionError, RunError
from heedful.inputs.series import SeriesInput, SeriesInputsConfig
from heedful.tasks.table import TASKS
from heedful.training.events import Progress
from heedful.training.loop import train_model
from tests.cli.conftest import run_command

TRAINING = {
    "epochs": 3, "batch_tokens": 600, "warmup_steps": 2, "threads": 1, "learning_rate": 0.01,
    "keep_freed_memory": False, "progress_steps": 1,
}  # fmt: skip
SMALL: dict[str, Any] = {
    "inputs": {"width": 8},
    "encoder": {"kind": "convolution", "hidden": 16},
    "training": TRAINING,
}
CORPUS = waves.build(train_size=40, valid_size=20, test_size=10)
SERIES = {
    "classify-series": "label",
    "regress-series": "number",
    "tag-series": "steps",
}


def configured(task: str, **changes: Any) -> Any:
    return TASKS[task].configuration.model_validate({**SMALL, **changes})


def data_of(task: str) -> tuple[SeriesSet, SeriesSet]:
    kind: Any = SERIES[task]
    return CORPUS.with_answers(CORPUS.train, kind), CORPUS.with_answers(CORPUS.valid, kind)


@pytest.mark.parametrize("task", SERIES)
def test_every_task_trains_resumes_and_explains(task: str, tmp_path: Path) -> None:
    config = configured(task, training={**TRAINING, "checkpoint_steps": 2})
    train, valid = data_of(task)
    list(train_model(TASKS[task], config, train, valid, tmp_path / "whole"))
    events = train_model(TASKS[task], config, train, valid, tmp_path / "part")
    for event in events:
        if isinstance(event, Progress) and event.step == 5:
            break
    events.close()  # type: ignore[attr-defined]
    torch.rand(3)
    list(train_model(TASKS[task], config, train, valid, tmp_path / "part", resume=True))
    names = ("model.safetensors", "series.json", "config.toml")
    for name in names:
        assert (tmp_path / "part" / name).read_bytes() == (tmp_path / "whole" / name).read_bytes()
    model = heedful.load(tmp_path / "whole")
    explained = model.explain(train.inputs[0])
    [weights] = explained.records[-1].weights
    assert weights.shape[1] == len(train.inputs[0])
    np.testing.assert_allclose(weights.sum(-1), 1, atol=1e-5)
    assert model.evaluate(valid)


def test_a_classifier_learns_both_features(tmp_path: Path) -> None:
    corpus = waves.build(train_size=120, valid_size=40, test_size=1)
    config = configured(
        "classify-series", training={**TRAINING, "epochs": 12}, pooling={"kind": "max"}
    )
    train, valid = (corpus.with_answers(each, "label") for each in (corpus.train, corpus.valid))
    *_, last = train_model(TASKS["classify-series"], config, train, valid, tmp_path / "run")
    assert last.scores["accuracy"] > 0.8


def test_a_forecast_beats_persistence_on_a_wave(tmp_path: Path) -> None:
    wave = np.sin(np.arange(400) * 2 * np.pi / 20)[:, None] * 5 + 100
    np.save(tmp_path / "wave.npy", wave)
    model = heedful.train(
        "forecast", train=tmp_path / "wave.npy", out=tmp_path / "run", horizon=5,
        data={"steps": 20, "season": 20}, inputs={"width": 0}, encoder={"kind": "gru", "hidden": 16},
        training={**TRAINING, "epochs": 15, "average_epochs": 1},
    )  # fmt: skip
    found = model.evaluate(tmp_path / "wave.npy")
    assert found.skill > 0.9
    assert found.seasonal_rmse == pytest.approx(0, abs=1e-9)
    assert len(found.rmse_by_step) == 5
    [forecast] = model.predict([wave[:300]])
    assert forecast.values.shape == (5, 1)
    np.testing.assert_allclose(forecast.values, wave[300:305], atol=2.5)
    [short] = model.predict([wave[280:300]])
    np.testing.assert_allclose(short.values, forecast.values)


def test_baselines() -> None:
    read = np.array([[1.0], [2.0], [np.nan]])
    assert persistence(read, 2).tolist() == [[2.0], [2.0]]
    assert seasonal(read, 3, 2)[:, 0].tolist() == [2.0, 2.0, 2.0]
    assert seasonal(read, 2, 9).tolist() == persistence(read, 2).tolist()


def test_baselines_of_series_that_begin_with_a_missing_value() -> None:
    read = np.array([[np.nan, np.nan], [300.0, np.nan], [301.0, np.nan]])
    assert seasonal(read, 3, 3, np.array([0.0, 7.0])).tolist() == [[300, 7], [300, 7], [301, 7]]
    assert persistence(read, 1, np.array([0.0, 7.0])).tolist() == [[301, 7]]


def test_a_season_longer_than_what_is_read_is_refused() -> None:
    config = configured("forecast", data={"steps": 10, "season": 11})
    with pytest.raises(OptionError, match=r"set data.steps=11 or more"):
        Forecast.check(config, CORPUS.train, CORPUS.valid)


def test_a_step_ahead_that_is_never_known_has_no_error() -> None:
    answer = Forecast.learn(configured("forecast", data={"horizon": 2}), [np.array([[1.0], [2.0]])])
    data = Windows([Window(np.array([[1.0]]), np.array([[3.0], [np.nan]]))])
    found = answer.score([Forecasted(np.array([[4.0], [5.0]]))], data)
    assert (found.rmse, found.rmse_by_step) == (1.0, (1.0, None))
    assert answer.tables(found)[1][-1] == ["2", "–"]


def test_what_is_compared_is_the_error_that_is_evaluated(tmp_path: Path) -> None:
    values = np.sin(np.arange(60.0))[:, None]
    values[[20, 21, 22, 40]] = np.nan
    config = configured(
        "forecast",
        data={"horizon": 2, "steps": 5, "valid_share": 0.7},
        training={**TRAINING, "epochs": 1},
    )
    train, valid = TASKS["forecast"].reader.split(SeriesSet([Series(values)]), config.data)
    list(train_model(TASKS["forecast"], config, train, valid, tmp_path / "run"))
    model = heedful.load(tmp_path / "run")
    sums = model.predictor.answer.statistics(model.predict(valid.inputs), valid).sum(axis=0)
    assert float(Forecast.value(sums)) == pytest.approx(model.evaluate(valid).rmse)


def test_a_relative_forecast_follows_a_trend(tmp_path: Path) -> None:
    trend = 1e6 + 3.0 * np.arange(300)[:, None] + np.array([0.0, 500.0])
    trend[17, 1] = np.nan
    np.save(tmp_path / "trend.npy", trend)
    model = heedful.train(
        "forecast", train=tmp_path / "trend.npy", out=tmp_path / "run", horizon=3,
        data={"steps": 10, "relative": True}, inputs={"width": 8},
        encoder={"kind": "convolution", "hidden": 16}, training={**TRAINING, "epochs": 10},
    )  # fmt: skip
    assert model.evaluate(tmp_path / "trend.npy").skill > 0.9
    far = trend + 1e7
    [forecast] = heedful.load(tmp_path / "run").predict([far[:200]])
    np.testing.assert_allclose(forecast.values, far[200:203], atol=3)
    far[150:, 1] = np.nan
    with pytest.raises(DataError, match="feature 2 of the series has no value in the last 10"):
        model.predict([far])


def test_missing_values_are_shown_and_padding_is_zero() -> None:
    train = [np.array([[1.0, 10.0], [3.0, np.nan]]), np.array([[np.nan, 30.0]])]
    series = SeriesInput.of(train, SeriesInputsConfig(width=0))
    batch = series.collate(series.encode(train))
    assert batch.lengths.tolist() == [2, 1]
    assert batch.values.tolist() == [
        [[-1, -1, 0, 0], [1, 0, 0, 1]],
        [[0, 1, 1, 0], [0, 0, 0, 0]],
    ]
    assert series.embedding().width == 4
    whole = SeriesInput.of([np.ones((3, 1))], SeriesInputsConfig())
    assert whole.encode([np.array([[2.0], [np.nan]])])[0].values.tolist() == [[1.0], [0.0]]
    with pytest.raises(DataError, match="feature 2 of the series has no value in all of the"):
        SeriesInput.of([np.array([[1.0, np.nan]])], SeriesInputsConfig())
    with pytest.raises(DataError, match="the series has 2 features; the model was trained on 1"):
        whole.encode([np.ones((1, 2))])


def test_what_is_kept_in_a_run_loads(tmp_path: Path) -> None:
    config = configured("regress-series")
    train, valid = data_of("regress-series")
    predictor = TASKS["regress-series"].learn(config, train)
    predictor.input.save(tmp_path)
    again = SeriesInput.load(config, tmp_path)
    np.testing.assert_array_equal(again.standardizer.mean, predictor.input.standardizer.mean)
    for one, other in zip(
        again.encode(valid.inputs), predictor.input.encode(valid.inputs), strict=True
    ):
        np.testing.assert_array_equal(one.values, other.values)
    (tmp_path / "series.json").write_text("{")
    with pytest.raises(RunError, match=r"series\.json is damaged"):
        SeriesInput.load(config, tmp_path)


def test_the_command_on_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    rows = [
        f"{each.name},{t},{x},{y},{each.answer[0]}"
        for each in CORPUS.with_answers(CORPUS.train, "label").series
        for t, (x, y) in enumerate(each.values)
    ]
    Path("long.csv").write_text("\n".join(["id,t,x,y,label", *rows]) + "\n", encoding="utf-8")
    sets = [
        word
        for each in (
            "training.epochs=1", "training.threads=1", "training.keep_freed_memory=false",
            "encoder.hidden=8",
        )
        for word in ("--set", each)
    ]  # fmt: skip
    ran = run_command(
        *("train", "classify-series", "--train", "long.csv", "--series", "id", "--time", "t"),
        *("--encoder", "none", "--out", "run", *sets),
    )
    assert ran.status == 0, ran.stderr
    assert "training series, " in ran.stdout
    ran = run_command("predict", "run", "long.csv", "-q")
    assert ran.status == 0, ran.stderr
    lines = ran.stdout.splitlines()
    assert lines[0] == "series\tpredicted\tpredicted_probability"
    assert len(lines) == 41
    values = json.loads(run_command("evaluate", "run", "--test", "long.csv", "--json").stdout)
    assert values["series"] == 40
    np.save("one.npy", CORPUS.train.inputs[0])
    ran = run_command("explain", "run", "one.npy", "--out", "seen.html")
    assert ran.status == 0, ran.stderr
    Path("one.csv").write_text("t,x,y,label\n2,1,0.5,\n1,?,0,\n", encoding="utf-8")
    [values] = heedful.load("run").predict(["one.csv"])
    assert values.label in heedful.load("run").labels
    ran = run_command("explain", "run", "long.csv")
    told = "the file holds 40 series; name one of them, such as long.csv:train-0."
    assert (ran.status, told in ran.stderr) == (1, True)
    ran = run_command("explain", "run", "long.csv:train-0", "--out", "first.html")
    assert ran.status == 0, ran.stderr
    assert Path("first.html").read_bytes() == Path("seen.html").read_bytes()
    ran = run_command("explain", "run", "long.csv:train-40")
    told = "long.csv: the file holds no series of the name 'train-40'"
    assert (ran.status, told in ran.stderr) == (1, True)
    piped = run_command("predict", "run", input="x\n")
    assert (piped.status, "series are not read from standard input" in piped.stderr) == (2, True)


def test_the_corpus_is_the_same_each_time_and_lacks_no_label() -> None:
    one, two = waves.build(3, train_size=30), waves.build(3, train_size=30)
    assert one.train.texts() == two.train.texts() != waves.build(4, train_size=30).train.texts()
    labels = {each for (each,) in one.with_answers(one.train, "label").answers}
    assert labels == {"slow up", "slow down", "fast up", "fast down"}
    with pytest.raises(OptionError, match="unknown built-in corpus of series 'wave'"):
        load_builtin_series("wave")


def test_series_without_numbers_in_a_forecast_are_told() -> None:
    short = SeriesSet([Series(np.ones((3, 1)))])
    with pytest.raises(DataError, match="a window of 48 and a horizon of 1 need 49"):
        TASKS["forecast"].reader.split(short, configured("forecast").data)


SETTINGS: dict[str, tuple[str, list[Any]]] = {
    "inputs.width": ("classify-series", [0, 4]),
    "inputs.dropout": ("classify-series", [0.0, 0.5]),
    "data.min_examples": ("classify-series", [1, 100]),
    "data.max_length": ("classify-series", [50, 100]),
    "pooling.kind": ("classify-series", ["mean", "max"]),
    "prediction.threshold": ("classify-series", [0.01, 0.99]),
    "training.label_smoothing": ("classify-series", [0.0, 0.3]),
    "labels.chain": ("tag-series", [False, True]),
    "data.horizon": ("forecast", [1, 3]),
    "data.steps": ("forecast", [5, 10]),
    "data.stride": ("forecast", [10, 20]),
    "data.season": ("forecast", [0, 4]),
    "data.relative": ("forecast", [False, True]),
    "data.valid_share": ("forecast", [0.3, 0.5]),
}


@pytest.mark.parametrize("name", SETTINGS)
def test_every_setting_does_something(name: str, tmp_path: Path) -> None:
    task, values = SETTINGS[name]
    section, _, key = name.partition(".")
    seen = []
    for number, value in enumerate(values):
        base: dict[str, Any] = {"training": {**TRAINING, "epochs": 1}}
        if task == "forecast":
            base["data"] = {"steps": 10, "stride": 10}
        if name == "prediction.threshold":
            base["data"] = {"separator": ","}
        base[section] = {**SMALL.get(section, {}), **base.get(section, {}), key: value}
        config = configured(task, **base)
        reader = TASKS[task].reader
        if task == "forecast":
            train, valid = reader.split(CORPUS.train, config.data)
        else:
            train, valid = data_of(task)
        folder = tmp_path / str(number)
        try:
            events = list(train_model(TASKS[task], config, train, valid, folder))
        except DataError as error:
            seen.append((str(error),))
            continue
        model = heedful.load(folder)
        shown = model.predictor.answer.to_text(model.predict(valid.inputs[:1])[0])
        weights = (folder / "model.safetensors").read_bytes()
        found = model.evaluate(valid)
        seen.append((events[0].train_examples, len(valid), weights, shown, repr(found)))
    assert seen[0] != seen[1]


def test_a_share_of_each_label_is_cut_off_by_the_seed() -> None:
    train, _ = data_of("classify-series")
    cuts = []
    for seed in (0, 1):
        config = configured("classify-series", data={"valid_share": 0.25, "valid_seed": seed})
        left, cut = TASKS["classify-series"].reader.split(train, config.data)
        assert len(left) + len(cut) == len(train)
        assert {each for (each,) in cut.answers} == {each for (each,) in train.answers}
        cuts.append(cut.texts())
    assert cuts[0] != cuts[1]
    config = configured("classify-series", data={"valid_share": 0.01})
    with pytest.raises(DataError, match="40 series are too few to cut a share of 0.01"):
        TASKS["classify-series"].reader.split(train, config.data)
