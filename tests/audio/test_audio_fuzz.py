"""Damaged audio files: whatever their bytes are, the outcome is a recording or one message that names the file."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from heedful.data.audio.columns import AudioColumns
from heedful.data.audio.fbank import Framing
from heedful.data.audio.tables import read_audio
from heedful.errors import DataError
from tests.audio.sounds import tone, write

SUFFIXES = (".wav", ".flac", ".ogg", ".mp3", ".aiff", ".au", ".w64", ".caf")


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    folder = tmp_path_factory.mktemp("whole")
    return {
        suffix: write(folder / f"a{suffix}", tone(700, 0.2)).read_bytes() for suffix in SUFFIXES
    }


def read_or_say(path: Path, content: bytes) -> bool:
    """Return whether a file of these bytes is a recording; check the message if it is not."""
    path.write_bytes(content)
    said = ""
    try:
        [row] = read_audio([str(path)], AudioColumns(kind="none"), Framing(rate=8000)).rows
        samples = row.clip.read()
    except DataError as error:
        said = str(error)
    if said:
        assert path.name in said
        assert "\n" not in said
        return False
    assert np.isfinite(samples).all()
    assert row.clip.frames == row.clip.framing.frames(len(samples)) >= 1
    return True


DAMAGES = st.lists(
    st.tuples(st.floats(0, 1), st.binary(min_size=0, max_size=12), st.integers(0, 12)),
    min_size=1,
    max_size=4,
)
FUZZ = settings(
    max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)


def damage(content: bytes, where: float, put: bytes, removed: int, near_head: bool) -> bytes:
    limit = 64 if near_head else len(content)
    at = int(where * min(limit, len(content)))
    return content[:at] + put + content[at + removed :]


@pytest.mark.parametrize("suffix", SUFFIXES)
@FUZZ
@given(damages=DAMAGES, near_head=st.booleans(), kept=st.floats(0.02, 1))
def test_damaged_files_are_read_or_named(
    suffix: str,
    damages: list[tuple[float, bytes, int]],
    near_head: bool,
    kept: float,
    whole: dict[str, bytes],
    tmp_path: Path,
) -> None:
    content = whole[suffix]
    for where, put, removed in damages:
        content = damage(content, where, put, removed, near_head)
    read_or_say(tmp_path / f"fuzzed{suffix}", content[: int(kept * len(content))])


@FUZZ
@given(content=st.binary(max_size=300), suffix=st.sampled_from(SUFFIXES))
def test_random_bytes_are_named(content: bytes, suffix: str, tmp_path: Path) -> None:
    assert not read_or_say(tmp_path / f"random{suffix}", content)


@pytest.mark.long
@pytest.mark.parametrize("suffix", SUFFIXES)
def test_many_damaged_files(suffix: str, whole: dict[str, bytes], tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    outcomes = [0, 0]
    for _ in range(2000):
        content = bytearray(whole[suffix])
        for _ in range(int(rng.integers(1, 6))):
            limit = 80 if rng.random() < 0.5 else len(content)
            content[int(rng.integers(limit))] = int(rng.integers(256))
        outcomes[read_or_say(tmp_path / f"fuzzed{suffix}", bytes(content))] += 1
    assert all(outcomes), outcomes


def test_whole_files_are_read(whole: dict[str, bytes], tmp_path: Path) -> None:
    for suffix, content in whole.items():
        assert read_or_say(tmp_path / f"whole{suffix}", content), suffix
