"""Machine code made under Numba's settings is kept apart from code made without them."""

from __future__ import annotations

from pathlib import Path

import pytest

from heedful.ops.jit import cache
from tests.ops.jit.processes import run

RUN = "run(); print('numba' in sys.modules)"
KEY = cache._environment_digest.__wrapped__


@pytest.fixture
def without_settings(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in cache.NUMBA_SETTINGS:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.chdir(tmp_path)


@pytest.mark.usefixtures("without_settings")
@pytest.mark.parametrize("name", cache.NUMBA_SETTINGS)
def test_every_setting_is_part_of_the_key(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    keys = [KEY()]
    for value in ("", "1", "2"):
        monkeypatch.setenv(name, value)
        keys.append(KEY())
    assert None not in keys
    assert len(set(keys)) == 4


@pytest.mark.usefixtures("without_settings")
def test_the_file_of_settings_is_part_of_the_key(tmp_path: Path) -> None:
    keys = [KEY()]
    for text in ("cpu_name: generic\n", "opt: 1\n"):
        (tmp_path / cache.NUMBA_FILE).write_text(text)
        keys.append(KEY())
    assert len(set(keys)) == 3


@pytest.mark.usefixtures("without_settings")
def test_code_for_a_limited_processor_and_for_the_whole_one_never_meet(tmp_path: Path) -> None:
    caches = str(tmp_path / "cache")
    limited = {"NUMBA_CPU_NAME": "generic", "NUMBA_CPU_FEATURES": ""}
    assert run(RUN, tmp_path, caches) == "True"
    assert run(RUN, tmp_path, caches, **limited) == "True"
    first, second = (path.read_bytes() for path in (tmp_path / "cache").rglob("*.o"))
    assert first != second
    assert run(RUN, tmp_path, caches) == "False"
    assert run(RUN, tmp_path, caches, **limited) == "False"
