"""Seeded damage to the bytes of a file: random, and such as fits JSON, TOML, safetensors, tables and arrays."""

from __future__ import annotations

import json
import re
import struct
from collections.abc import Callable
from random import Random

NUMBERS = (
    b"0",
    b"-1",
    b"1e999",
    b"-1e999",
    b"NaN",
    b"Infinity",
    b"nan",
    b"inf",
    b"1000000",
    b"1000000000",
    b"9223372036854775807",
    b"9223372036854775808",
    b"1e308",
    b"1e-320",
    b"0.0",
    b"-0.5",
    b"9" * 400,
    b"9" * 5000,
    b"1" + b"0" * 30,
    b"0x" + b"f" * 40,
)
VALUES = (
    *NUMBERS, b"null", b"true", b"[]", b"{}", b'""', b'"x"', b"[1]", b'[""]', b'{"a": 1}',
    b'"' + b"x" * 5000 + b'"', b"[" * 2000,
    b"[" * 2000 + b"]" * 2000, b'{"a":' * 2000 + b"1" + b"}" * 2000, b"{a=" * 2000, b'"\\ud800"', b'"\\u0000"',
    b'"\\u202e"',
)  # fmt: skip
PIECES = (
    b"\0", b"\n", b"\r\n", b"\r", b"\t", b" ", b'"', b"'", b",", b";", b":", b"|", b"\\", b"\x1b[2J", b"\xff",
    b"\xfe\xff", b"\xed\xa0\x80",
    b"\xef\xbb\xbf", "\u202e".encode(), "\u2028".encode(), "\u3000".encode(), "\U000e0001".encode(), b"\x1f\x8b",
    b"=", b"[", b"]", b"{", b"}",
    b"[[", b"#", b"-DOCSTART-", b"1-2\t", b"1.1\t", b"@data\n", b"?", b"a." * 2000 + b"a", b"x" * 20_000,
    b"\n" * 2000, b"9" * 5000,
    b"\x80\x04\x95", b"..", b"/dev/zero", b"/etc/passwd", b"%s%n", b"$(touch canary)", b"`touch canary`", b"0/0",
    b"\x93NUMPY",
)  # fmt: skip
PYTHON_VALUES: tuple[object, ...] = (
    None, True, False, 0, 1, -1, 10**6, 2**31, 2**63, 10**30, 10**290, 0.5, -0.0, 1e308, float("inf"),
    float("nan"), "", " ", "x",
    "0", "\0", "\n", "\ud800", "\u202e", "é" * 5000, "a b", [], [[]], [""], [None], [1], {}, {"a": 1}, {"": {}},
    [[[[[[1]]]]]], [0.5] * 3000,
)  # fmt: skip
# What a reader of pickles would execute.
PICKLE = b"cposix\nsystem\n(S'touch canary'\ntR."

Mutation = Callable[[bytes, Random], bytes]


def flip(data: bytes, random: Random) -> bytes:
    changed = bytearray(data)
    for _ in range(random.choice((1, 1, 2, 8, 64))):
        if changed:
            changed[random.randrange(len(changed))] = random.randrange(256)
    return bytes(changed)


def cut(data: bytes, random: Random) -> bytes:
    return data[: random.randrange(len(data) + 1)]


def remove(data: bytes, random: Random) -> bytes:
    start = random.randrange(len(data) + 1)
    return data[:start] + data[start + random.choice((1, 2, 10, 100)) :]


def repeat(data: bytes, random: Random) -> bytes:
    start = random.randrange(len(data) + 1)
    end = start + random.randrange(200)
    return data[:end] + data[start:end] * random.choice((1, 2, 50)) + data[end:]


def swap(data: bytes, random: Random) -> bytes:
    one, two, three = sorted(random.randrange(len(data) + 1) for _ in range(3))
    return data[:one] + data[two:three] + data[one:two] + data[three:]


def insert(data: bytes, random: Random) -> bytes:
    at = random.randrange(len(data) + 1)
    return data[:at] + random.choice(PIECES) + data[at:]


def swap_lines(data: bytes, random: Random) -> bytes:
    lines = data.split(b"\n")
    one, two = random.randrange(len(lines)), random.randrange(len(lines))
    lines[one], lines[two] = lines[two], lines[one]
    return b"\n".join(lines)


def change_number(data: bytes, random: Random) -> bytes:
    """Put another number, or a value of another type, in the place of a number."""
    found = list(re.finditer(rb"-?\d+(\.\d+)?", data[:200_000]))
    if not found:
        return insert(data, random)
    one = random.choice(found)
    new = random.choice(NUMBERS if random.random() < 0.6 else VALUES)
    return data[: one.start()] + new + data[one.end() :]


def change_value(data: bytes, random: Random) -> bytes:
    """Put another value after a colon, a comma, an equals sign, a tab or a bracket."""
    found = list(re.finditer(rb"(?<=[:,=\t\[])\s*[^\s:,=\t\]}]+", data[:200_000]))
    if not found:
        return insert(data, random)
    one = random.choice(found)
    return data[: one.start()] + random.choice(VALUES) + data[one.end() :]


