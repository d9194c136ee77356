"""Normalization by speaker: the statistics of all recordings of a person, from every form of list."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import heedful
from heedful.data.audio import normalize as normalization
from heedful.data.audio.cache import FeatureCache
from heedful.data.audio.clips import Clip, with_voices
from heedful.data.audio.columns import AudioColumns
from heedful.data.audio.fbank import Framing
from heedful.data.audio.tables import read_audio
from heedful.errors import DataError, OptionError
from heedful.inputs.frames import FramesInput, features_of
from heedful.inputs.frames_config import AugmentConfig, FeaturesConfig, FrameInputsConfig
from tests.audio.sounds import RATE, chirp, tone, write, write_table
from tests.cli.conftest import run_command

FRAMING = Framing(rate=RATE)
LOUDNESS = {"ann": 1.0, "bob": 0.1}
PITCHES = (400, 700, 1100, 1500)


@pytest.fixture
def table(tmp_path: Path) -> Path:
    """Eight tones; those of bob are 20 dB quieter."""
    rows = []
    for speaker, loudness in LOUDNESS.items():
        for pitch in PITCHES:
            write(tmp_path / f"{speaker}{pitch}.wav", loudness * tone(pitch))
            rows.append([f"{speaker}{pitch}.wav", "low" if pitch < 1000 else "high", speaker])
    return write_table(tmp_path / "tones.csv", ["audio", "label", "speaker"], rows)


def speech(values: Any) -> Any:
    return normalization.speech(torch.from_numpy(np.array(values))).numpy()


def frames(**changes: Any) -> FramesInput:
    features = FeaturesConfig(bands=12, normalize="speaker", **changes)
    return FramesInput(features, AugmentConfig(), FrameInputsConfig(), RATE)


def clips(table: Path, speaker: str = "speaker") -> list[Clip]:
    return read_audio([str(table)], AudioColumns(answer="label", speaker=speaker), FRAMING).inputs


@pytest.mark.parametrize("variance", [False, True])
def test_recordings_have_the_mean_of_their_speaker_taken_off(table: Path, variance: bool) -> None:
    inputs, listed = frames(variance=variance), clips(table)
    values = inputs.collate(inputs.encode(listed)).values
    options = inputs.features.options()
    for first in (0, 4):
        own = [features_of(clip, options) for clip in listed[first : first + 4]]
        loud = np.concatenate([speech(each) for each in own]).astype(np.float64)
        scale = loud.std(axis=0) if variance else 1.0
        for found, each in zip(values[first : first + 4], own, strict=True):
            wanted = (each - loud.mean(axis=0)) / scale
            np.testing.assert_allclose(found[: len(each)], wanted, atol=1e-4)
    np.testing.assert_allclose(values[:4], values[4:], atol=0.5)


def test_the_statistics_do_not_depend_on_the_batch_or_the_cache(
    table: Path, tmp_path: Path
) -> None:
    listed = clips(table)
    together = frames().encode(listed)
    alone = frames().encode([listed[2]])
    read = read_audio([str(table)], AudioColumns(answer="label", speaker="speaker"), FRAMING)
    cached = frames().encode(read.cached_in(tmp_path / "cache").inputs)
    assert isinstance(read.cached_in(tmp_path / "cache").inputs[0].cache, FeatureCache)
    for each in (alone[0], cached[2]):
        assert together[2].voice is not None
        assert each.voice is not None
        np.testing.assert_allclose(each.voice.bands.mean, together[2].voice.bands.mean, rtol=1e-12)


def test_recordings_without_the_column_are_of_one_person(table: Path) -> None:
    inputs = frames()
    voices = {id(each.voice) for each in inputs.encode(clips(table, speaker="nobody"))}
    assert len(voices) == 1
    assert len({id(each.voice) for each in inputs.encode(clips(table))}) == 2


NOTHING = {"tempo": (1.0, 1.0), "time_masks": 0, "band_masks": 0}


@pytest.mark.parametrize("option", ["tilt", "equalizer"])
def test_another_microphone_of_a_speaker_is_taken_off(table: Path, option: str) -> None:
    """It is that of all recordings of the speaker, so that their mean moves with each of them."""
    listed = clips(table)
    inputs = replace(frames(), augment=AugmentConfig(**NOTHING, **{option: 9.0}))
    encoded, rng = inputs.encode(listed), np.random.default_rng(0)
    changed = [inputs.augmentation()(each, rng) for each in encoded]
    assert np.abs(changed[0].values - encoded[0].values).max() > 0.5
    torch.testing.assert_close(
        inputs.collate(changed).values, inputs.collate(encoded).values, rtol=0, atol=1e-4
    )


@pytest.mark.parametrize("change", [{"warp": 0.3}, {"speed": (1.5, 1.5)}, {"noise": 1.0}])
@pytest.mark.parametrize("variance", [False, True])
def test_statistics_of_a_perturbed_speaker_are_those_of_perturbed_recordings(
    table: Path, change: dict[str, Any], variance: bool
) -> None:
    """Chirps in noise: their bands differ, and each has enough frames for its deviation to be known."""
    rng = np.random.default_rng(0)
    waves = [chirp(200 + 20 * i, 2000, 1.0) + 0.01 * rng.normal(size=RATE) for i in range(8)]
    listed = with_voices([(Clip.of(wave, RATE, FRAMING), "ann") for wave in waves])
    inputs = replace(
        frames(variance=variance),
        augment=AugmentConfig(**NOTHING, **change, noise_ratio=(0.0, 0.0)),
    )
    encoded = inputs.encode(listed)
    changed = [inputs.augmentation()(each, np.random.default_rng(5)) for each in encoded]
    loud = np.concatenate([speech(each.values) for each in changed])
    assert encoded[0].voice is not None
    before = np.abs(loud.mean(0) - encoded[0].voice.bands.mean).mean()
    for each in changed:
        assert each.voice is not None
        after = np.abs(loud.mean(0) - each.voice.bands.mean).mean()
        assert after < 0.5 * before, (after, before)
        ratio = each.voice.bands.scale / loud.std(0)
        assert 0.7 < np.exp(np.log(ratio).mean()) < 1.4


def test_a_clip_alone_is_normalized_by_itself() -> None:
    clip = Clip.of(tone(500), RATE, FRAMING)
    inputs = frames()
    [values] = inputs.collate(inputs.encode([clip])).values
    loud = speech(features_of(clip, inputs.features.options()))
    np.testing.assert_allclose(
        values[: clip.frames],
        features_of(clip, inputs.features.options()) - loud.mean(axis=0),
        atol=1e-4,
    )


def test_a_model_recognizes_a_quieter_speaker_from_a_table(table: Path, tmp_path: Path) -> None:
    rows = [row.split(",") for row in table.read_text().split()[1:]]
    train = write_table(
        tmp_path / "ann.csv",
        ["audio", "label", "speaker"],
        [row for row in rows if row[2] == "ann"],
    )
    test = write_table(
        tmp_path / "bob.csv",
        ["audio", "label", "speaker"],
        [row for row in rows if row[2] == "bob"],
    )
    small: dict[str, Any] = {
        "data": {"rate": RATE, "speaker": "speaker", "valid_share": 0},
        "features": {"bands": 12, "normalize": "speaker"},
        "augment": {"tempo": [1.0, 1.0], "time_masks": 0, "band_masks": 0},
        "inputs": {"width": 12},
        "encoder": {"kind": "convolution", "hidden": 12},
        "training": {"epochs": 25, "threads": 1, "keep_freed_memory": False, "batch_tokens": 500},
    }
    model = heedful.train("classify-audio", train=str(train), out=tmp_path / "run", **small)
    assert model.evaluate(str(test)).accuracy == 1.0
    shown = run_command("predict", str(tmp_path / "run"), str(test))
    assert [line.split("\t")[1] for line in shown.stdout.splitlines()[1:]] == [
        "low", "low", "high", "high",
    ]  # fmt: skip
    # The same rows in Python, beside another speaker's, are those of a table; each alone is normalized by itself.
    given = [{"audio": str(tmp_path / row[0]), "speaker": row[2]} for row in rows]
    of_bob = [number for number, row in enumerate(rows) if row[2] == "bob"]
    together = model.predict(given)
    alone = [model.predict([given[number]])[0] for number in of_bob]
    for number, line in zip(of_bob, shown.stdout.splitlines()[1:], strict=True):
        assert together[number].label == line.split("\t")[1]
        assert together[number].probabilities[0] == pytest.approx(
            float(line.split("\t")[2]), abs=1e-5
        )
    for number, one in zip(of_bob, alone, strict=True):
        assert one.all_probabilities != pytest.approx(together[number].all_probabilities, abs=1e-3)
    without = [{"audio": each["audio"]} for each in given]
    for found, each in zip(model.predict(without), without, strict=True):
        [by_itself] = model.predict([each])
        assert found.all_probabilities == pytest.approx(by_itself.all_probabilities, abs=1e-5)


def test_without_a_column_there_is_no_speaker(table: Path, tmp_path: Path) -> None:
    with pytest.raises(OptionError, match=r"set data\.speaker"):
        heedful.train(
            "classify-audio",
            train=str(table),
            out=tmp_path / "run",
            data={"rate": RATE, "valid_share": 0},
            features={"normalize": "speaker"},
        )


def test_a_column_that_no_recording_has_is_an_error_of_training(
    table: Path, tmp_path: Path
) -> None:
    with pytest.raises(DataError, match="none has the column 'nobody'"):
        heedful.train(
            "classify-audio",
            train=str(table),
            out=tmp_path / "run",
            data={"rate": RATE, "valid_share": 0, "speaker": "nobody"},
            features={"normalize": "speaker"},
        )
