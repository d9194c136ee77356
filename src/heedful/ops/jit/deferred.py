# mypy: disallow-subclassing-any=false, disallow-untyped-calls=false, disallow-untyped-decorators=false
"""A pipeline of Numba that optimizes no function by itself, only the entry that all of them are linked into.

Numba finishes each function it compiles: it links the functions called, runs all of LLVM's optimizations over the
whole and emits machine code. Of helpers that call helpers everything is optimized once for each level, and again in the
kernel and in its entry, and only the last result is used. This took more than half of the time of compiling.
"""

from __future__ import annotations

from typing import Any

from numba import _dynfunc  # type: ignore[attr-defined]
from numba.core.codegen import JITCodeLibrary
from numba.core.compiler import CompilerBase, DefaultPassBuilder, _LowerResult
from numba.core.compiler_machinery import register_pass
from numba.core.typed_passes import NativeLowering


class DeferredLibrary(JITCodeLibrary):
    """A function and those that it calls, to be linked, not to be called.

    Numba's cheap passes over a single function are kept: sparse normalizers run 5 to 10 % slower without them.
    """

    def _optimize_final_module(self) -> None:
        pass

    def _finalize_final_module(self) -> None:
        self._finalize_dynamic_globals()
        self._finalized = True


@register_pass(mutates_CFG=True, analysis_only=False)
class DeferredLowering(NativeLowering):
    """Lowers a function into a `DeferredLibrary`, and declares it to callers as Numba's own pass does."""

    _name = "heedful_deferred_lowering"

    def run_pass(self, state: Any) -> bool:
        """Lower the function; what callers find it by is an object without an address."""
        library = DeferredLibrary(state.targetctx.codegen(), state.func_id.func_qualname)
        state.library = library
        super().run_pass(state)
        library.finalize()
        lowered = state["cr"]
        descriptor = lowered.fndesc
        handle = _dynfunc.make_function(
            descriptor.lookup_module(), descriptor.qualname, "", 0, lowered.env, (library,)
        )
        state.targetctx.insert_user_function(handle, descriptor, [library])
        state["cr"] = _LowerResult(descriptor, lowered.call_helper, cfunc=handle, env=lowered.env)
        return True


class DeferredCompiler(CompilerBase):
    """Numba's pipeline with `DeferredLowering`, and without wrappers that nothing would call."""

    def __init__(self, typingctx: Any, targetctx: Any, library: Any, *others: Any) -> None:
        flags = others[2]  # after the types of the arguments and of the result
        flags.no_compile = flags.no_cpython_wrapper = flags.no_cfunc_wrapper = True
        super().__init__(typingctx, targetctx, library, *others)

    def define_pipelines(self) -> list[Any]:
        """Numba's passes, of which one is replaced."""
        pipeline = DefaultPassBuilder.define_nopython_pipeline(self.state)
        pipeline.passes = [
            (DeferredLowering if one is NativeLowering else one, name)
            for one, name in pipeline.passes
        ]
        pipeline.finalize()
        return [pipeline]
