"""Strings of digits for the benchmark: deterministic, and no take in two parts."""

from __future__ import annotations

import zipfile
from pathlib import Path

import numpy as np
import pytest

from benchmarks.connected_digits import COMMON, MODELS
from benchmarks.digit_strings import (
    PARTS,
    RATE,
    WORDS,
    Take,
    join,
    make_strings,
    of_part,
    read_takes,
)
from heedful.compare.plan import merge
from heedful.tasks.transcribe import TranscribeConfig

soundfile = pytest.importorskip("soundfile")


def made(speakers: int = 2, takes: int = 12) -> list[Take]:
    """Takes whose samples name them: constant, all different."""
    found = []
    for digit in range(10):
        for speaker in range(speakers):
            for number in range(takes):
                value = (digit * 1000 + speaker * 100 + number + 1) / 20_000
                samples = np.full(800 + 10 * digit, value, np.float32)
                found.append(Take(digit, f"s{speaker}", number, samples))
    return found


def test_parts_share_no_take_and_cover_all() -> None:
    takes = made()
    parts = {part: {(t.digit, t.speaker, t.number) for t in of_part(takes, part)} for part in PARTS}
    assert (
        sum(len(each) for each in parts.values()) == len(takes) == len(set.union(*parts.values()))
    )
    assert {number for _, _, number in parts["test"]} == {0, 1, 2, 3, 4}


def test_strings_are_deterministic_and_of_one_speaker() -> None:
    takes = of_part(made(), "train")
    one, other, third = (
        make_strings(takes, 20, shortest=3, longest=7, seed=seed, name="x") for seed in (0, 0, 1)
    )
    assert one.answers == other.answers != third.answers
    for row, same in zip(one.rows, other.rows, strict=True):
        np.testing.assert_array_equal(row.clip.read(), same.clip.read())
        words = row.answer.split()
        assert 3 <= len(words) <= 7
        assert set(words) <= set(WORDS)
        assert row.clip.seconds >= 0.06 * len(words)
    assert {row.clip.label.rsplit("-")[-1] for row in one.rows} == {"s0", "s1"}


def test_takes_are_used_equally_often() -> None:
    takes = of_part(made(speakers=1, takes=6), "valid")
    strings = make_strings(takes, 40, shortest=5, longest=5, seed=0, name="x")
    counts = [" ".join(strings.answers).split().count(word) for word in WORDS]
    assert counts == [20] * 10


def test_joined_takes_are_louder_or_quieter_by_at_most_six_decibels() -> None:
    takes = [Take(1, "a", n, np.full(1600, 0.1, np.float32)) for n in range(4)]
    lengths = set()
    for seed in range(30):
        joined = join(takes, np.random.default_rng(seed))
        lengths.add(len(joined))
        assert np.abs(joined).max() < 0.1 * 10 ** (6 / 20) + 0.01
        assert 4 * 1600 - 3 * 0.04 * RATE <= len(joined) <= 4 * 1600 + (3 * 0.3 + 0.2) * RATE
    assert len(lengths) > 20


@pytest.mark.parametrize("form", ["folder", "zip", "folder of a zip"])
def test_takes_are_read_by_their_names(form: str, tmp_path: Path) -> None:
    folder = tmp_path / "wav"
    folder.mkdir()
    for name, value in (("3_ann_0", 0.25), ("7_bob_11", 0.5)):
        soundfile.write(folder / f"{name}.wav", np.full(100, value), RATE)
    path = folder
    if form != "folder":
        path = tmp_path / "all.zip"
        with zipfile.ZipFile(path, "w") as archive:
            for file in folder.iterdir():
                archive.write(file, f"recordings/{file.name}")
        path = path if form == "zip" else tmp_path
    takes = read_takes(path)
    assert [(t.digit, t.speaker, t.number) for t in takes] == [(3, "ann", 0), (7, "bob", 11)]
    assert takes[1].samples[5] == pytest.approx(0.5, abs=1e-3)


def test_what_holds_no_takes_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SystemExit, match="holds no recordings"):
        read_takes(tmp_path)
    soundfile.write(tmp_path / "1_a_0.wav", np.zeros(100), 16_000)
    with pytest.raises(SystemExit, match="16000 samples per second; wanted 8000"):
        read_takes(tmp_path)


def test_the_models_that_are_measured() -> None:
    assert {"ctc", "attention", "joint"} <= set(MODELS)
    for settings in MODELS.values():
        TranscribeConfig.model_validate(merge(COMMON, settings))
