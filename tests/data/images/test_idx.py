"""IDX files of images and labels."""

from __future__ import annotations

import gzip
import struct
from pathlib import Path

import numpy as np
import pytest

from heedful.data.images.idx import read_array, read_idx
from heedful.errors import DataError


def idx(values: np.ndarray) -> bytes:
    header = bytes([0, 0, 8, values.ndim]) + struct.pack(f">{values.ndim}I", *values.shape)
    return header + values.astype(np.uint8).tobytes()


IMAGES = np.arange(24).reshape(2, 3, 4)


@pytest.mark.parametrize("suffix", ["", ".gz"])
@pytest.mark.parametrize("labels_suffix", ["", ".gz"])
def test_images_and_their_labels(suffix: str, labels_suffix: str, tmp_path: Path) -> None:
    def write(name: str, values: np.ndarray) -> None:
        data = idx(values)
        (tmp_path / name).write_bytes(
            gzip.compress(data, mtime=0) if name.endswith(".gz") else data
        )

    write(f"train-images-idx3-ubyte{suffix}", IMAGES)
    write(f"train-labels-idx1-ubyte{labels_suffix}", np.array([7, 3]))
    images = read_idx(tmp_path / f"train-images-idx3-ubyte{suffix}", answers=True)
    assert [each.answer for each in images] == [("7",), ("3",)]
    assert (images[1].picture.kept[0, ..., 0] == IMAGES[1]).all()
    assert images[0].picture.size == (3, 4)
    assert images[1].picture.argument == str(tmp_path / f"train-images-idx3-ubyte{suffix}:2")
    write(f"train-labels-idx1-ubyte{labels_suffix}", np.array([7]))
    with pytest.raises(
        DataError, match=r"labels-idx1.*: holds 1 labels; train-images.* holds 2 images"
    ):
        read_idx(tmp_path / f"train-images-idx3-ubyte{suffix}", answers=True)


def test_labels_that_are_missing(tmp_path: Path) -> None:
    path = tmp_path / "t10k-images-idx3-ubyte"
    path.write_bytes(idx(IMAGES))
    assert [each.answer for each in read_idx(path, answers=False)] == [(), ()]
    with pytest.raises(DataError, match=r"t10k-labels-idx1-ubyte: no such file"):
        read_idx(path, answers=True)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "starts with nothing"),
        (idx(np.zeros(3)), "with 3 axes: it starts with 00 00 08 01"),
        (idx(IMAGES)[:-1], r"announces 2 × 3 × 4 bytes and holds 23"),
        (idx(IMAGES) + b"1", "holds 25"),
        (idx(np.zeros((0, 3, 4))), "announces 0 × 3 × 4"),
        (bytes([0, 0, 8, 3]) + b"\xff" * 12, "announces 4294967295 × 4294967295"),
        (gzip.compress(idx(IMAGES), mtime=0)[:20], "gzip data is damaged or truncated"),
    ],
)
def test_damaged_files_are_named(data: bytes, message: str, tmp_path: Path) -> None:
    path = tmp_path / "a-images-idx3-ubyte"
    path.write_bytes(data)
    with pytest.raises(DataError, match=rf"a-images-idx3-ubyte: .*{message}"):
        read_array(path, axes=3)
