"""Checks of an object file before LLVM reads it: LLVM aborts the process on what is malformed."""

from __future__ import annotations

import platform
import struct
import sys
from dataclasses import dataclass

MACHINES = {"x86_64": 62, "amd64": 62, "aarch64": 183, "arm64": 183, "riscv64": 243, "ppc64le": 21}
"""Numbers of processors in ELF files, by the name that `platform.machine` gives, in lower case."""
OTHER_FORMATS = {"darwin": (b"\xcf\xfa\xed\xfe",), "win32": (b"\x64\x86", b"\x64\xaa", b"\x7fELF")}
"""The first bytes of object files of systems without ELF."""
SYMBOLS, STRINGS, RELOCATIONS, NO_BITS, PLAIN_RELOCATIONS = 2, 3, 4, 8, 9
UNDEFINED, COMMON = 0, 0xFFF2
SYMBOL_KINDS, BINDINGS = range(5), range(3)
"""No type, object, function, section, file; local, global, weak."""
SECTION, FILE = 3, 4
EXECUTABLE, THREAD_LOCAL = 4, 0x400
"""Flags of sections with code, and with a copy for each thread, which LLVM cannot load."""
X86_64 = 62
X86_64_RELOCATIONS = frozenset({1, 24})
"""R_X86_64_64 and R_X86_64_PC64: all that code has which may lie anywhere in memory."""
LARGEST_SECTION = 64 * 2**20
LARGEST_ALIGNMENT = 4096


class MalformedError(ValueError):
    """An object file that LLVM must not read."""


def check_object(content: bytes, symbol: str) -> frozenset[str]:
    """Check an object file, and return the names that it needs from the process.

    It is for this machine, its parts lie within it, and it defines the function `symbol`. ELF files are checked to the
    last relocation; those of other systems by their first bytes, and the names they need are not read.

    Raises:
        MalformedError: a condition does not hold.
    """
    formats = OTHER_FORMATS.get(sys.platform)
    if formats is not None and not content.startswith(b"\x7fELF"):
        if not content.startswith(formats):
            raise MalformedError("not an object file of this system")
        return frozenset()
    try:
        return _check_elf(content, symbol)
    except (struct.error, IndexError) as error:
        raise MalformedError(f"cut short or inconsistent ({error})") from None


@dataclass(frozen=True)
class _Section:
    name: int
    kind: int
    flags: int
    offset: int
    size: int
    link: int
    info: int
    entry_size: int


def _check_elf(content: bytes, symbol: str) -> frozenset[str]:
    start = struct.unpack_from("<4sBB10xHHIQQQIHHHHHH", content)
    magic, width, order, kind, machine = start[:5]
    table, entry_size, count = start[8], start[13], start[14]
    if (magic, width, order, kind) != (b"\x7fELF", 2, 1, 1):
        raise MalformedError("not a relocatable ELF file of 64 bits")
    if machine != MACHINES.get(platform.machine().lower(), machine):
        raise MalformedError(f"made for the processor number {machine}, not for this one")
    if entry_size != 64 or count == 0 or table + 64 * count > len(content) or table % 8:
        raise MalformedError("the table of sections is not within the file")
    sections = [_section(content, table + 64 * i) for i in range(count)]
    if max(one.name for one in sections) >= len(_strings(content, sections, start[15])):
        raise MalformedError("a section has no name")
    tables = [i for i, one in enumerate(sections) if one.kind == SYMBOLS]
    if len(tables) != 1:
        raise MalformedError("not one table of symbols")
    kinds, needed = _check_symbols(content, sections, sections[tables[0]], symbol)
    for one in sections:
        if one.kind == PLAIN_RELOCATIONS or (one.kind == RELOCATIONS and one.link != tables[0]):
            raise MalformedError("relocations without a table of symbols")
        if one.kind == RELOCATIONS:
            _check_relocations(content, one, sections[one.info], kinds, machine)
    return needed


def _section(content: bytes, place: int) -> _Section:
    """Read a section's header, and check that its content lies within the file."""
    name, kind, flags, _, offset, size, link, info, alignment, entry_size = struct.unpack_from(
        "<IIQQQQIIQQ", content, place
    )
    if kind not in (0, NO_BITS) and offset + size > len(content):
        raise MalformedError("a section is not within the file")
    if (
        flags & THREAD_LOCAL
        or size > LARGEST_SECTION
        or not (alignment == 0 or is_alignment(alignment))
    ):
        raise MalformedError("a section has an impossible size, alignment or flag")
    return _Section(name, kind, flags, offset, size, link, info, entry_size)


def is_alignment(number: int) -> bool:
    """Whether a number is a power of two that a section may be aligned to."""
    return 0 < number <= LARGEST_ALIGNMENT and number & (number - 1) == 0


def _strings(content: bytes, sections: list[_Section], index: int) -> bytes:
    """The content of a section of strings, each of which ends within it."""
    one = sections[index]
    text = content[one.offset : one.offset + one.size]
    if one.kind != STRINGS or not text.endswith(b"\0"):
        raise MalformedError("not a table of strings")
    return text


def _check_symbols(
    content: bytes, sections: list[_Section], table: _Section, symbol: str
) -> tuple[list[int], frozenset[str]]:
    """Check every symbol, and return their kinds and the names of those that are defined elsewhere."""
    if table.entry_size != 24 or table.size % 24:
        raise MalformedError("the table of symbols has an impossible size")
    names, needed, kinds = _strings(content, sections, table.link), set(), []
    is_defined = False
    body = content[table.offset : table.offset + table.size]
    for place, info, _, index, value, size in struct.iter_unpack("<IBBHQQ", body):
        kind = info & 15
        if place >= len(names) or kind not in SYMBOL_KINDS or info >> 4 not in BINDINGS:
            raise MalformedError("a symbol has no name or is of an unexpected kind")
        kinds.append(kind)
        name = names[place : names.index(b"\0", place)].decode("utf-8", "replace")
        if kind == FILE:
            continue
        if index in (UNDEFINED, COMMON) and kind == SECTION:
            raise MalformedError("a symbol of no section")
        if index == UNDEFINED:
            needed.add(name)
        elif index == COMMON:
            if size > LARGEST_SECTION or not is_alignment(value):
                raise MalformedError("a symbol has an impossible size or alignment")
        else:
            if value + size > sections[index].size:
                raise MalformedError("a symbol is not within its section")
            is_code = bool(sections[index].flags & EXECUTABLE)
            is_defined |= name == symbol and size > 0 and is_code
    if not is_defined:
        raise MalformedError(f"does not define the function {symbol}")
    return kinds, frozenset(needed - {""})


def _check_relocations(
    content: bytes, table: _Section, target: _Section, kinds: list[int], machine: int
) -> None:
    """Check that every relocation is of a known kind, of an existing symbol, and changes bytes of its section."""
    if table.entry_size != 24 or table.size % 24:
        raise MalformedError("a table of relocations has an impossible size")
    body = content[table.offset : table.offset + table.size]
    for offset, info, _ in struct.iter_unpack("<QQq", body):
        kind, symbol = info & 0xFFFFFFFF, info >> 32
        if target.kind == NO_BITS or offset + (8 if machine == X86_64 else 4) > target.size:
            raise MalformedError("a relocation is not within its section")
        if symbol >= len(kinds) or kinds[symbol] == FILE:
            raise MalformedError("a relocation of no symbol")
        if machine == X86_64 and kind not in X86_64_RELOCATIONS:
            raise MalformedError(f"a relocation of the unexpected kind {kind}")
