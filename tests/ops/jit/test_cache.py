"""Machine code on disk: found again, never believed when damaged, never needed."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from heedful.ops.jit.cache import MalformedError, _parsed
from heedful.ops.jit.linking import Made, linked
from tests.ops.jit.processes import KERNEL, begin, finished, run

RUN = "run(); print('numba' in sys.modules)"


@pytest.fixture(scope="module")
def stored(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the file of a kernel that a process has compiled."""
    folder = tmp_path_factory.mktemp("stored")
    assert run(RUN, folder, str(folder / "cache" / "new")) == "True"
    (file,) = folder.rglob("*.o")
    return file


def cache_of(file: Path) -> str:
    return str(file.parents[2])


def test_the_second_process_loads_what_the_first_compiled_without_numba(stored: Path) -> None:
    before = stored.read_bytes()
    program = (
        "run(); print('numba' in sys.modules, runtime.compile_seconds()['a_kernel.double'] < 1)"
    )
    assert run(program, stored.parents[4], cache_of(stored)) == "False True"
    assert stored.read_bytes() == before
    assert not [path for path in stored.parent.iterdir() if path != stored]


def test_where_it_worked_before_asking_whether_it_can_imports_nothing(stored: Path) -> None:
    program = "print(runtime.unavailable(), 'numba' in sys.modules)"
    assert run(program, stored.parents[4], cache_of(stored)) == "None False"


