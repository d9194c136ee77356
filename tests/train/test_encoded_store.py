"""Encoded training data on disk: the same weights as in memory, reused by a resumed run, and never if in doubt."""

from __future__ import annotations

import errno
import json
import os
from pathlib import Path
from typing import Any

import pytest

from heedful.data import spool
from heedful.data.packed_ids import PackedIds
from heedful.errors import RunError
from heedful.tasks.base import Task
from heedful.tasks.translate import TASK as TRANSLATE
from heedful.training import encoded_store
from heedful.training.encoded_store import ENCODED, EncodedStore
from heedful.training.events import Finished, Progress, Started
from heedful.training.loop import train_model
from heedful.training.stage import Stage, read_origin
from tests.train.test_loop import configuration, pairs

CONFIG = configuration(checkpoint_steps=3, progress_steps=1)
TRAIN, VALID = pairs(40, 0), pairs(6, 1)


def events(run: Path, *, resume: bool = False) -> Any:
    return train_model(TRANSLATE, CONFIG, TRAIN, VALID, run, resume=resume)


def stop(run: Path, step: int) -> Path:
    """Train until a step, close the generator as a killed process would end it, and return the folder of the arrays."""
    training = events(run)
    for event in training:
        if isinstance(event, Progress) and event.step == step:
            break
    training.close()
    return run / "checkpoints" / ENCODED


@pytest.fixture(scope="module")
def reference(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """Return the weights of a run that was never stopped and whose data were in memory."""
    run = tmp_path_factory.mktemp("whole") / "run"
    for event in events(run):
        if isinstance(event, Started):
            assert not (run / "checkpoints" / ENCODED).exists()
    return (run / "model.safetensors").read_bytes()


@pytest.fixture
def on_disk(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(spool, "MEMORY_LIMIT", 0)


@pytest.fixture
def encoded(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Return a list that holds the size of each dataset that is encoded."""
    sizes: list[int] = []
    encode = Task.encode

    def counted(task: Task, predictor: Any, data: Any) -> Any:
        sizes.append(len(data))
        return encode(task, predictor, data)

    monkeypatch.setattr(Task, "encode", counted)
    return sizes


def resume(run: Path, reference: bytes) -> None:
    last = list(events(run, resume=True))[-1]
    assert isinstance(last, Finished)
    assert (run / "model.safetensors").read_bytes() == reference
    assert not (run / "checkpoints").exists()


@pytest.mark.usefixtures("on_disk")
def test_a_resumed_run_does_not_encode_again(
    tmp_path: Path, reference: bytes, encoded: list[int]
) -> None:
    folder = stop(tmp_path / "run", 4)
    assert sorted(path.name for path in folder.iterdir()) == [
        "contents.json", "inputs.ids", "inputs.offsets", "targets.ids", "targets.offsets"
    ]  # fmt: skip
    assert encoded == [40, 6]
    resume(tmp_path / "run", reference)
    assert encoded == [40, 6, 6]


def flip(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


def other_key(folder: Path) -> None:
    contents = json.loads((folder / "contents.json").read_text())
    (folder / "contents.json").write_text(json.dumps({**contents, "key": "0" * 64}))


DAMAGES = {
    "a bit": lambda folder: flip(folder / "targets.ids"),
    "a bit of the offsets": lambda folder: flip(folder / "inputs.offsets"),
    "a missing file": lambda folder: (folder / "inputs.ids").unlink(),
    "a short file": lambda folder: (folder / "inputs.ids").write_bytes(b"\0"),
    "other data": other_key,
    "no contents": lambda folder: (folder / "contents.json").unlink(),
    "contents cut off": lambda folder: (folder / "contents.json").write_text("{"),
    "contents of another kind": lambda folder: (folder / "contents.json").write_text("[]"),
    "an unfinished folder": lambda folder: folder.rename(folder.with_name("encoded.partial")),
}


@pytest.mark.usefixtures("on_disk")
@pytest.mark.parametrize("damage", DAMAGES)
def test_what_is_damaged_is_encoded_again(
    tmp_path: Path, reference: bytes, encoded: list[int], damage: str
) -> None:
    DAMAGES[damage](stop(tmp_path / "run", 4))
    resume(tmp_path / "run", reference)
    assert encoded == [40, 6, 40, 6]


@pytest.mark.usefixtures("on_disk")
def test_another_vocabulary_is_noticed(tmp_path: Path) -> None:
    folder = stop(tmp_path / "run", 2)
    store = EncodedStore(folder.parent, digest_of(tmp_path / "run"))
    assert store.load() is not None
    (tmp_path / "run" / "target_vocabulary.json").write_text("{}")
    assert store.load() is None


def digest_of(run: Path) -> str:
    digest = read_origin(run, Stage.TRAINING).data
    assert digest is not None
    return digest


@pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="names of open files are unknown")
@pytest.mark.usefixtures("on_disk")
def test_a_full_disk_names_the_file_and_the_run_can_be_resumed(
    tmp_path: Path, reference: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patched:
        patched.setattr(encoded_store.os, "fsync", full_disk)
        with pytest.raises(
            RunError,
            match=r"encoded\.partial/inputs\.ids cannot be written: No space left on device; free",
        ):
            list(events(tmp_path / "run"))
    resume(tmp_path / "run", reference)


def full_disk(descriptor: int) -> None:
    name = Path(os.readlink(f"/proc/self/fd/{descriptor}")).name
    if name == "inputs.ids":
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def test_ids_come_from_the_run_once_they_are_stored(tmp_path: Path, on_disk: None) -> None:
    run = tmp_path / "run"
    training = events(run)
    assert isinstance(next(training), Started)
    store = EncodedStore(run / "checkpoints", digest_of(run))
    loaded = store.load()
    assert loaded is not None
    predictor = TRANSLATE.reload(CONFIG, run)
    for part, again in zip(loaded, TRANSLATE.encode(predictor, TRAIN), strict=True):
        assert isinstance(part, PackedIds)
        assert [each.tolist() for each in part] == [each.tolist() for each in again]
    training.close()
