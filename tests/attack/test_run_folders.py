"""Run folders of strangers: sizes, special files and messages, each in words and without delay."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

from heedful.answers.calibration import Calibration
from heedful.api import load
from heedful.errors import HeedfulError, RunError
from heedful.models import MODELS
from heedful.models.encoders import ENCODER_CONFIGS
from heedful.nn.positions import POSITIONS
from heedful.run_folder import read_metrics
from heedful.tasks.table import TASKS
from tests.attack.run_folder_cases import OLD_RUNS, write_run
from tests.attack.samples import SAMPLES

SIZES = [
    ("translate-transformer", "width = ", 10**9), ("translate-transformer", "encoder_layers = ", 10**6),
    ("translate-transformer", "feed_forward = ", 10**12), ("translate-gru", "hidden = ", 10**9),
    ("translate-gru", "decoder_layers = ", 10**6), ("classify-lstm", "members = ", 10**6),
    ("classify-lstm", "layers = ", 10**6), ("tag-window-vectors", "size = ", 10**9),
    ("tag-lstm-chain", "word_width = ", 2**50), ("regress-window", "hidden = ", 10**8),
]  # fmt: skip
RANGES = [
    ("translate-gru", "beam = ", "1000000"), ("translate-gru", "max_length_ratio = ", "1e9"),
    ("translate-gru", "max_length_ratio = ", "inf"), ("translate-gru", "length_penalty = ", "nan"),
    ("translate-gru", "chunk = ", "1" + "0" * 30), ("classify-lstm", "batch_tokens = ", "1000000000000"),
    ("classify-lstm", "seed = ", "9223372036854775808"), ("classify-lstm", "learning_rate = ", "inf"),
]  # fmt: skip


REFUSED = (
    r"regular file|a link out of its folder|missing|cannot be read|no heedful.json|does not match"
)


def copy_of(name: str, folder: Path) -> Path:
    return Path(shutil.copytree(OLD_RUNS / name, folder / "run"))


def set_all(run: Path, start: str, value: object) -> None:
    """Set every key of the configuration that is written as `start`, also one that is not set."""
    path = run / "config.toml"
    lines = path.read_text(encoding="utf-8").split("\n")
    changed = [f"{start}{value}" if line.startswith(start) else line for line in lines]
    if changed == lines:
        changed = [line.replace("[ensemble]", f"[ensemble]\n{start}{value}") for line in lines]
    if changed == lines:
        changed = [*lines, "[ensemble]", f"{start}{value}"]
    path.write_text("\n".join(changed), encoding="utf-8")


@pytest.mark.parametrize(("name", "start", "value"), SIZES)
def test_a_model_larger_than_its_weights_is_not_built(
    name: str, start: str, value: int, tmp_path: Path
) -> None:
    run = copy_of(name, tmp_path)
    set_all(run, start, value)
    with pytest.raises(RunError, match="describes a larger model than .* holds"):
        load(run)


@pytest.mark.parametrize(("name", "start", "value"), RANGES)
def test_a_setting_out_of_range_is_refused(
    name: str, start: str, value: str, tmp_path: Path
) -> None:
    run = copy_of(name, tmp_path)
    set_all(run, start, value)
    with pytest.raises(RunError, match="configuration is invalid: .*config.toml, line"):
        load(run)


def _read_all(run: Path) -> None:
    load(run)
    read_metrics(run)


@pytest.mark.parametrize("name", sorted(each.name for each in OLD_RUNS.iterdir() if each.is_dir()))
@pytest.mark.parametrize("how", ["pipe", "folder", "device", "outside", "loop"])
def test_only_files_of_the_folder_are_opened(name: str, how: str, tmp_path: Path) -> None:
    for file in sorted(each.name for each in (OLD_RUNS / name).iterdir()):
        run = copy_of(name, tmp_path)
        path = run / file
        shutil.move(path, tmp_path / "outside")
        if how == "pipe":
            os.mkfifo(path)
        elif how == "folder":
            path.mkdir()
        else:
            path.symlink_to(
                {"device": "/dev/zero", "outside": tmp_path / "outside", "loop": file}[how]
            )
        with pytest.raises(HeedfulError, match=REFUSED) as found:
            _read_all(run)
        assert len(str(found.value)) < 500
        shutil.rmtree(run)


def test_a_link_within_the_folder_and_to_the_folder_is_followed(tmp_path: Path) -> None:
    run = copy_of("classify-lstm", tmp_path)
    shutil.move(run / "model.safetensors", run / "weights")
    (run / "model.safetensors").symlink_to("weights")
    (tmp_path / "link").symlink_to(run)
    assert load(tmp_path / "link").labels == load(OLD_RUNS / "classify-lstm").labels


def test_weights_that_are_no_numbers_are_refused(tmp_path: Path) -> None:
    run = copy_of("translate-gru", tmp_path)
    weights = run / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-4] + b"\xff\xff\xff\x7f")
    with pytest.raises(RunError, match="holds other values than finite numbers"):
        load(run)


SMALL_ENCODERS = {kind: (f"encoder.kind={kind}",) for kind in ENCODER_CONFIGS}
SMALL_MODELS = {kind: (f"model.kind={kind}",) for kind in MODELS}


@pytest.mark.parametrize(
    ("data", "settings"),
    [
        *[("texts csv", settings) for settings in SMALL_ENCODERS.values()],
        *[("pairs", (*settings, "vocabulary.min_frequency=1")) for settings in SMALL_MODELS.values()],
        *[("texts csv", ("encoder.kind=transformer", f"encoder.positions={name}")) for name in POSITIONS],
        ("texts csv", ("ensemble.members=5",)),
        ("pairs", ("model.tie_embeddings=true", "model.share_embeddings=true", "vocabulary.min_frequency=1")),
    ],
)  # fmt: skip
def test_the_limit_refuses_no_model_of_our_own(
    data: str, settings: tuple[str, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With the default sizes, at which the models are much larger than the allowance."""
    monkeypatch.setattr("heedful.tasks.size_check.ELEMENTS", 0)
    monkeypatch.setattr("heedful.tasks.size_check.TENSORS", 0)
    sample = SAMPLES[data]
    write_run(tmp_path / "run", sample, settings, small=False)
    predictor = TASKS[sample.task].load(tmp_path / "run")
    assert sum(each.numel() for each in predictor.model.parameters()) > 1000


@pytest.mark.parametrize(
    ("line", "message"),
    [('{"event": "x"', "line 1: damaged or truncated"), ("[1]", "line 1: expected a JSON object"),
     ("{}", "line 1: expected a JSON object with the key 'event'"), ("[" * 3000, "nested more than 64 levels deep")],
)  # fmt: skip
def test_a_cut_line_of_metrics_is_named(line: str, message: str, tmp_path: Path) -> None:
    (tmp_path / "metrics.jsonl").write_text(line, encoding="utf-8")
    with pytest.raises(RunError, match=message):
        read_metrics(tmp_path)


@pytest.mark.parametrize(
    "temperature", ["1" + "0" * 290, "1e308", "Infinity", "NaN", "0", "-1", '"1"', "[1]"]
)
def test_a_temperature_that_was_not_fitted_is_refused(temperature: str, tmp_path: Path) -> None:
    values = (
        '"format": "heedful calibration 1", "examples": 30, "error_before": 0.2, "error_after": 0.1'
    )
    text = f'{{{values}, "temperature": {temperature}}}'
    (tmp_path / "calibration.json").write_text(text, encoding="utf-8")
    with pytest.raises(RunError, match="calibration.json is damaged"):
        Calibration.load(tmp_path)
