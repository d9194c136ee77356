"""Mark functions whose result torch.compile may take as a constant, without importing its compiler."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

Function = TypeVar("Function", bound=Callable[..., Any])


def assume_constant_result(function: Function) -> Function:
    """As `torch.compiler.assume_constant_result`, which imports torch._dynamo: about a second of CPU at start-up.

    torch.compile calls the function while tracing and records what it returns.
    """
    function._dynamo_marked_constant = True  # type: ignore[attr-defined]
    return function