def replace_all(data: bytes, random: Random) -> bytes:
    return random.choice(
        (b"", b"\n", b" ", b"null", b"[]", b"{}", b"0", PICKLE, b"\x1f\x8b\x08\x00", *VALUES)
    )


GENERAL: tuple[Mutation, ...] = (
    flip, cut, remove, repeat, swap, insert, swap_lines, change_number, change_number, change_value, change_value,
    replace_all,
)  # fmt: skip


def change_json(data: bytes, random: Random) -> bytes:
    """Change one value of a JSON text, or of one line of JSON lines; the result is JSON."""
    lines = data.split(b"\n")
    chosen = [number for number, line in enumerate(lines) if line.startswith((b"{", b"["))]
    one = random.choice(chosen) if len(chosen) > 1 else None
    try:
        value = json.loads(data if one is None else lines[one])
    except (ValueError, RecursionError):  # damaged before, or nested too deep
        return flip(data, random)
    text = json.dumps(_changed(value, random)).encode()
    if one is None:
        return text
    return b"\n".join([*lines[:one], text, *lines[one + 1 :]])


def _changed(value: object, random: Random) -> object:
    if isinstance(value, dict) and value and random.random() < 0.9:
        key = random.choice(list(value))
        how = random.random()
        if how < 0.1:
            return {name: each for name, each in value.items() if name != key}
        if how < 0.2:
            return {
                **value,
                random.choice(("", "x", "\u202e", "a" * 5000, key.upper())): value[key],
            }
        return {**value, key: _changed(value[key], random)}
    if isinstance(value, list) and value and random.random() < 0.8:
        at = random.randrange(len(value))
        how = random.random()
        if how < 0.2:
            return value[:at] + value[at + 1 :]
        if how < 0.3:
            return [*value, value[at]]
        if how < 0.4:
            return value[::-1]
        return [*value[:at], _changed(value[at], random), *value[at + 1 :]]
    return random.choice(PYTHON_VALUES)


def lie_in_header(data: bytes, random: Random) -> bytes:
    """Change the header of a safetensors file: its length, and the type, shape or place of a tensor."""
    if len(data) < 9:
        return flip(data, random)
    [length] = struct.unpack("<Q", data[:8])
    rest = data[8 + length :]
    if random.random() < 0.2:
        lie = random.choice((0, 1, length - 1, length + 1, 2**31, 2**40, 2**63, 2**64 - 1))
        return struct.pack("<Q", lie) + data[8:]
    header = json.loads(data[8 : 8 + length])
    names = [name for name in header if name != "__metadata__"]
    one = header[random.choice(names)]
    what = random.choice(("dtype", "shape", "data_offsets", "name", "metadata", "all shapes"))
    if what == "dtype":
        one["dtype"] = random.choice(
            ("F64", "F16", "BF16", "I64", "U8", "BOOL", "F8_E4M3", "X", "", 1, None)
        )
    elif what == "shape":
        one["shape"] = random.choice(
            (
                [],
                [0],
                [2**40],
                [2**32, 2**32],
                [-1],
                [1] * 5000,
                ["x"],
                [1.5],
                None,
                one["shape"][::-1],
                [*one["shape"], 1],
            )
        )
    elif what == "data_offsets":
        one["data_offsets"] = random.choice(
            ([0, 0], [0, 2**50], [-1, 4], [8, 4], [2**63, 2**63 + 4], [], None, "x")
        )
    elif what == "name":
        name = random.choice(names)
        header[
            random.choice(("", "x" * 5000, "\u202e", "a.b", f"{name}.0", "embedding.weight"))
        ] = header.pop(name)
    elif what == "metadata":
        header["__metadata__"] = random.choice(
            ({}, {"a": 1}, [], {"x": "y" * 5000}, None, {"format": "tf"})
        )
    else:
        for name in names:
            header[name]["shape"] = [*header[name]["shape"], random.choice((0, 1, 2**20))]
    text = json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + rest


def lie_in_array(data: bytes, random: Random) -> bytes:
    """Change the header of a NumPy file: its type, shape and order, or its length."""
    shape = random.choice(
        (b"(3,)", b"()", b"(0, 3)", b"(4000000000, 2)", b"(2, 4000000000000000000)", b"(-1, 2)", b"(1e3,)", b"'x'",
        b"(" * 300,
         b"None", b"(5, 2, 2)", b"(True, 2)", b"__import__('os').system('touch canary')")
    )  # fmt: skip
    kind = random.choice(
        (
            b"'<f8'",
            b"'|O'",
            b"'<U5'",
            b"'<c16'",
            b"'<M8[s]'",
            b"'|V9'",
            b"[('a', '<f8')]",
            b"'|b1'",
            b"'<i8'",
            b"'x'",
            b"1",
        )
    )
    text = b"{'descr': " + kind + b", 'fortran_order': False, 'shape': " + shape + b", }"
    length = random.choice((len(text), len(text), 0, 65535))
    version = random.choice((b"\x01\x00", b"\x01\x00", b"\x02\x00", b"\x09\x00"))
    size = struct.pack("<I" if version == b"\x02\x00" else "<H", length)
    return b"\x93NUMPY" + version + size + text + data[128:]
