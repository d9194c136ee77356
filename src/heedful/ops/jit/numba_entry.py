# mypy: disallow-untyped-decorators=false, disallow-untyped-calls=false
"""Compilation with Numba: a kernel behind a C entry that takes an argument block. Imported only to compile."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from types import CellType, FunctionType
from typing import Any

import numba
from llvmlite import ir
from numba.core import types
from numba.core.compiler import Compiler
from numba.core.registry import cpu_target
from numba.extending import intrinsic as typed_intrinsic
from numba.np.arrayobj import make_array, populate_array

from heedful.ops.jit.deferred import DeferredCompiler
from heedful.ops.jit.dots import PROVIDED as DOTS
from heedful.ops.jit.halves import BFLOAT16, FLOAT16
from heedful.ops.jit.linking import Made
from heedful.ops.jit.random_bits import PROVIDED as RANDOM_BITS
from heedful.ops.jit.source import Compiled, Provided
from heedful.ops.jit.tiles import PROVIDED as TILES
from heedful.ops.jit.vector_math import PROVIDED as LANE_MATH
from heedful.ops.jit.vectors import PROVIDED as LANES

# Numba's annotations include the typing context among the caller's arguments, and miss the option `_nrt`.
intrinsic: Any = typed_intrinsic
njit: Any = numba.njit
WORD = ir.IntType(64)
ELEMENT_TYPES = {"bool": types.boolean, "bfloat16": BFLOAT16, "float16": FLOAT16}
"""Elements of tensors that Numba calls otherwise, or does not have."""
_dispatchers: dict[tuple[Compiled, bool], Any] = {}


def disabled() -> str | None:
    """Return why the installed Numba does not compile, or None if it does."""
    if getattr(numba.config, "DISABLE_JIT", 0):
        return "Numba's compiler is disabled (NUMBA_DISABLE_JIT)"
    return None


def bring_symbols() -> None:
    """Register Numba's runtime functions with LLVM: array allocation and, on Windows, mathematical functions."""
    cpu_target.target_context.refresh()


def compiled(kernel: Compiled, signature: str) -> Made:
    """Compile a kernel for the argument types of a signature (see `signature_text`)."""
    with _no_collections():
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


@contextmanager
def _no_collections() -> Iterator[None]:
    """Pause the garbage collector: beside PyTorch's objects it takes an eighth of the time of compiling."""
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()


def dispatcher(function: Compiled, *, is_called: bool = False) -> Any:
    """Return the Numba dispatcher of a kernel or helper; helpers and intrinsics it calls are resolved too.

    It can be linked into an entry, or with `is_called` be called from Python.
    """
    key = function, is_called
    if key not in _dispatchers:
        source = function.function
        resolved = {name: _resolve(value, is_called) for name, value in function.uses().items()}
        cells = tuple(CellType(resolved[name]) for name in source.__code__.co_freevars)
        names = {**source.__globals__, **resolved}
        copy = FunctionType(source.__code__, names, source.__name__, source.__defaults__, cells)
        made = njit(
            nogil=True,
            error_model="numpy",
            fastmath=set(function.fastmath),
            forceinline=function.is_inlined,
            _nrt=not function.no_refcount,
            pipeline_class=Compiler if is_called else DeferredCompiler,
        )(copy)
        # Numba would compile a function again for each constant that an argument is.
        made.get_call_template = partial(_template_without_literals, made.get_call_template)
        _dispatchers[key] = made
    return _dispatchers[key]


def _template_without_literals(find: Any, arguments: Any, keywords: Any) -> Any:
    """Find the call template for the types that arguments have as variables; helpers are called by position."""
    return find(tuple(types.unliteral(one) for one in arguments), keywords)


def _resolve(value: object, is_called: bool) -> object:
    """Replace a helper by its dispatcher and a placeholder by its intrinsic."""
    if isinstance(value, Compiled):
        return dispatcher(value, is_called=is_called)
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
    dtype: Any = ELEMENT_TYPES.get(element) or getattr(types, element)
    return types.Array(dtype, int(axes[:-1]), "C" if axes[-1] == "C" else "A")


