"""Product tiles: right for every number of rows, and without spilled accumulators on every class of processor."""

from __future__ import annotations

import re

import llvmlite.binding as llvm
import numpy as np
import pytest
import torch
from llvmlite import ir

from heedful.ops.jit.kernel import kernel, launch, product_row, product_tile
from heedful.ops.jit.tiles import (
    ROWS,
    VECTORS,
    WORD,
    Matrix,
    RegisterFile,
    _emit_tile,
)
from heedful.ops.jit.vectors import COUNT

SIZE = ROWS, VECTORS * COUNT
TARGETS = {
    "AVX2": ("x86_64-unknown-linux-gnu", "haswell", "+avx2,+fma", RegisterFile(16, 256)),
    "AVX-512": ("x86_64-unknown-linux-gnu", "skylake-avx512", "+avx512f", RegisterFile(32, 512)),
    "NEON": ("aarch64-unknown-linux-gnu", "neoverse-n1", "+neon", RegisterFile(32, 128)),
}
"""LLVM's triple, processor and features, and the registers that they have."""
MULTIPLY_ADD = re.compile(r"\s(vfmadd\w+p[sd]|fmla)\s")
SPILL = re.compile(r"\(%rsp.*%[xyz]mm|%[xyz]mm.*\(%rsp|\s[qdv]\d+.*\[sp")
"""A vector register written to or read from the stack."""


