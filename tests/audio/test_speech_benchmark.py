"""The benchmark on spoken digits: its parts, and the configurations in examples/."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import soundfile

from benchmarks.speech import (
    ROOT,
    cut_off,
    feature_speed,
    official,
    over_seeds,
    spoken,
    takes,
    unheard,
    write_table,
)
from heedful.config import build, read_toml
from heedful.tasks.table import TASKS
from tests.audio.sounds import tone, write

NAMES = ("digits", "speakers", "unheard")


def recordings(folder: Path) -> Path:
    for digit in (0, 1):
        for speaker in ("ann", "bob"):
            for take in (0, 4, 5, 12):
                write(folder / f"{digit}_{speaker}_{take}.wav", tone(300 + 900 * digit))
    return folder


@pytest.mark.parametrize("name", NAMES)
def test_configurations_are_valid_and_name_no_folder_of_this_machine(name: str) -> None:
    values = read_toml(ROOT / "examples" / f"fsdd_{name}.toml")
    config = build(TASKS["classify-audio"].configuration, values)
    assert config.data.rate == 8000
    assert not any(Path(path).is_absolute() for path in config.data.train)


def test_parts_of_the_takes(tmp_path: Path) -> None:
    rows = takes(recordings(tmp_path))
    assert len(rows) == 16
    trial = official("digits", rows)
    assert {each.number for each in trial.tests["digits"]} == {0, 4}
    assert {each.number for each in trial.train} == {5, 12}
    assert {each.number for each in trial.valid} == {5}
    held_out = unheard(["bob"], rows, [])
    assert {each.speaker for each in held_out.tests["bob"]} == {"bob"}
    assert {each.speaker for each in [*held_out.train, *held_out.valid]} == {"ann"}
    table = Path(write_table(tmp_path / "t.csv", trial.train)).read_text(encoding="utf-8")
    assert table.splitlines()[0] == "audio,digit,speaker"
    assert feature_speed(rows) > 1
    (tmp_path / "words.csv").write_text("audio,label,voice\none_robot_0.wav,1,robot\n")
    added = unheard(["bob"], rows, spoken(tmp_path / "words.csv"))
    assert [each for each in added.train if each.speaker == "robot"] == added.train[-1:]
    assert added.train[-1].path == tmp_path / "one_robot_0.wav"
    assert len(added.valid) == len(held_out.valid)
    neither = unheard(["ann", "bob"], rows, spoken(tmp_path / "words.csv"))
    assert [each.speaker for each in neither.train] == ["robot"]
    assert {name: len(test) for name, test in neither.tests.items()} == {"ann": 8, "bob": 8}
    with pytest.raises(SystemExit, match="no files named"):
        takes(tmp_path / "nothing")


def test_settings_are_chosen_without_the_test(tmp_path: Path) -> None:
    trial = cut_off(takes(recordings(tmp_path)), [], tmp_path / "out")
    assert {each.number for each in trial.train} == {12}
    lengths = {
        name: {soundfile.info(str(each.path)).frames for each in test}
        for name, test in trial.tests.items()
    }
    assert {each.number for test in trial.tests.values() for each in test} == {5}
    whole = len(tone(300))
    assert lengths == {
        "whole": {whole},
        "end_20": {whole - int(0.2 * whole)},
        "end_35": {whole - int(0.35 * whole)},
        "start_15": {whole - int(0.15 * whole)},
    }


def test_all_trainings_with_the_first_seed_come_first(tmp_path: Path) -> None:
    rows = takes(recordings(tmp_path))
    small = {"training": {"epochs": 1}, "features": {"floor": 0.0, "trim": 0.0}}
    wanted = [replace(unheard([speaker], rows, []), changes=small) for speaker in ("ann", "bob")]
    said: list[str] = []
    results = over_seeds(wanted, 2, tmp_path / "out", said.append)
    assert [line.split(":")[0] for line in said] == [
        "unheard-ann, seed 0",
        "unheard-bob, seed 0",
        "after 1 seeds",
        "unheard-ann, seed 1",
        "unheard-bob, seed 1",
        "after 2 seeds",
    ]
    assert {name: len(test[name[8:]]) for name, test in results.items()} == {
        "unheard-ann": 2,
        "unheard-bob": 2,
    }
    settings = (tmp_path / "out" / "unheard-bob-1" / "config.toml").read_text()
    assert "seed = 1" in settings
    assert "epochs = 1" in settings
