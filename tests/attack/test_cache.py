"""Whatever stands in the kernel cache: results are right, the process lives, and bad files are replaced."""

from __future__ import annotations

import hashlib
import json
import logging
import os
import random
import stat
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from heedful.ops.jit import cache, trust
from heedful.ops.jit.kernel import kernel, launch
from tests.ops.jit.processes import run

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="files have no modes there")
START = len(cache.FORMAT) + 32
"""Where the header begins: after the format and the digest."""
SIGNATURE = "float32:1C float32:1C"


@kernel
def triple(part, parts, source, target):
    for i in range(len(source) * part // parts, len(source) * (part + 1) // parts):
        target[i] = source[i] * 3


def use() -> None:
    """Run the kernel as a fresh process would, and compare with the reference."""
    triple.entries.clear()
    cache._warn.cache_clear()
    source, target = torch.arange(1000.0), torch.full((1000,), torch.nan)
    launch(triple, source, target, work=0)
    torch.testing.assert_close(target, source * 3, rtol=0, atol=0)


def from_disk() -> bool:
    """Whether the kernel would be loaded from disk now."""
    cache._warn.cache_clear()
    return cache.loaded(triple, SIGNATURE) is not None


@pytest.fixture
def file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return the file of the kernel, in a cache of the test's own."""
    monkeypatch.setattr(cache, "_bases", lambda: (tmp_path / "base",))
    use()
    (path,) = tmp_path.rglob("*.o")
    assert from_disk()
    return path


@pytest.fixture(scope="module")
def good(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """Return the content of the kernel's file."""
    with pytest.MonkeyPatch.context() as patch:
        base = tmp_path_factory.mktemp("good")
        patch.setattr(cache, "_bases", lambda: (base,))
        use()
    (path,) = base.rglob("*.o")
    return path.read_bytes()


def signed(payload: bytes) -> bytes:
    """Content whose digest is right."""
    return cache.FORMAT + hashlib.sha256(payload).digest() + payload


def parts_of(content: bytes) -> tuple[dict[str, object], bytes]:
    header, _, code = content[START:].partition(b"\n")
    return json.loads(header), code


def with_header(content: bytes, **changes: object) -> bytes:
    """Change fields of the header, and sign it."""
    fields, code = parts_of(content)
    return signed(json.dumps({**fields, **changes}).encode() + b"\n" + code)


def with_code(content: bytes, code: bytes) -> bytes:
    """Exchange the object file, and sign it."""
    return signed(json.dumps(parts_of(content)[0]).encode() + b"\n" + code)


def patched(code: bytes, place: int, replacement: bytes) -> bytes:
    return code[:place] + replacement + code[place + len(replacement) :]


def test_folders_and_files_are_for_this_user_alone(file: Path, tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        file.unlink()
        for folder in (file.parent, file.parents[1], tmp_path / "base"):
            folder.rmdir()
        use()
    finally:
        os.umask(before)
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    for folder in (file.parent, file.parents[1], tmp_path / "base"):
        assert stat.S_IMODE(folder.stat().st_mode) == 0o700


# Who may have written it.


def test_a_link_is_not_followed_and_is_replaced(file: Path, tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere.o"
    file.rename(elsewhere)
    file.symlink_to(elsewhere)
    assert not from_disk()
    use()
    assert not file.is_symlink()
    assert from_disk()
    assert elsewhere.exists()


@pytest.mark.parametrize("mode", [0o622, 0o602, 0o666, 0o620])
def test_a_file_that_others_may_write_is_replaced(file: Path, mode: int) -> None:
    file.chmod(mode)
    assert not from_disk()
    use()
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert from_disk()


@pytest.mark.parametrize("level", [0, 1])
@pytest.mark.parametrize("mode", [0o777, 0o1777, 0o770, 0o702])
def test_a_folder_that_others_may_write_is_left_alone(
    file: Path, level: int, mode: int, caplog: pytest.LogCaptureFixture
) -> None:
    folder, before = file.parents[level], file.stat().st_mtime_ns
    folder.chmod(mode)
    with caplog.at_level(logging.WARNING):
        assert not from_disk()
        use()
    assert f"{folder} is writable by others (mode {mode:o}); `chmod go-w` it" in caplog.text
    assert file.stat().st_mtime_ns == before
    assert [path for path in file.parent.iterdir() if path != file] == []
    folder.chmod(0o700)
    assert from_disk()


@pytest.mark.parametrize("level", [0, 1])
def test_a_folder_that_is_a_link_is_left_alone(file: Path, level: int, tmp_path: Path) -> None:
    folder = file.parents[level]
    folder.rename(tmp_path / "moved")
    folder.symlink_to(tmp_path / "moved")
    assert not from_disk()
    use()
    assert folder.is_symlink()


def test_the_base_may_be_a_link(file: Path, tmp_path: Path) -> None:
    (tmp_path / "base").rename(tmp_path / "moved")
    (tmp_path / "base").symlink_to(tmp_path / "moved")
    assert from_disk()


@pytest.mark.parametrize("kind", [stat.S_ISREG, stat.S_ISDIR])
@pytest.mark.parametrize(("owner", "is_used"), [(0, True), (12345, False), (54321, True)])
def test_whose_it_is(
    file: Path,
    kind: Callable[[int], bool],
    owner: int,
    is_used: bool,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    real = os.fstat

    def fstat(handle: int) -> os.stat_result:
        found = list(real(handle))
        found[stat.ST_UID] = owner if kind(found[stat.ST_MODE]) else 54321
        return os.stat_result(found)

    monkeypatch.setattr(trust.os, "fstat", fstat)
    monkeypatch.setattr(trust.os, "geteuid", lambda: 54321)
    assert from_disk() == is_used
    use()


def test_without_owners_and_modes(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(trust.os, "geteuid")
    monkeypatch.setattr(trust.os, "supports_dir_fd", set())
    assert from_disk()
    elsewhere = file.with_suffix(".elsewhere")
    file.rename(elsewhere)
    file.symlink_to(elsewhere)
    assert not from_disk()
    use()
    assert from_disk()


# What stands there instead.


def test_a_pipe_does_not_hang(file: Path) -> None:
    file.unlink()
    os.mkfifo(file)
    assert not from_disk()
    use()
    assert from_disk()


def test_a_folder_in_place_of_the_file(file: Path) -> None:
    file.unlink()
    (file / "inside").mkdir(parents=True)
    assert not from_disk()
    use()
    assert (file / "inside").is_dir()
    assert [path for path in file.parent.iterdir() if path != file] == []


def test_a_file_in_place_of_a_folder(file: Path) -> None:
    file.unlink()
    file.parent.rmdir()
    file.parent.touch()
    assert not from_disk()
    use()


def test_a_huge_file_is_not_read(file: Path) -> None:
    with file.open("r+b") as open_file:
        open_file.truncate(10 * 2**30)
    assert not from_disk()
    use()
    assert from_disk()


def lengths_of(content: bytes) -> set[int]:
    """A length within and at the end of each part."""
    header = START + content[START:].index(b"\n")
    ends = (0, len(cache.FORMAT), START, header, header + 1, header + 65, len(content))
    return {
        length for end in ends for length in (end - 1, end, end + 1) if 0 <= length < len(content)
    }


@pytest.mark.parametrize("is_signed", [False, True], ids=["cut", "cut and signed"])
def test_cut_short_at_every_part(file: Path, is_signed: bool) -> None:
    whole = file.read_bytes()
    for length in sorted(lengths_of(whole) | set(range(START, len(whole), len(whole) // 40))):
        content = whole[:length]
        file.write_bytes(signed(content[START:]) if is_signed else content)
        assert not from_disk(), length
    use()
    assert file.read_bytes()[: len(cache.FORMAT)] == cache.FORMAT
    assert from_disk()


def check_flips(file: Path, count: int, seed: int) -> None:
    generator, whole = random.Random(seed), file.read_bytes()
    for _ in range(count):
        content = bytearray(whole)
        for _ in range(generator.choice((1, 1, 2, 8))):
            bit = generator.randrange(8 * len(content))
            content[bit // 8] ^= 1 << bit % 8
        if bytes(content) != whole:
            file.write_bytes(content)
            assert not from_disk(), f"seed {seed}"
    use()
    assert from_disk()


def test_flipped_bits(file: Path) -> None:
    check_flips(file, 200, seed=1)


@pytest.mark.long
def test_many_flipped_bits(file: Path) -> None:
    seed = random.SystemRandom().randrange(2**32)
    print(f"seed {seed}, 5000 files")  # noqa: T201
    check_flips(file, 5000, seed)


HEADERS = {
    "empty": b"",
    "not json": b"{symbol: 1}",
    "not utf-8": b'{"symbol": "\xff\xfe"}',
    "a list": b"[]",
    "null": b"null",
    "a number": b"1e999",
    "no fields": b"{}",
    "deep": b"[" * 60_000,
    "deep objects": b'{"a":' * 10_000,
    "long": b'{"symbol": "' + b"a" * 200_000 + b'"}',
    "a long number": b'{"symbol": ' + b"9" * 50_000 + b"}",
}


@pytest.mark.parametrize("header", HEADERS.values(), ids=HEADERS)
def test_a_signed_header_of_another_shape(file: Path, header: bytes) -> None:
    file.write_bytes(signed(header + b"\n" + parts_of(file.read_bytes())[1]))
    assert not from_disk()
    use()
    assert from_disk()


@pytest.mark.parametrize(
    "changes",
    [
        {"symbol": None},
        {"symbol": 1},
        {"symbol": ["a"]},
        {"symbol": ""},
        {"symbol": "main"},
        {"symbol": "a\0b"},
        {"externals": None},
        {"externals": "abc"},
        {"externals": [1]},
        {"externals": {"a": 1}},
        {"externals": [None]},
        {"externals": ["heedful_no_such_symbol"]},
        {"file": "another.o"},
        {"file": None},
    ],
    ids=str,
)
def test_a_signed_field_of_another_type(file: Path, changes: dict[str, object]) -> None:
    file.write_bytes(with_header(file.read_bytes(), **changes))
    assert not from_disk()
    use()
    assert from_disk()


def test_a_kernel_under_the_name_of_another(file: Path) -> None:
    content = file.read_bytes()
    other = file.with_name("other.o")
    other.write_bytes(content)
    with pytest.raises(cache.MalformedError, match="not the header of this kernel"):
        cache._parsed(content, other.name)


OBJECTS: dict[str, Callable[[bytes], bytes]] = {
    "nothing": lambda code: b"",
    "zeros": lambda code: bytes(len(code)),
    "noise": lambda code: random.Random(0).randbytes(len(code)),
    "text": lambda code: b"garbage " * 1000,
    "magic alone": lambda code: code[:4],
    "magic and noise": lambda code: code[:4] + random.Random(0).randbytes(len(code)),
    "header and noise": lambda code: code[:64] + random.Random(0).randbytes(len(code) - 64),
    "header alone": lambda code: code[:64],
    "32 bits": lambda code: patched(code, 4, b"\1"),
    "big end first": lambda code: patched(code, 5, b"\2"),
    "a program": lambda code: patched(code, 16, b"\2"),
    "another processor": lambda code: patched(code, 18, b"\x08\0"),
    "table outside": lambda code: patched(code, 40, b"\xff" * 7),
    "no sections": lambda code: patched(code, 60, b"\0\0"),
    "too many sections": lambda code: patched(code, 60, b"\xff\xff"),
    "twice": lambda code: code[: len(code) // 2] + code,
}


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="the files of others differ")
@pytest.mark.parametrize("change", OBJECTS.values(), ids=OBJECTS)
def test_signed_garbage_for_an_object_file(file: Path, change: Callable[[bytes], bytes]) -> None:
    whole = file.read_bytes()
    file.write_bytes(with_code(whole, change(parts_of(whole)[1])))
    assert not from_disk()
    use()
    assert from_disk()


FUZZED = """
import pickle, random
from heedful.ops.jit import cache
from heedful.ops.jit.linking import Made, linked
from heedful.ops.jit.object_file import MalformedError, check_object

_, good, seed, count = sys.argv[1].split("|")
content, count = Path(good).read_bytes(), int(count)
header, _, code = content[len(cache.FORMAT) + 32:].partition(b"\\n")
symbol = cache.json.loads(header)["symbol"]
generator, table = random.Random(int(seed)), int.from_bytes(code[40:48], "little")
sections = [table + 64 * i for i in range(int.from_bytes(code[60:62], "little"))]
refused = 0

def word(place):
    return int.from_bytes(code[place:place + 8], "little")

# the file's header, the table of sections, symbols and relocations: all that is no instruction and no unwinding table
spots = list(range(64)) + list(range(table, table + 64 * len(sections)))
for section in sections:
    if code[section + 4] in (2, 3, 4):
        spots += range(word(section + 24), word(section + 24) + word(section + 32))
for _ in range(count):
    damaged = bytearray(code)
    for _ in range(generator.choice((1, 2, 4))):
        damaged[generator.choice(spots)] = generator.choice((0, 1, 127, 255, generator.randrange(256)))
    try:
        needed = check_object(bytes(damaged), symbol)
    except MalformedError:
        refused += 1
        continue
    linked(Made(symbol, tuple(needed), bytes(damaged)))
print(refused > count // 4)
"""


def fuzz(good: bytes, tmp_path: Path, count: int, seed: int) -> str:
    (tmp_path / "good").write_bytes(good)
    return run(FUZZED, tmp_path, f"{tmp_path / 'cache'}|{tmp_path / 'good'}|{seed}|{count}")


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="the files of others differ")
def test_signed_structures_with_wrong_numbers_do_not_abort(good: bytes, tmp_path: Path) -> None:
    assert fuzz(good, tmp_path, 200, seed=1) == "True"


@pytest.mark.long
@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="the files of others differ")
def test_many_signed_structures_with_wrong_numbers_do_not_abort(
    good: bytes, tmp_path: Path
) -> None:
    seed = random.SystemRandom().randrange(2**32)
    print(f"seed {seed}, 5000 object files")  # noqa: T201
    assert fuzz(good, tmp_path, 5000, seed) == "True"


# Where it is, and whether there is one.


def test_no_cache_in_the_current_folder_without_a_home(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for value in ("relative", "~nobody/cache"):
        monkeypatch.setenv("XDG_CACHE_HOME", value)
        assert all(base.is_absolute() for base in cache._bases.__wrapped__())
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setattr(os.path, "expanduser", lambda path: path)
    assert all(base.is_absolute() for base in cache._bases.__wrapped__())


NO_HOME = """
runtime_store._bases = BASES
run()
print(all(base.is_absolute() for base in BASES()), [path.name for path in Path().iterdir()])
"""


def test_a_process_without_a_home_compiles(tmp_path: Path) -> None:
    (tmp_path / "here").mkdir()
    start = "import os; [os.environ.pop(n, None) for n in ('HOME', 'XDG_CACHE_HOME')]\n"
    start += f"os.chdir({str(tmp_path / 'here')!r})\n"
    start += "import pwd; pwd.getpwuid = lambda uid: {}[uid]\n"
    start += "from heedful.ops.jit import cache; BASES = cache._bases; import os.path\n"
    start += "cache.Path.is_dir = lambda self, *a, **k: False"
    assert run(NO_HOME, tmp_path, "", before=start) == "True []"


DISABLED = """
run_all = __import__("heedful.bench.warmup", fromlist=["_run"])._run
from heedful.bench.operations import OPERATIONS
from heedful.bench.check import TOLERANCE, difference, expect
from heedful.bench.values import parameters
SMALL = dict(batch=2, heads=2, key_heads=1, length=20, features=8, queries=7, keys=9, hidden=8, window=3)
SMALL |= dict(nodes=30, degree=3, vocabulary=50, embedding=8)
for operation in OPERATIONS.values():
    sizes = operation.case({name: SMALL[name] for name in operation.sizes if name in SMALL})
    torch.manual_seed(0)
    inputs = parameters(operation.inputs(sizes))
    expected = expect(operation, sizes, inputs)
    for contender in operation.contenders:
        if contender.ours:
            error, place = difference(expected, contender.build(sizes, inputs), inputs, backward=contender.backward)
            most = max(TOLERANCE[each.dtype] for each in inputs.values() if each.dtype in TOLERANCE)
            assert error < most, (operation.name, contender.name, error, place)
print(runtime.unavailable(), dict(runtime.compile_seconds()))
"""


def test_with_the_compiler_disabled_every_operation_is_right_though_kernels_are_stored(
    tmp_path: Path,
) -> None:
    stored = str(tmp_path / "cache")
    run("run()", tmp_path, stored)
    assert list(tmp_path.rglob("*.o"))
    found = run(DISABLED, tmp_path, stored, NUMBA_DISABLE_JIT="1")
    assert found == "Numba's compiler is disabled (NUMBA_DISABLE_JIT) {}"
