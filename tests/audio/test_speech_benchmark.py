"""The benchmark on spoken digits: its parts, and the configurations in examples/."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks.speech import ROOT, feature_speed, official, spoken, takes, unheard, write_table
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
    trial = official("digits", "fsdd_digits.toml", rows)
    assert {each.number for each in trial.test} == {0, 4}
    assert {each.number for each in trial.train} == {5, 12}
    assert {each.number for each in trial.valid} == {5}
    held_out = unheard("bob", rows, [])
    assert {each.speaker for each in held_out.test} == {"bob"}
    assert {each.speaker for each in [*held_out.train, *held_out.valid]} == {"ann"}
    table = Path(write_table(tmp_path / "t.csv", trial.test)).read_text(encoding="utf-8")
    assert table.splitlines()[0] == "audio,digit,speaker"
    assert feature_speed(rows) > 1
    (tmp_path / "words.csv").write_text("audio,label,voice\none_robot_0.wav,1,robot\n")
    added = unheard("bob", rows, spoken(tmp_path / "words.csv"))
    assert [each for each in added.train if each.speaker == "robot"] == added.train[-1:]
    assert added.train[-1].path == tmp_path / "one_robot_0.wav"
    assert len(added.valid) == len(held_out.valid)
    with pytest.raises(SystemExit, match="no files named"):
        takes(tmp_path / "nothing")
