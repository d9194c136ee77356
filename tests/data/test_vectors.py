"""Pre-trained vectors: every flavour of the text format, and what is wrong with a file by its line."""

from __future__ import annotations

import gzip
from pathlib import Path

import numpy as np
import pytest

from heedful.data.vectors import VectorSizes, read_vectors
from heedful.errors import DataError, RunError

LINES = "the 1 2\nThe 3 4\ncat 5 6\n. . 7 8\ndog 9 1e1\n"


@pytest.mark.parametrize("header", ["", "5 2\n"])
@pytest.mark.parametrize("packed", [False, True])
def test_formats(tmp_path: Path, header: str, packed: bool) -> None:
    path = tmp_path / "v.txt"
    content = (header + LINES).encode()
    path.write_bytes(gzip.compress(content) if packed else content)
    found = read_vectors(path, {"dog", "the", ". .", "zebra"})
    assert found.words == ("the", ". .", "dog")
    np.testing.assert_array_equal(found.values, np.array([[1, 2], [7, 8], [9, 10]], np.float32))
    lower = read_vectors(path, {"the"}, others=1, lowercase=True)
    assert lower.words == ("the", "cat")
    np.testing.assert_array_equal(lower.values, np.array([[1, 2], [5, 6]], np.float32))


BAD = [
    ("", "the file is empty"),
    ("2 2\n", "holds no vector"),
    ("word\n", "line 1: the line has 0 numbers after the word"),
    ("3 2\nthe 1 2\ncat 1 2\n", "declares 3 words but the file has 2"),
    ("the 1 2\ncat 1\n", "line 2: the line has 1 numbers after the word; expected 2"),
    ("the 1 two\n", "line 1: not all values after the word are numbers"),
    ("cat 1 2\nthe nan 2\n", "line 2: the vector holds NaN or infinity"),
    ("dog 1 2\n", "no word of the training data has a vector"),
]


@pytest.mark.parametrize(("content", "message"), BAD, ids=[each[1] for each in BAD])
def test_what_cannot_be_read(tmp_path: Path, content: str, message: str) -> None:
    path = tmp_path / "v.txt"
    path.write_text(content, encoding="utf-8")
    with pytest.raises(DataError, match=message):
        read_vectors(path, {"the", "cat"})


def test_sizes_are_kept_in_a_run_folder(tmp_path: Path) -> None:
    assert VectorSizes.load(tmp_path) is None
    sizes = VectorSizes(width=3, learned=4, found=2, missing=1)
    sizes.save(tmp_path)
    assert VectorSizes.load(tmp_path) == sizes
    for damaged in ("{", '{"width": 3}', '{"width": "3", "learned": 1, "found": 1, "missing": 1}'):
        (tmp_path / "vectors.json").write_text(damaged, encoding="utf-8")
        with pytest.raises(RunError, match="damaged"):
            VectorSizes.load(tmp_path)