@kernel
def tile(part, parts, left, right, result, depth, count, fresh):
    product_tile(
        (left, 0, left.shape[0] // 8, 1), (right, 0, 32), (result, 0, 32), depth, count, fresh
    )


@kernel
def row(part, parts, left, right, result, depth, fresh):
    product_row((left, 0, depth, 1), (right, 0, 64), (result, 0, 64), depth, 1, fresh)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("depth", [0, 1, 5, 64])
@pytest.mark.parametrize("fresh", [True, False])
def test_a_tile_is_the_product(dtype: torch.dtype, depth: int, fresh: bool) -> None:
    left, right = torch.randn(8, max(depth, 1), dtype=dtype), torch.randn(depth, 32, dtype=dtype)
    for count in range(1, ROWS + 1):
        before = torch.randn(8, 32, dtype=dtype)
        result = before.clone()
        operands = left.reshape(-1), right.reshape(-1), result.view(-1)
        launch(tile, *operands, depth, count, fresh, work=0)
        product = left[:, :depth].double() @ right.double() + (0 if fresh else before)
        torch.testing.assert_close(result[:count], product[:count].to(dtype), rtol=1e-5, atol=1e-5)
        assert torch.equal(result[count:], before[count:]), "rows beyond the last are left alone"


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("fresh", [True, False])
def test_a_row_is_the_product(dtype: torch.dtype, fresh: bool) -> None:
    left, right, before = (torch.randn(size, dtype=dtype) for size in (7, (7, 64), 64))
    result = before.clone()
    launch(row, left, right.reshape(-1), result, 7, fresh, work=0)
    wanted = left @ right + (0 if fresh else before)
    torch.testing.assert_close(result, wanted, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("name", TARGETS)
def test_registers_of_a_target(name: str) -> None:
    *target, registers = TARGETS[name]
    assert RegisterFile.of(*target) == registers


def test_registers_of_processors_named_without_features() -> None:
    linux = "x86_64-unknown-linux-gnu"
    assert RegisterFile.of(linux, "x86-64-v3", "") == RegisterFile(16, 256)
    assert RegisterFile.of(linux, "x86-64-v4", "") == RegisterFile(32, 512)
    assert RegisterFile.of(linux, "x86-64", "") == RegisterFile(16, 128)
    assert RegisterFile.of(linux, "znver4", "+avx2,-avx512f") == RegisterFile(16, 256)
    assert RegisterFile.of("arm64-apple-darwin", "apple-m1", "") == RegisterFile(32, 128)


@pytest.mark.parametrize("bits", [32, 64])
@pytest.mark.parametrize("size", [SIZE, (1, 64), (3, 16)])
@pytest.mark.parametrize("name", TARGETS)
def test_accumulators_take_half_of_the_registers_at_most(
    name: str, size: tuple[int, int], bits: int
) -> None:
    registers = TARGETS[name][3]
    height, lanes = registers.rectangle(*size, bits)
    assert 0 < height <= size[0]
    assert size[1] % lanes == 0
    assert height * lanes * bits <= registers.number // 2 * registers.bits


@pytest.mark.parametrize("element", [ir.FloatType(), ir.DoubleType()], ids=["float32", "float64"])
@pytest.mark.parametrize("name", TARGETS)
def test_inner_loops_keep_their_sums_in_registers(name: str, element: ir.Type) -> None:
    *target, registers = TARGETS[name]
    loops = inner_loops(assembly(*target, element, registers))
    bits = 32 if isinstance(element, ir.FloatType) else 64
    height, lanes = registers.rectangle(*SIZE, bits)
    assert len(loops) == SIZE[0] * SIZE[1] // (height * lanes)
    for lines in loops:
        assert sum(bool(MULTIPLY_ADD.search(line)) for line in lines) == height * lanes * bits // (
            registers.bits
        )
        assert not [line for line in lines if SPILL.search(line)]


def test_a_tile_that_is_too_large_is_noticed() -> None:
    """The test above can fail: the tile of AVX-512 spills with the registers of AVX2."""
    *target, _ = TARGETS["AVX2"]
    loops = inner_loops(assembly(*target, ir.FloatType(), RegisterFile(32, 512)))
    assert [line for lines in loops for line in lines if SPILL.search(line)]


def assembly(
    triple: str, cpu: str, features: str, element: ir.Type, registers: RegisterFile
) -> str:
    """The optimized assembly of a tile for a target that need not be this machine."""
    llvm.initialize_all_targets()
    llvm.initialize_all_asmprinters()
    module = ir.Module()
    module.triple = triple
    arguments = [element.as_pointer()] * 3 + [WORD] * 6 + [ir.IntType(1)]
    function = ir.Function(module, ir.FunctionType(ir.VoidType(), arguments), "tile")
    builder = ir.IRBuilder(function.append_basic_block())
    left, right, result, *steps, depth, count, fresh = function.args
    start = ir.Constant(WORD, 0)
    matrices = [
        Matrix(builder, left, start, steps[0], steps[1]),
        Matrix(builder, right, start, steps[2]),
        Matrix(builder, result, start, steps[3]),
    ]
    _emit_tile(builder, matrices, (depth, count, fresh), SIZE, registers)
    builder.ret_void()
    parsed = llvm.parse_assembly(str(module))
    machine = llvm.Target.from_triple(triple).create_target_machine(
        cpu=cpu, features=features, opt=3
    )
    options = llvm.create_pipeline_tuning_options(speed_level=3)
    passes = llvm.create_pass_builder(machine, options)
    passes.getModulePassManager().run(parsed, passes)
    return machine.emit_assembly(parsed)


def inner_loops(text: str) -> list[list[str]]:
    """The lines of each loop that multiplies: from a label to the jump back to it."""
    lines, found = text.splitlines(), []
    for first, line in enumerate(lines):
        label = re.match(r"(\.LBB\w+):", line)
        if label is None:
            continue
        for last in range(first + 1, len(lines)):
            if re.match(r"\.LBB\w+:", lines[last]):
                break
            if re.search(rf"\s(j\w+|b\.\w+|tbn?z|cbn?z)\s.*{re.escape(label[1])}$", lines[last]):
                body = lines[first : last + 1]
                if any(MULTIPLY_ADD.search(each) for each in body):
                    found.append(body)
                break
    return found


def test_loops_are_found() -> None:
    text = (
        ".LBB0_1:\n\tmov x\n\tjl\t.LBB0_1\n.LBB0_2:\n\tvfmadd231ps\t%zmm1, %zmm2\n\tjl\t.LBB0_2\n"
    )
    assert inner_loops(text) == [text.splitlines()[3:]]
    assert np.all([MULTIPLY_ADD.search(each) for each in ("\tfmla\tv1.4s", "\tvfmadd213pd\t%ymm0")])
