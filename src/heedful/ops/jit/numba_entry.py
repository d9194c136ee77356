# mypy: disallow-untyped-decorators=false, disallow-untyped-calls=false
"""What needs Numba: a kernel compiled behind an entry that takes one block of words. Imported on first need."""

from __future__ import annotations

from types import CellType, FunctionType
from typing import Any

import numba
from llvmlite import ir
from numba.core import types
from numba.core.registry import cpu_target
from numba.extending import intrinsic as typed_intrinsic
from numba.np.arrayobj import make_array, populate_array

from heedful.ops.jit.cache import Made
from heedful.ops.jit.source import Compiled, Provided
from heedful.ops.jit.tiles import PROVIDED as TILES
from heedful.ops.jit.vector_math import PROVIDED as LANE_MATH
from heedful.ops.jit.vectors import PROVIDED as LANES

intrinsic: Any = (
    typed_intrinsic  # its types leave out that the typing context is not passed by the caller
)
njit: Any = numba.njit  # nor do they know that it can leave out the counting of references
WORD = ir.IntType(64)
_dispatchers: dict[Compiled, Any] = {}


def disabled() -> str | None:
    """Return why Numba, which is here, compiles nothing; None where it does."""
    if getattr(numba.config, "DISABLE_JIT", 0):
        return "Numba is told to compile nothing (NUMBA_DISABLE_JIT)"
    return None


def bring_symbols() -> None:
    """Make what compiled code may call of Numba's (memory for arrays, on Windows mathematics) known to LLVM."""
    cpu_target.target_context.refresh()


def compiled(kernel: Compiled, signature: str) -> Made:
    """Compile a kernel for arguments of these types."""
    entry = _entry(dispatcher(kernel), tuple(_numba_type(word) for word in signature.split()))
    library = entry._library
    module = library._final_module
    declared = [*module.functions, *module.global_variables]
    externals = [item.name for item in declared if item.is_declaration]
    return Made(
        entry.native_name,
        tuple(sorted(name for name in externals if not name.startswith("llvm."))),
        bytes(library._get_compiled_object()),
        int(entry.address),
    )


def dispatcher(function: Compiled) -> Any:
    """Return Numba's form of a kernel or helper, in which the helpers it names are Numba's too."""
    if function not in _dispatchers:
        source = function.function
        used = {name: _known(value) for name, value in function.uses().items()}
        cells = tuple(CellType(used[name]) for name in source.__code__.co_freevars)
        names = {**source.__globals__, **used}
        copy = FunctionType(source.__code__, names, source.__name__, source.__defaults__, cells)
        _dispatchers[function] = njit(
            nogil=True,
            error_model="numpy",
            fastmath=set(function.fastmath),
            forceinline=function.is_inlined,
            _nrt=not function.borrows,
        )(copy)
    return _dispatchers[function]


def _known(value: object) -> object:
    if isinstance(value, Compiled):
        return dispatcher(value)
    return PROVIDED[value.name] if isinstance(value, Provided) else value


def _numba_type(word: str) -> Any:
    element, _, axes = word.partition(":")
    if not axes:
        return {
            "none": types.none,
            "int": types.int64,
            "float": types.float64,
            "bool": types.boolean,
        }[word]
    dtype: Any = types.boolean if element == "bool" else getattr(types, element)
    return types.Array(dtype, int(axes[:-1]), "C" if axes[-1] == "C" else "A")


def _entry(kernel: Any, argument_types: tuple[Any, ...]) -> Any:
    """Return a C function of the block's address that claims parts until none is left.

    So it does not matter how many threads run it, or whether they start at once.
    """
    arguments = _arguments(argument_types)

    def entry(block: Any) -> None:
        parts = _parts(block)
        while True:
            part = _claim(block)
            if part >= parts:
                return
            try:
                kernel(*arguments(block, part))
            except Exception:
                _fail(block, part)

    return numba.cfunc(types.void(types.voidptr))(entry)


def _word(builder: Any, block: Any, place: int) -> Any:
    words = builder.bitcast(block, WORD.as_pointer())
    return builder.gep(words, [ir.Constant(WORD, place)])


@intrinsic
def _parts(typing: Any, block: Any) -> Any:
    def build(context: Any, builder: Any, signature: Any, given: Any) -> Any:
        return builder.load(_word(builder, given[0], 1))

    return types.int64(block), build


@intrinsic
def _claim(typing: Any, block: Any) -> Any:
    def build(context: Any, builder: Any, signature: Any, given: Any) -> Any:
        one = ir.Constant(WORD, 1)
        return builder.atomic_rmw("add", _word(builder, given[0], 0), one, "monotonic")

    return types.int64(block), build