def _entry(kernel: Any, argument_types: tuple[Any, ...]) -> Any:
    """Return a C function of the block's address that claims parts from an atomic counter until none is left.

    So any number of threads may run it, and they need not start together.
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


def _word(builder: Any, block: Any, index: int) -> Any:
    """The address of a word of the block."""
    words = builder.bitcast(block, WORD.as_pointer())
    return builder.gep(words, [ir.Constant(WORD, index)])


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
    """Retype a 1-D view whose elements are adjacent as C-contiguous."""
    contiguous = types.Array(array.dtype, 1, "C")

    def build(context: Any, builder: Any, signature: Any, given: Any) -> Any:
        source = make_array(signature.args[0])(context, builder, given[0])
        view = make_array(contiguous)(context, builder)
        for name in ("meminfo", "parent", "nitems", "itemsize", "data", "shape", "strides"):
            setattr(view, name, getattr(source, name))
        return view._getvalue()

    return contiguous(array), build


@intrinsic
def _prefetch(typing: Any, array: Any, index: Any) -> Any:
    """Prefetch the cache line of an element of a contiguous array."""

    def build(context: Any, builder: Any, signature: Any, given: Any) -> Any:
        source = make_array(signature.args[0])(context, builder, given[0])
        pointer, integer = ir.IntType(8).as_pointer(), ir.IntType(32)
        kind = ir.FunctionType(ir.VoidType(), [pointer, integer, integer, integer])
        instruction = builder.module.declare_intrinsic("llvm.prefetch", [pointer], kind)
        address = builder.bitcast(builder.gep(source.data, [given[1]]), pointer)
        # Read access, highest temporal locality, data cache.
        builder.call(instruction, [address, integer(0), integer(3), integer(1)])
        return context.get_dummy_value()

    return types.void(array, index), build


@intrinsic
def _offset_view(typing: Any, array: Any, begin: Any) -> Any:
    """A view of a contiguous 1-D array from an element on, without bounds checks."""

    def build(context: Any, builder: Any, signature: Any, given: Any) -> Any:
        source = make_array(signature.args[0])(context, builder, given[0])
        view = make_array(array)(context, builder)
        for name in ("meminfo", "parent", "nitems", "itemsize", "shape", "strides"):
            setattr(view, name, getattr(source, name))
        view.data = builder.gep(source.data, [given[1]], inbounds=True)
        return view._getvalue()

    return array(array, begin), build


PROVIDED = {
    "dense": _dense,
    "prefetch": _prefetch,
    "offset_view": _offset_view,
    **LANES,
    **LANE_MATH,
    **TILES,
    **DOTS,
    **RANDOM_BITS,
}


def _arguments(argument_types: tuple[Any, ...]) -> Any:
    """Return an intrinsic that unpacks a block into the tuple (part, parts, *arrays and scalars)."""

    @intrinsic
    def arguments(typing: Any, block: Any, part: Any) -> Any:
        unpacked = types.Tuple((types.int64, types.int64, *argument_types))

        def build(context: Any, builder: Any, signature: Any, given: Any) -> Any:
            reader = _Reader(context, builder, given[0])
            values = [given[1], builder.load(_word(builder, given[0], 1))]
            values += [reader.value(kind) for kind in argument_types]
            return context.make_tuple(builder, unpacked, values)

        return unpacked(block, types.int64), build

    return arguments


class _Reader:
    """Emits code that reads the arguments of a block in order."""

    def __init__(self, context: Any, builder: Any, block: Any) -> None:
        self.context, self.builder, self.block = context, builder, block
        self.next_word = 3  # after the counters

    def word(self) -> Any:
        address = _word(self.builder, self.block, self.next_word)
        self.next_word += 1
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
