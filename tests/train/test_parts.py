from __future__ import annotations

import math
from itertools import pairwise

import numpy as np
import pytest
import torch

from heedful import run_folder
from heedful.data.batching import pad_ids
from heedful.data.files import Pairs
from heedful.errors import DataError, OptionError, RunError
from heedful.tasks.batches import Batches, Encoded
from heedful.tasks.sections import TrainingConfig
from heedful.training.checkpoint import average_weights
from heedful.training.checks import check_data, check_device, texts_digest
from heedful.training.fabric import build_fabric
from heedful.training.memory import keep_freed_memory, set_threads
from heedful.training.schedule import SCHEDULES, learning_rate_factor


@pytest.mark.parametrize("name", SCHEDULES)
def test_schedules_rise_to_one_and_never_again(name):
    factors = [learning_rate_factor(name, step, warmup=5, total=50) for step in range(1, 51)]
    assert factors[:5] == pytest.approx([0.2, 0.4, 0.6, 0.8, 1.0])
    assert all(a >= b for a, b in pairwise(factors[4:]))
    assert min(factors) >= 0


def test_schedules_at_known_steps():
    assert learning_rate_factor("inverse_square_root", 400, warmup=100, total=500) == pytest.approx(
        0.5
    )
    assert learning_rate_factor("cosine", 300, warmup=100, total=500) == pytest.approx(0.5)
    assert learning_rate_factor("linear", 500, warmup=100, total=500) == 0
    assert learning_rate_factor("constant", 500, warmup=0, total=500) == 1
    assert learning_rate_factor("inverse_square_root", 4, warmup=0, total=500) == 0.5
    assert not math.isnan(learning_rate_factor("cosine", 1, warmup=0, total=0))


def test_an_unknown_schedule_names_the_nearest():
    with pytest.raises(OptionError, match="did you mean 'cosine'"):
        learning_rate_factor("cosin", 1, warmup=0, total=1)


def test_settings_of_the_process():
    assert keep_freed_memory() in (True, False)
    before = torch.get_num_threads()
    set_threads(0)
    assert torch.get_num_threads() == before
    set_threads(before + 1)
    assert torch.get_num_threads() == before + 1
    set_threads(before)


def test_average_of_weights(tmp_path):
    for number in (1.0, 2.0, 6.0):
        tensors = {"w": torch.full((2,), number), "count": torch.tensor(3)}
        run_folder.write_tensors(tmp_path / f"{number}.safetensors", tensors)
    found = average_weights(sorted(tmp_path.iterdir()))
    assert found["w"].tolist() == [3.0, 3.0]
    assert found["w"].dtype == torch.float32
    assert found["count"].item() == 3


def test_checks_before_training():
    with pytest.raises(DataError, match="no training examples"):
        check_data(Pairs([], []), Pairs(["a"], ["b"]))
    with pytest.raises(DataError, match="no validation examples"):
        check_data(Pairs(["a"], ["b"]), Pairs([], []))
    with pytest.raises(OptionError, match="'16-mixed' needs a GPU"):
        check_device(TrainingConfig(precision="16-mixed"))
    if not (torch.cuda.is_available() or torch.backends.mps.is_available()):
        with pytest.raises(OptionError, match="'16-mixed' needs a GPU"):
            check_device(TrainingConfig(precision="16-mixed", accelerator="auto"))
    if not torch.cuda.is_available():
        with pytest.raises(OptionError, match="PyTorch finds no such device"):
            check_device(TrainingConfig(accelerator="cuda"))


def test_what_apples_gpu_lacks_is_refused(monkeypatch):
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    check_device(TrainingConfig(accelerator="mps", precision="16-mixed"))
    for accelerator in ("mps", "auto"):
        with pytest.raises(OptionError, match="'64-true' is not supported on 'mps'"):
            check_device(TrainingConfig(accelerator=accelerator, precision="64-true"))


def test_texts_that_hold_line_ends_are_told_apart():
    texts = (["a\nb"], ["a", "b"], ["a", "b", ""], ["ab"], ["a 1 b"])
    assert len({texts_digest([each, each], [["x"], ["y"]]) for each in texts}) == len(texts)


def test_fabric_says_nothing(capfd, caplog):
    build_fabric(TrainingConfig(precision="bf16-mixed"))
    assert capfd.readouterr() == ("", "")
    assert not caplog.records


def test_batches_are_made_one_at_a_time():
    ids = [[5] * length for length in (1, 2, 2, 3, 4, 4, 9)]

    def padded(inputs, targets):
        return pad_ids(inputs, pad=0)[0]

    lengths = np.array([(len(source), 2) for source in ids])
    encoded = Encoded(ids, [[2, 6, 3]] * len(ids))
    batches = Batches(encoded, np.arange(len(ids)), lengths, padded, tokens=8, seed=0)
    for epoch in (0, 1, 5):
        whole = [batch.tolist() for batch in batches.epoch(epoch)]
        assert len(whole) == len(batches)
        assert [batch.tolist() for batch in batches.epoch(epoch, first=2)] == whole[2:]
    ids[:] = [[7]] * len(ids)  # nothing was made ahead of time
    assert all((batch == 7).all() for batch in batches.epoch(0))


def test_a_taken_folder_is_refused(tmp_path):
    run_folder.check_free(tmp_path / "new" / "run")
    run_folder.check_free(tmp_path)
    (tmp_path / "file").write_text("x")
    with pytest.raises(RunError, match="exists and is not empty"):
        run_folder.check_free(tmp_path)
    with pytest.raises(RunError, match="is a file; choose another folder"):
        run_folder.check_free(tmp_path / "file")
    with pytest.raises(RunError, match="is not a writable folder"):
        run_folder.check_free(tmp_path / "file" / "run")
    run = run_folder.create(tmp_path / "run", "translate")
    with pytest.raises(RunError, match="already holds a run"):
        run_folder.check_free(run)