@intrinsic
def _fail(typing: Any, block: Any, part: Any) -> Any:
    def build(context: Any, builder: Any, signature: Any, given: Any) -> Any:
        builder.store(builder.add(given[1], ir.Constant(WORD, 1)), _word(builder, given[0], 2))
        return context.get_dummy_value()

    return types.void(block, types.int64), build


@intrinsic
def _dense(typing: Any, array: Any) -> Any:
    """A view whose last axis has no gaps, seen as contiguous (it has one axis)."""
    contiguous = types.Array(array.dtype, 1, "C")

    def build(context: Any, builder: Any, signature: Any, given: Any) -> Any:
        source = make_array(signature.args[0])(context, builder, given[0])
        seen = make_array(contiguous)(context, builder)
        for name in ("meminfo", "parent", "nitems", "itemsize", "data", "shape", "strides"):
            setattr(seen, name, getattr(source, name))
        return seen._getvalue()

    return contiguous(array), build


@intrinsic
def _prefetch(typing: Any, array: Any, index: Any) -> Any:
    """Ask for the cache line that holds an element of a contiguous array, without waiting for it."""

    def build(context: Any, builder: Any, signature: Any, given: Any) -> Any:
        source = make_array(signature.args[0])(context, builder, given[0])
        byte, number = ir.IntType(8).as_pointer(), ir.IntType(32)
        kind = ir.FunctionType(ir.VoidType(), [byte, number, number, number])
        instruction = builder.module.declare_intrinsic("llvm.prefetch", [byte], kind)
        place = builder.bitcast(builder.gep(source.data, [given[1]]), byte)
        # To read, to be kept close, data and not code.
        builder.call(instruction, [place, number(0), number(3), number(1)])
        return context.get_dummy_value()

    return types.void(array, index), build


@intrinsic
def _stretch(typing: Any, array: Any, begin: Any) -> Any:
    """A contiguous array of one axis from an element on, whose ends are not looked at."""

    def build(context: Any, builder: Any, signature: Any, given: Any) -> Any:
        source = make_array(signature.args[0])(context, builder, given[0])
        seen = make_array(array)(context, builder)
        for name in ("meminfo", "parent", "nitems", "itemsize", "shape", "strides"):
            setattr(seen, name, getattr(source, name))
        seen.data = builder.gep(source.data, [given[1]], inbounds=True)
        return seen._getvalue()

    return array(array, begin), build


PROVIDED = {
    "dense": _dense,
    "prefetch": _prefetch,
    "stretch": _stretch,
    **LANES,
    **LANE_MATH,
    **TILES,
}


def _arguments(argument_types: tuple[Any, ...]) -> Any:
    """Return what makes, in compiled code, the tuple (part, parts, *arrays and scalars) from a block."""

    @intrinsic
    def arguments(typing: Any, block: Any, part: Any) -> Any:
        whole = types.Tuple((types.int64, types.int64, *argument_types))

        def build(context: Any, builder: Any, signature: Any, given: Any) -> Any:
            reader = _Reader(context, builder, given[0])
            values = [given[1], builder.load(_word(builder, given[0], 1))]
            values += [reader.value(kind) for kind in argument_types]
            return context.make_tuple(builder, whole, values)

        return whole(block, types.int64), build

    return arguments


class _Reader:
    """Reads one argument after the other from a block."""

    def __init__(self, context: Any, builder: Any, block: Any) -> None:
        self.context, self.builder, self.block = context, builder, block
        self.place = 3

    def word(self) -> Any:
        address = _word(self.builder, self.block, self.place)
        self.place += 1
        return self.builder.load(address)

    def value(self, kind: Any) -> Any:
        if isinstance(kind, types.Array):
            return self.array(kind)
        if kind is types.none:
            return self.context.get_dummy_value()
        word = self.word()
        if kind is types.float64:
            return self.builder.bitcast(word, ir.DoubleType())
        if kind is types.boolean:
            return self.builder.icmp_signed("!=", word, ir.Constant(WORD, 0))
        return word

    def array(self, kind: Any) -> Any:
        element = self.context.get_data_type(kind.dtype)
        size = ir.Constant(WORD, self.context.get_abi_sizeof(element))
        data = self.builder.inttoptr(self.word(), element.as_pointer())
        shape = [self.word() for _ in range(kind.ndim)]
        if kind.layout == "C":
            strides = [size]
            for length in reversed(shape[1:]):
                strides.insert(0, self.builder.mul(strides[0], length))
            strides = strides[: kind.ndim]
        else:
            strides = [self.builder.mul(self.word(), size) for _ in range(kind.ndim)]
        array = make_array(kind)(self.context, self.builder)
        populate_array(array, data=data, shape=shape, strides=strides, itemsize=size, meminfo=None)
        return array._getvalue()
