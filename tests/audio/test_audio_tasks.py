"""Tasks on recordings from training to predictions: they learn, resume bit for bit, are explained."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

import heedful
from heedful.data.audio.augment import move_bands, stretch
from heedful.data.audio.cache import FeatureCache
from heedful.data.audio.clips import Clip, Recordings
from heedful.data.audio.fbank import Framing, MelOptions, fbank, mel_centres
from heedful.data.audio.normalize import normalize, normalize_sliding
from heedful.data.builtin import tones
from heedful.errors import DataError, OptionError
from heedful.inputs.frames import FrameFeatures, FramesBatch, FramesInput
from heedful.inputs.frames_config import AugmentConfig, FeaturesConfig, FrameInputsConfig
from heedful.models.encoders import ENCODER_CONFIGS, ENCODERS
from heedful.run_lock import LOCK, RunLock
from heedful.tasks.table import TASKS
from heedful.training.events import Progress, Started
from heedful.training.loop import train_model
from heedful.training.state import FEATURES
from tests.audio.sounds import RATE, chirp, tone, write, write_table
from tests.cli.conftest import run_command

TRAINING = {
    "epochs": 2, "batch_tokens": 1500, "warmup_steps": 2, "threads": 1, "learning_rate": 0.01,
    "keep_freed_memory": False, "progress_steps": 1,
}  # fmt: skip
SMALL: dict[str, Any] = {
    "data": {"rate": RATE},
    "features": {"bands": 20},
    "inputs": {"width": 12},
    "encoder": {"kind": "convolution", "hidden": 16},
    "training": TRAINING,
}
SMALL_SETS = [
    each
    for setting in (
        "training.batch_tokens=250", "training.learning_rate=0.02", "encoder.hidden=16", "inputs.width=12",
    )
    for each in ("--set", setting)
]  # fmt: skip
CORPUS = tones.build(train_size=24, valid_size=10, test_size=10)
KINDS: dict[str, Any] = {
    "classify-audio": "label",
    "regress-audio": "number",
    "tag-audio": "frames",
}


def configured(task: str, **changes: Any) -> Any:
    sections = {
        name: {**SMALL.get(name, {}), **changes.get(name, {})} for name in {*SMALL, *changes}
    }
    return TASKS[task].configuration.model_validate(sections)


def data_of(task: str) -> tuple[Recordings, Recordings]:
    framing = Framing(rate=RATE)
    return (
        CORPUS.recordings("train", KINDS[task], framing),
        CORPUS.recordings("valid", KINDS[task], framing),
    )


@pytest.mark.parametrize("task", KINDS)
def test_every_task_trains_resumes_and_explains(task: str, tmp_path: Path) -> None:
    augment = {"noise": 1.0, "warp": 0.1, "tilt": 3.0, "level": 3.0}
    config = configured(task, training={**TRAINING, "checkpoint_steps": 1}, augment=augment)
    train, valid = data_of(task)
    list(train_model(TASKS[task], config, train, valid, tmp_path / "whole"))
    events = train_model(TASKS[task], config, train, valid, tmp_path / "part")
    for event in events:
        if isinstance(event, Progress) and event.step == 3:
            break
    events.close()  # type: ignore[attr-defined]
    torch.rand(3)
    list(train_model(TASKS[task], config, train, valid, tmp_path / "part", resume=True))
    for name in ("model.safetensors", "config.toml"):
        assert (tmp_path / "part" / name).read_bytes() == (tmp_path / "whole" / name).read_bytes()
    model = heedful.load(tmp_path / "whole")
    clip = train.inputs[0]
    explained = model.explain(clip)
    [weights] = explained.records[-1].weights
    assert weights.shape[1] == (clip.frames if task == "tag-audio" else (clip.frames + 1) // 2)
    np.testing.assert_allclose(weights.sum(-1), 1, atol=1e-5)
    assert model.evaluate(valid)


@pytest.mark.parametrize("encoder", ENCODERS)
def test_every_encoder_serves(encoder: str, tmp_path: Path) -> None:
    size = {"hidden": 8} if "hidden" in ENCODER_CONFIGS[encoder].model_fields else {"width": 8}
    section = {"kind": encoder, **size}
    train, valid = data_of("classify-audio")
    config = TASKS["classify-audio"].configuration.model_validate({**SMALL, "encoder": section})
    *_, last = train_model(TASKS["classify-audio"], config, train, valid, tmp_path / "run")
    assert np.isfinite(last.scores["loss"])


@pytest.mark.long
def test_a_classifier_and_a_tagger_learn_the_tones(tmp_path: Path) -> None:
    corpus = tones.build(train_size=300, valid_size=60, test_size=1)
    for task, least in (("classify-audio", 0.9), ("tag-audio", 0.95)):
        training = {"epochs": 40, "threads": 1, "batch_tokens": 2000, "learning_rate": 0.005}
        data = [
            corpus.recordings(part, KINDS[task], Framing(rate=RATE)) for part in ("train", "valid")
        ]
        config = configured(
            task, training=training, encoder={"kind": "gru", "hidden": 24, "layers": 1}
        )
        *_, last = train_model(TASKS[task], config, *data, tmp_path / task)
        assert last.scores["accuracy"] >= least, task


def test_features_are_computed_once_and_kept_beside_the_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    read: list[str] = []
    original = Clip.read
    monkeypatch.setattr(Clip, "read", lambda clip: (read.append(clip.name), original(clip))[1])
    train, valid = data_of("classify-audio")
    config = configured("classify-audio")
    list(train_model(TASKS["classify-audio"], config, train, valid, tmp_path / "one"))
    assert sorted(read) == sorted(clip.name for clip in [*train.inputs, *valid.inputs])
    read.clear()
    list(train_model(TASKS["classify-audio"], config, train, valid, tmp_path / "two"))
    assert not read
    weights = [(tmp_path / name / "model.safetensors").read_bytes() for name in ("one", "two")]
    assert weights[0] == weights[1]
    # a truncated pack and other features are computed anew
    for pack in (tmp_path / FEATURES).glob("*.f32"):
        pack.write_bytes(pack.read_bytes()[:-4])
    list(train_model(TASKS["classify-audio"], config, train, valid, tmp_path / "three"))
    assert len(read) == len(train) + len(valid)
    assert (tmp_path / "three" / "model.safetensors").read_bytes() == weights[0]
    read.clear()
    other = configured("classify-audio", features={"bands": 21})
    list(train_model(TASKS["classify-audio"], other, train, valid, tmp_path / "four"))
    assert len(read) == len(train) + len(valid)


def test_a_folder_that_cannot_be_written_costs_time_only(tmp_path: Path) -> None:
    (tmp_path / FEATURES).write_text("a file where the folder would be")
    train, valid = data_of("classify-audio")
    list(
        train_model(
            TASKS["classify-audio"], configured("classify-audio"), train, valid, tmp_path / "run"
        )
    )


def test_what_a_killed_process_left_is_removed_and_a_live_one_keeps_its_draft(
    tmp_path: Path,
) -> None:
    features = np.ones((2, 3), np.float32)
    (tmp_path / "dead.1.tmp").write_bytes(b"half")
    FeatureCache(tmp_path).get(["a"], lambda keys: [features])
    assert not list(tmp_path.glob("*.tmp"))
    (tmp_path / "live.2.tmp").write_bytes(b"half")
    with RunLock(tmp_path):
        FeatureCache(tmp_path).get(["b"], lambda keys: [features])
    assert [each.name for each in tmp_path.glob("*.tmp")] == ["live.2.tmp"]
    (tmp_path / LOCK).write_text('{"pid": 1, "host": "of a killed process"}\n')
    for key in "ab":
        [again] = FeatureCache(tmp_path).get([key], lambda keys: [])
        np.testing.assert_array_equal(again, features)
    assert not [each.name for each in tmp_path.iterdir() if each.suffix not in (".f32", ".json")]


def frames_input(**changes: Any) -> FramesInput:
    return FramesInput(
        FeaturesConfig(bands=20, **changes.pop("features", {})),
        AugmentConfig(**changes.pop("augment", {})),
        FrameInputsConfig(**changes),
    )


def test_variants_depend_on_the_generator_alone() -> None:
    inputs = frames_input(
        augment={
            "tempo": (0.5, 2),
            "speed": (0.8, 1.2),
            "noise": 1,
            "warp": 0.2,
            "tilt": 6,
            "equalizer": 6,
            "level": 6,
        }
    )
    [encoded] = inputs.encode([Clip.of(chirp(200, 3000), RATE, Framing(rate=RATE))])
    change = inputs.augmentation()
    first, again, other = (change(encoded, np.random.default_rng(seed)) for seed in (0, 0, 1))
    np.testing.assert_array_equal(first.values, again.values)
    assert first.masks == again.masks
    assert first.values.shape != other.values.shape or (first.values != other.values).any()
    assert first.values.dtype == np.float32


@pytest.mark.parametrize(
    ("option", "value"),
    [
        ("crop", 0.3),
        ("tempo", (0.5, 0.5)), ("speed", (0.5, 0.5)), ("warp", 0.2), ("tilt", 6.0), ("equalizer", 6.0),
        ("level", 6.0), ("noise", 1.0), ("time_masks", 3), ("band_masks", 3),
    ],
)  # fmt: skip
def test_each_perturbation_changes_what_the_model_reads(option: str, value: Any) -> None:
    nothing = {
        "tempo": (1.0, 1.0),
        "time_masks": 0,
        "band_masks": 0,
        "time_share": 0.5,
        "band_width": 9,
    }
    clip = Clip.of(chirp(200, 3000), RATE, Framing(rate=RATE))

    def read(**augment: Any) -> FramesBatch:
        inputs = frames_input(features={"normalize": "none"}, augment={**nothing, **augment})
        [encoded] = inputs.encode([clip])
        return inputs.collate([inputs.augmentation()(encoded, np.random.default_rng(3))])

    plain, changed = read(), read(**{option: value})
    assert plain.values.shape != changed.values.shape or not plain.values.equal(changed.values)
    assert changed.values.isfinite().all()
    if option in ("tempo", "speed"):
        assert changed.lengths.item() == 2 * plain.lengths.item()


@pytest.mark.parametrize("factor", [0.8, 1.25])
def test_speed_is_that_of_the_recording_played_faster(factor: float) -> None:
    options = MelOptions(bands=40)
    times = np.arange(RATE) / RATE

    def vowel(speed: float) -> Tensor:
        """A vowel of two formants that rise, and a pitch of 120 Hz, played at a speed."""
        at = times[: int(RATE / speed)] * speed
        harmonics = np.arange(1, int(RATE / 2 / 120 / 1.3))[:, None] * 120.0
        formants = np.array([500.0, 1200.0])[:, None, None] + 300 * at
        gain = (1 / (1 + ((harmonics - formants) / 120) ** 2)).sum(0)
        waves = (gain * np.sin(2 * np.pi * harmonics * at)).sum(0)
        return torch.from_numpy(waves / 30).float()

    framing = Framing(rate=RATE)
    played = fbank(vowel(factor), framing, options).numpy()
    centres = mel_centres(options, RATE).numpy()
    plain = fbank(vowel(1.0), framing, options).numpy()
    changed = stretch(move_bands(plain, factor, centres), factor)
    frames = min(len(played), len(changed))
    # Above the highest band nothing is known, and below it the valleys between harmonics fill up.
    bands = centres < 0.6 * RATE / 2
    wanted = normalized(played[:frames, bands])
    difference = normalized(changed[:frames, bands]) - wanted
    stretched = normalized(stretch(plain, factor)[:frames, bands]) - wanted
    assert np.abs(difference).mean() < 0.6 * np.abs(stretched).mean()
    profile = changed[:, bands].mean(0) - changed[:, bands].mean()
    expected = played[:, bands].mean(0) - played[:, bands].mean()
    assert np.corrcoef(profile, expected)[0, 1] > 0.97


def test_floor_makes_silence_alike() -> None:
    """Two recordings of one tone over silence of other levels differ after normalization without a floor."""
    rng = np.random.default_rng(0)

    def recording(background: float) -> Clip:
        samples = np.concatenate([np.zeros(2400), tone(500), np.zeros(2400)])
        samples = samples + rng.normal(0, background, len(samples))
        return Clip.of(samples.astype(np.float32), RATE, Framing(rate=RATE))

    clips = [recording(1e-5), recording(1e-4)]

    def difference(floor: float) -> float:
        inputs = frames_input(features={"floor": floor})
        values = inputs.collate(inputs.encode(clips)).values
        return (values[0] - values[1]).abs().mean().item()

    assert difference(30) < 0.1 * difference(0)


def normalized(values: Any, *, variance: bool = True) -> Any:
    return normalize(torch.from_numpy(values), variance=variance).numpy()


def test_normalizations() -> None:
    rng = np.random.default_rng(0)
    values = (rng.normal(0, 2, (50, 3)) + rng.normal(0, 5, 3)).astype(np.float32)
    done = normalized(values)
    np.testing.assert_allclose(done.mean(0), 0, atol=1e-6)
    np.testing.assert_allclose(done.std(0), 1, atol=1e-5)
    np.testing.assert_allclose(normalized(values, variance=False).std(0), values.std(0), rtol=1e-5)
    assert np.isfinite(normalized(np.ones((4, 2), np.float32))).all()
    for window in (3, 8, 50, 80):
        size = min(window, 50)
        for variance in (True, False):
            sliding = normalize_sliding(torch.from_numpy(values), window, variance=variance).numpy()
            for frame in (0, 7, 25, 49):
                first = min(max(frame - size // 2, 0), 50 - size)
                around = values[first : first + size].astype(np.float64)
                expected = values[frame] - around.mean(0)
                if variance:
                    expected /= around.std(0)
                np.testing.assert_allclose(sliding[frame], expected, rtol=1e-3, atol=1e-4)
    np.testing.assert_allclose(normalize_sliding(torch.from_numpy(values), 50), done, atol=1e-4)


def test_global_normalization_is_that_of_the_training_data(tmp_path: Path) -> None:
    train, valid = data_of("classify-audio")
    config = configured("classify-audio", features={"normalize": "global", "variance": True})
    list(train_model(TASKS["classify-audio"], config, train, valid, tmp_path / "run"))
    model = heedful.load(tmp_path / "run")
    inputs = model.predictor.input
    batch = inputs.collate(inputs.encode(train.inputs))
    real = torch.arange(batch.values.shape[1]) < batch.lengths[:, None]
    values = batch.values[real].double()
    torch.testing.assert_close(values.mean(0), torch.zeros(20).double(), atol=1e-4, rtol=0)
    torch.testing.assert_close(values.std(0), torch.ones(20).double(), atol=1e-3, rtol=0)


def test_silence_is_trimmed() -> None:
    silence = np.random.default_rng(0).normal(0, 1e-4, 2400).astype(np.float32)
    samples = np.concatenate([silence, tone(500), silence, silence])
    clip = Clip.of(samples, RATE, Framing(rate=RATE))
    [whole], [trimmed] = (frames_input(features={"trim": trim}).encode([clip]) for trim in (0, 30))
    assert len(whole.values) == clip.frames
    assert 28 <= len(trimmed.values) <= 34
    assert 26 <= trimmed.first <= 30
    np.testing.assert_array_equal(
        trimmed.values, whole.values[trimmed.first : trimmed.first + len(trimmed.values)]
    )
    assert (
        frames_input(features={"trim": 30}).positions(clip)[0]
        == f"{clip.framing.centre(trimmed.first):.2f}"
    )


@pytest.mark.parametrize(
    ("kernels", "strides"), [((), ()), ((1,), (1,)), ((5, 3), (2, 1)), ((3, 3, 7), (2, 3, 1))]
)
def test_positions_do_not_depend_on_padding(
    kernels: tuple[int, ...], strides: tuple[int, ...]
) -> None:
    torch.manual_seed(0)
    module = FrameFeatures(FrameInputsConfig(width=6, kernels=kernels, strides=strides), 4).eval()
    alone = {length: torch.randn(1, length, 4) for length in (1, 2, 5, 9, 13)}
    lengths = torch.tensor(list(alone))
    values = torch.full((len(alone), 20, 4), torch.nan)
    for row, (length, each) in enumerate(alone.items()):
        values[row, :length] = each[0]
    if not kernels:
        values = values.nan_to_num(7.0)
    together = module(FramesBatch(values, lengths))
    positions = module.lengths(lengths)
    for row, (length, each) in enumerate(alone.items()):
        found = module(FramesBatch(each, torch.tensor([length])))
        count = int(positions[row])
        assert found.shape[1] == count
        torch.testing.assert_close(found[0], together[row, :count])


def test_settings_that_make_no_sense() -> None:
    for section, values, message in (
        ("inputs", {"kernels": [5]}, "differ in number"),
        ("inputs", {"kernels": [4, 3]}, "expected odd numbers"),
        ("inputs", {"strides": [0, 1]}, "expected 1 or more"),
        ("augment", {"tempo": [2, 1]}, "expected a range within 0.3 and 3"),
        ("augment", {"noise_ratio": [2, 1]}, "expected a range"),
    ):
        with pytest.raises(ValueError, match=message):
            configured("classify-audio", **{section: values})
    with pytest.raises(ValueError, match="each frame has an answer"):
        configured("tag-audio", inputs={"strides": [2, 1]})
    with pytest.raises(ValueError, match=r"augment.crop is 0.2, but each frame has a label"):
        configured("tag-audio", augment={"crop": 0.2})
    with pytest.raises(ValueError, match="each frame has a label"):
        configured("tag-audio", augment={"tempo": [0.9, 1.1]})


def test_recordings_of_another_rate_are_resampled_with_a_notice(tmp_path: Path) -> None:
    rows = [
        {"audio": tone(300 + 400 * n, rate=r), "rate": r, "label": "ab"[n % 2]}
        for r in (8000, 16_000)
        for n in range(4)
    ]
    config = configured("classify-audio")
    data = TASKS["classify-audio"].reader.from_rows(rows, config.data, "train")
    first = next(iter(train_model(TASKS["classify-audio"], config, data, data, tmp_path / "run")))
    assert isinstance(first, Started)
    assert "4 recordings of 16,000 Hz: resampled to 8,000 Hz (--rate)" in first.notices


def sounds(folder: Path) -> Path:
    """Write ten low and ten high tones into folders of their names."""
    for n in range(10):
        write(folder / "low" / f"{n}.wav", tone(300 + 10 * n))
        write(folder / "high" / f"{n}.wav", tone(2000 + 50 * n))
    return folder


def test_from_a_folder_to_predictions_on_the_command_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    sounds(tmp_path / "sounds")
    (tmp_path / "sounds" / "low" / "bad.wav").write_bytes(b"RIFF")
    command = (
        "train", "classify-audio", "--train", "sounds", "--rate", "8000", "--out", "run", "--epochs", "4",
        *SMALL_SETS,
    )  # fmt: skip
    ran = run_command(*command)
    assert ran.status == 1
    assert "bad.wav: cannot be read as audio" in ran.stderr
    assert not (tmp_path / "run").exists()
    ran = run_command(*command, "--skip-bad")
    assert ran.status == 0, ran.stderr
    assert "1 row left out, listed in run/skipped.txt" in ran.stdout
    assert "bad.wav" in (tmp_path / "run" / "skipped.txt").read_text()
    ran = run_command("predict", "run", "sounds")
    assert ran.status == 1
    assert "bad.wav: cannot be read as audio" in ran.stderr
    ran = run_command("predict", "run", "sounds", "--skip-bad")
    assert ran.status == 0, ran.stderr
    assert len(ran.stdout.splitlines()) == 21
    assert "1 left out; the first: " in ran.stderr
    (tmp_path / "sounds" / "low" / "bad.wav").unlink()
    for given, count in (("sounds", 20), ("sounds/low/3.wav", 1)):
        ran = run_command("predict", "run", given)
        assert ran.status == 0, ran.stderr
        head, *lines = ran.stdout.splitlines()
        assert head == "audio\tpredicted\tpredicted_probability"
        assert len(lines) == count
    ran = run_command("predict", "run", "sounds", "--json")
    first = json.loads(ran.stdout.splitlines()[0])
    assert first["audio"] == "sounds/high/0.wav"
    assert run_command("evaluate", "run", "--test", "sounds").status == 0
    ran = run_command("explain", "run", "sounds/low/3.wav")
    assert ran.status == 0, ran.stderr
    assert "name a FILE" in run_command("predict", "run", "-", input="").stderr


def test_segments_on_the_command_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    rows = []
    for n in range(10):
        quiet = np.random.default_rng(n).normal(0, 0.002, 1600).astype(np.float32)
        write(Path(f"{n}.wav"), np.concatenate([quiet, tone(600 + 10 * n), quiet]))
        rows.append([f"{n}.wav", 0.2, 0.5, "call"])
    write_table(Path("calls.csv"), ["file", "start", "end", "label"], rows)
    ran = run_command(
        "train", "tag-audio", "--train", "calls.csv", "--rate", "8000", "--out", "run", "--epochs", "12",
        "--encoder", "window", *SMALL_SETS,
    )  # fmt: skip
    assert ran.status == 0, ran.stderr
    ran = run_command("predict", "run", "0.wav")
    head, *lines = ran.stdout.splitlines()
    assert head == "audio\tstart\tend\tpredicted"
    assert lines
    name, start, end, label = max(
        (line.split("\t") for line in lines), key=lambda s: float(s[2]) - float(s[1])
    )
    assert (name, label) == ("0.wav", "call")
    assert abs(float(start) - 0.2) < 0.1
    assert abs(float(end) - 0.5) < 0.1


def test_inputs_in_python(tmp_path: Path) -> None:
    rows = [{"audio": tone(300 + 400 * n), "label": "ab"[n % 2]} for n in range(24)]
    model = heedful.train("classify-audio", train=rows, out=tmp_path / "run", **SMALL)
    path = write(tmp_path / "a.wav")
    given: list[Any] = [
        str(path),
        path,
        tone(500),
        tone(500).tolist(),
        {"audio": tone(500), "rate": RATE},
    ]
    found = model.predict(given)
    assert len(found) == 5
    scores = [each.scores for each in found]
    np.testing.assert_allclose(scores, [scores[2]] * 5, atol=0.05)
    for wrong, message in (
        (["a"], "expected samples"),
        ("loud.wav", "loud.wav: no such file"),
        ({"sound": 1}, "no column of the recordings"),
        (3, "expected samples"),
    ):
        with pytest.raises(DataError, match=message):
            model.predict([wrong])
    with pytest.raises(OptionError, match="expected a list"):
        model.predict("a.wav")


def test_evaluating_recordings_of_another_rate_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    rows = [{"audio": tone(300 + 400 * n), "label": "ab"[n % 2]} for n in range(24)]
    heedful.train("classify-audio", train=rows, out=tmp_path / "run", **SMALL)
    write(tmp_path / "sounds" / "a" / "x.wav", tone(500, rate=16_000), 16_000)
    ran = run_command("evaluate", "run", "--test", "sounds")
    assert ran.status == 0, ran.stderr
    assert "1 recording of 16,000 Hz: resampled to 8,000 Hz" in ran.stdout
