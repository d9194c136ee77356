"""Numbers of 16 bits are converted as PyTorch converts them, where kernels load and store them."""

from __future__ import annotations

import pytest
import torch

from heedful.ops.jit.kernel import dots_1, dots_4, dots_8, kernel, launch, load, store

DTYPES = [torch.bfloat16, torch.float16]


@kernel(halves=True)
def convert(part, parts, source, target):
    for i in range(0, len(source), 16):
        store(target, i, load(source, i))


@kernel(halves=True)
def inner_products(part, parts, rows, source, queries, result, features, count):
    if rows == 1:
        dots_1((source, 0, features), (queries, 0, 48), (result, 0), features, count)
    elif rows == 4:
        dots_4((source, 0, features), (queries, 0, 48), (result, 0), features, count)
    else:
        dots_8((source, 0, features), (queries, 0, 48), (result, 0), features, count)


@pytest.mark.parametrize("dtype", DTYPES)
def test_every_number_is_widened_exactly(dtype: torch.dtype) -> None:
    every = torch.arange(-(2**15), 2**15).to(torch.int16).view(dtype)
    target = torch.empty(len(every))
    launch(convert, every, target, work=0)
    torch.testing.assert_close(target, every.float(), rtol=0, atol=0, equal_nan=True)


@pytest.mark.parametrize("dtype", DTYPES)
def test_numbers_are_rounded_to_the_nearest_even(dtype: torch.dtype) -> None:
    every = torch.arange(-(2**15), 2**15).to(torch.int16).view(dtype).float()
    finite = every[every.isfinite()]
    halves = (finite[1:] + finite[:-1]) / 2  # ties between neighbours
    bits = torch.randint(-(2**31), 2**31 - 1, (2**16,), dtype=torch.int64)
    random = bits.to(torch.int32).view(torch.float32)
    special = torch.tensor(
        [0.0, -0.0, torch.inf, -torch.inf, torch.nan, 3e38, 1e-40, 65519.0, 65520.0]
    )
    source = torch.cat([halves, random, special])
    source = torch.cat([source, source.new_zeros(-len(source) % 16)])
    target = torch.empty(len(source), dtype=dtype)
    launch(convert, source, target, work=0)
    torch.testing.assert_close(target, source.to(dtype), rtol=0, atol=0, equal_nan=True)


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, *DTYPES])
@pytest.mark.parametrize("rows", [1, 4, 8])
def test_inner_products_of_rows_as_they_lie(rows: int, dtype: torch.dtype) -> None:
    wide = torch.promote_types(dtype, torch.float32)
    keys = 16 // rows
    for features in (16, 32, 37):
        source = torch.randn(keys, features).to(dtype)
        queries = torch.zeros(rows, 48, dtype=wide)
        whole = features // 16 * 16
        drawn = torch.randn(rows, features, dtype=wide)
        queries[:, :whole] = drawn[:, :whole]
        if features > whole:  # the last vector begins with features that the one before holds
            queries[:, whole + 16 - (features - whole) : whole + 16] = drawn[:, whole:]
        for count in range(1, keys + 1):
            result = torch.full((16,), torch.nan, dtype=wide)
            launch(
                inner_products,
                rows,
                source.view(-1),
                queries.view(-1),
                result,
                features,
                count,
                work=0,
            )
            wanted = (source[:count].to(wide) @ drawn.T).view(-1)
            torch.testing.assert_close(result[: count * rows], wanted, rtol=1e-5, atol=1e-5)