@pytest.mark.parametrize(
    "damage",
    [
        lambda whole: b"",
        lambda whole: whole[: len(whole) // 2],
        lambda whole: whole[:-1] + bytes([whole[-1] ^ 1]),
        lambda whole: whole[:30] + bytes(40) + whole[70:],
        lambda whole: b"something else entirely" * 100,
        lambda whole: whole.replace(b"heedful kernel 2", b"heedful kernel 1"),
    ],
    ids=["empty", "half", "a bit", "the digest", "foreign", "other format"],
)
def test_a_damaged_file_is_no_file(stored: Path, damage) -> None:
    whole = stored.read_bytes()
    assert _parsed(whole, stored.name).machine_code
    with pytest.raises(MalformedError, match="not the file of a kernel, or changed"):
        _parsed(damage(whole), stored.name)


def test_a_damaged_file_is_compiled_again_and_replaced(stored: Path) -> None:
    whole = stored.read_bytes()
    stored.write_bytes(whole[: len(whole) // 2])
    assert run(RUN, stored.parents[4], cache_of(stored)) == "True"
    assert run(RUN, stored.parents[4], cache_of(stored)) == "False"


def test_a_changed_source_is_another_kernel(tmp_path: Path) -> None:
    cache = str(tmp_path / "cache")
    run(RUN, tmp_path, cache)
    (tmp_path / "a_kernel.py").write_text(KERNEL.replace("* 2", "+ source[i]"))
    assert run(RUN, tmp_path, cache) == "True"
    assert len(list(tmp_path.rglob("*.o"))) == 2


def test_without_any_folder_it_is_compiled_each_time(tmp_path: Path) -> None:
    file = tmp_path / "a file"
    file.touch()
    assert run(RUN, tmp_path, f"{file}|{file / 'below'}") == "True"
    assert not list(tmp_path.rglob("*.o"))


def test_the_next_folder_is_taken_where_the_first_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    caches = f"{tmp_path / 'file'}|{tmp_path / 'second'}"
    assert run(RUN, tmp_path, caches) == "True"
    assert run(RUN, tmp_path, caches) == "False"


@pytest.mark.skipif(os.getuid() == 0 if hasattr(os, "getuid") else True, reason="root may write")
def test_a_folder_that_may_only_be_read(stored: Path) -> None:
    stored.parent.chmod(0o555)
    try:
        assert run(RUN, stored.parents[4], cache_of(stored)) == "False"
    finally:
        stored.parent.chmod(0o755)


def test_a_full_disk_leaves_nothing_behind(tmp_path: Path) -> None:
    program = """
def full(*_):
    raise OSError(28, "No space left on device")
from heedful.ops.jit import trust
trust.os.replace = full
run()
"""
    run(program, tmp_path, str(tmp_path / "cache"))
    assert not [path for path in (tmp_path / "cache").rglob("*") if path.is_file()]


def test_several_processes_at_once(tmp_path: Path) -> None:
    # They wait for each other, or one that is late to start would find what another has stored.
    program = f"""
import time, tempfile
tempfile.mkstemp(dir={str(tmp_path)!r}, prefix="ready")
while len(list(Path({str(tmp_path)!r}).glob("ready*"))) < 4:
    time.sleep(0.001)
{RUN}"""
    (tmp_path / "a_kernel.py").write_text(KERNEL)
    processes = [begin(program, tmp_path, str(tmp_path / "cache")) for _ in range(4)]
    assert [finished(process) for process in processes] == ["True"] * 4
    assert len([path for path in (tmp_path / "cache").rglob("*") if path.is_file()]) == 1


def test_a_kernel_that_allocates_is_linked_with_numbas_help(tmp_path: Path) -> None:
    (tmp_path / "a_kernel.py").write_text(
        KERNEL.replace(
            "    for i", "    other = np.empty(len(source))\n    other[0] = 0\n    for i", 1
        )
        .replace("* 2", "* 2 + other[i * 0]")
        .replace("@kernel", "import numpy as np\n@kernel")
    )
    cache = str(tmp_path / "cache")
    assert run(RUN, tmp_path, cache) == "True"
    (file,) = tmp_path.rglob("*.o")
    written = file.stat().st_mtime_ns
    assert run(RUN, tmp_path, cache) == "True"
    assert file.stat().st_mtime_ns == written


def test_what_needs_an_unknown_symbol_is_not_linked() -> None:
    assert linked(Made("any", ("heedful_no_such_symbol",), b"")) is None


# Numba missing, broken or told to do nothing.

BLOCKED = "import sys; sys.modules['numba'] = None"


def test_numba_missing(tmp_path: Path) -> None:
    found = run("print(runtime.unavailable())", tmp_path, str(tmp_path), before=BLOCKED)
    assert found.startswith("Numba cannot be imported (ModuleNotFoundError")


def test_numba_broken_says_why(tmp_path: Path) -> None:
    (tmp_path / "numba").mkdir()
    (tmp_path / "numba" / "__init__.py").write_text("raise RuntimeError('needs another NumPy')")
    found = run("print(runtime.unavailable())", tmp_path, str(tmp_path / "cache"))
    assert found == "Numba cannot be imported (RuntimeError: needs another NumPy)"


def test_numba_with_its_compiler_disabled(tmp_path: Path) -> None:
    found = run("print(runtime.unavailable())", tmp_path, str(tmp_path), NUMBA_DISABLE_JIT="1")
    assert found == "Numba's compiler is disabled (NUMBA_DISABLE_JIT)"


def test_importing_and_plain_attention_need_no_numba(tmp_path: Path) -> None:
    program = """
import heedful
tensor = torch.randn(2, 3, 4)
heedful.attend(tensor, tensor, tensor)
print(sorted({"numba", "llvmlite", "platformdirs"} & set(sys.modules)))
"""
    assert run(program, tmp_path, str(tmp_path)) == "[]"


ROOT = Path(__file__).parents[3]
EVERY_SCORE = f"""
sys.path.insert(0, {str(ROOT)!r})
import heedful
from heedful.ops.normalizers import NORMALIZERS
from heedful.ops.scores import SCORES
from tests.ops.examples import BACKEND_MASKS, example

def check(score, normalizer, mask):
    call = example(score, normalizer=normalizer, dtype=torch.float32).leaves()
    arguments = call.arguments() | dict(mask=mask)
    results = []
    for backend in ("auto", "reference"):
        output = heedful.attend(**arguments, backend=backend).output
        tensors = list(call.tensors().values())
        results.append([output, *torch.autograd.grad(output.sum(), tensors, allow_unused=True)])
    torch.testing.assert_close(*results, rtol=1e-3, atol=1e-4)

size = example("dot").query.shape[-2], example("dot").key.shape[-2]
for mask in (None, *(make(*size) for make in BACKEND_MASKS.values())):
    for score in SCORES:
        check(score, "softmax", mask)
    for normalizer in NORMALIZERS:
        check("additive", normalizer, mask)
print(runtime.unavailable() is not None)
"""


def test_without_numba_every_score_mask_and_normalizer_still_works(tmp_path: Path) -> None:
    assert run(EVERY_SCORE, tmp_path, str(tmp_path), before=BLOCKED) == "True"
