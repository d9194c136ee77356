"""One operation at one size in this process: build, verify, then time what is right."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace

import torch
from torch import Tensor

from heedful.bench.check import TOLERANCE, Expected, difference, expect
from heedful.bench.clock import Samples, interleave
from heedful.bench.memory import measure_memory
from heedful.bench.results import Result
from heedful.bench.settings import GIB, Settings
from heedful.bench.values import Contender, Inputs, Operation, Run, Sizes, leaves, parameters

Tell = Callable[[str, float], None]
"""Told what is being done, and which share of it is done."""


@dataclass
class Pace:
    """What contenders took at smaller sizes, from which it is told what they would take at the next."""

    seen: dict[str, list[tuple[int, float]]] = field(default_factory=dict)

    def note(self, name: str, cells: int, seconds: float) -> None:
        """Remember a call."""
        self.seen.setdefault(name, []).append((cells, seconds))

    def expected(self, name: str, cells: int) -> float:
        """Seconds that a call is expected to take, at most in proportion to the pairs; 0 when nothing is known."""
        if not self.seen.get(name):
            return 0.0
        points = self.seen[name][-2:]
        (first, one), (last, other) = points[0], points[-1]
        share = 1.0
        if last > first and one > 0:
            # what grew more slowly so far is expected to go on so, with some room
            power = torch.log(torch.tensor(other / one)) / torch.log(torch.tensor(last / first))
            share = min(1.0, max(0.5, float(power)))
        return float(other * (cells / last) ** share)


@dataclass(frozen=True)
class Ready:
    """A contender that was built and whose result is right."""

    contender: Contender
    run: Run
    upstream: Tensor | None
    """The gradient that flows in, None for a contender or a measurement without backward."""
    result: Result


def measure_case(
    operation: Operation, sizes: Sizes, settings: Settings, pace: Pace, tell: Tell
) -> list[Result]:
    """Measure every contender at one case; those that cannot run or are wrong say why instead.

    >>> from heedful.bench.operations import OPERATIONS
    >>> additive = OPERATIONS["additive"]
    >>> sizes = additive.case({"queries": 8, "keys": 8, "hidden": 4})
    >>> settings = Settings(only=("heedful", "textbook"), seconds=0.01)
    >>> found = measure_case(additive, sizes, settings, Pace(), lambda text, share: None)
    >>> [one.status for one in found]
    ['measured', 'measured']
    """
    torch.manual_seed(settings.seed)
    inputs = parameters(operation.inputs(sizes))
    tell("computing the reference", 0.0)
    expected = expect(operation, sizes, inputs)
    ready: list[Ready] = []
    results: dict[str, Result] = {}
    for contender in operation.contenders:
        if settings.only and contender.name not in settings.only:
            continue
        tell(f"checking {contender.name}", 0.0)
        blank = Result(
            operation.name,
            contender.name,
            contender.ours,
            dict(sizes),
            settings.threads,
            "left out",
        )
        seconds = pace.expected(contender.name, cells(operation, sizes))
        made = _admit(blank, contender, sizes, inputs, expected, settings, seconds)
        results[contender.name] = made.result if isinstance(made, Ready) else made
        if isinstance(made, Ready):
            ready.append(made)
    results.update(_time(ready, inputs, settings, tell))
    for name, result in results.items():
        slowest = result.both or result.forward
        if slowest:
            pace.note(name, cells(operation, sizes), slowest.median)
    return list(results.values())


def cells(operation: Operation, sizes: Sizes) -> int:
    """How the most expensive way grows: all pairs of what grows together."""
    length = sizes[operation.scans[0]]
    return length * length


def _admit(
    blank: Result,
    contender: Contender,
    sizes: Sizes,
    inputs: Inputs,
    expected: Expected,
    settings: Settings,
    seconds: float,
) -> Ready | Result:
    """Build a contender, call it for the first time and compare its result."""
    if contender.missing():
        return replace(blank, status="not installed", reason=f"{contender.needs} is not installed")
    reason = _too_much(contender, sizes, settings, seconds)
    if reason:
        return replace(blank, reason=reason)
    backward = settings.backward and contender.backward
    try:
        began = time.perf_counter()
        run = contender.build(sizes, inputs)
        with torch.no_grad():
            output = run()
        first = time.perf_counter() - began
        error, place = difference(expected, run, inputs, backward=backward)
    except Exception as failure:  # whatever a library raises is told, and the rest is measured
        return replace(blank, reason=f"failed: {_one_line(failure)}")
    checked = replace(blank, error=error, first_seconds=first)
    if not error <= TOLERANCE[output.dtype]:
        return replace(checked, status="refused", reason=_refusal(error, place, output.dtype))
    upstream = torch.randn_like(output) if backward else None
    return Ready(contender, run, upstream, replace(checked, status="measured"))


def _too_much(contender: Contender, sizes: Sizes, settings: Settings, seconds: float) -> str:
    if contender.compiles and not settings.compiled:
        return "compiling takes tens of seconds; asked for by --compiled"
    needed = contender.needed(sizes)
    if needed > settings.memory_bytes:
        return (
            f"needs {needed / GIB:.1f} GiB at least, and may use {settings.memory_bytes / GIB:.1f}"
        )
    if seconds > settings.call_seconds:
        return f"would take {seconds:.0f} s a call, by what it took at smaller sizes"
    return ""


def _refusal(error: float, place: str, dtype: torch.dtype) -> str:
    if error == float("inf"):
        return f"wrong: {place}"
    name = str(dtype).removeprefix("torch.")
    return f"wrong: {place} differs by {error:.1e} of its size; {name} may differ by {TOLERANCE[dtype]:.0e}"


def _one_line(failure: Exception) -> str:
    text = " ".join(str(failure).split()) or "no message"
    return f"{type(failure).__name__}: {text if len(text) <= 160 else text[:157] + '...'}"


def _time(ready: list[Ready], inputs: Inputs, settings: Settings, tell: Tell) -> dict[str, Result]:
    """Time the forward pass, and forward with backward, of all that are ready in the same rounds."""
    calls: dict[str, Callable[[], object]] = {}
    for one in ready:
        calls[f"forward {one.contender.name}"] = _forward(one.run)
        if one.upstream is not None:
            calls[f"both {one.contender.name}"] = _both(one.run, leaves(inputs), one.upstream)
    now = time.thread_time if settings.processor_time else time.perf_counter
    samples = interleave(calls, settings.seconds, lambda share: tell("measuring", share), now)
    ours = [one.contender.name for one in ready if one.contender.ours]
    found = {}
    for one in ready:
        tell(f"memory of {one.contender.name}", 1.0)
        memory = measure_memory(one.run, inputs, one.upstream)
        found[one.contender.name] = _timed(replace(one.result, memory=memory), samples, ours)
    return found


def _timed(result: Result, samples: Samples, ours: list[str]) -> Result:
    """Add times, and ratios to those of ours."""
    name = result.contender
    ratios = {
        f"{mode} {base}": ratio
        for mode in ("forward", "both")
        for base in ours
        if base != name and (ratio := samples.ratio(f"{mode} {name}", f"{mode} {base}"))
    }
    forward, both = samples.timing(f"forward {name}"), samples.timing(f"both {name}")
    return replace(result, forward=forward, both=both, ratios=ratios)


def _forward(run: Run) -> Callable[[], object]:
    def call() -> object:
        with torch.no_grad():
            return run()

    return call


def _both(run: Run, wanted: list[Tensor], upstream: Tensor) -> Callable[[], object]:
    return lambda: torch.autograd.grad(run(), wanted, upstream, allow_unused=True)
