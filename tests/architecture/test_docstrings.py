"""Every public class, function and method says what it does; a method may inherit what it says."""

from __future__ import annotations

import importlib
import inspect

from tests.architecture.sources import dotted, source_files

MODULES = [dotted(path) for path in source_files()]


def undescribed(module_name: str) -> list[str]:
    """Return the public names defined in a module, and methods of its classes, without a docstring."""
    module = importlib.import_module(module_name)
    bare = [] if module.__doc__ else [module_name]
    for name, value in vars(module).items():
        is_own = getattr(value, "__module__", None) == module_name
        if (
            name.startswith("_")
            or not is_own
            or not (inspect.isclass(value) or inspect.isfunction(value))
        ):
            continue
        if not inspect.getdoc(value):
            bare.append(name)
        if inspect.isclass(value):
            bare += [
                f"{name}.{method}"
                for method, function in vars(value).items()
                if not method.startswith("_")
                and inspect.isfunction(function)
                and not inspect.getdoc(getattr(value, method))
            ]
    return bare


def test_public_things_have_a_docstring() -> None:
    found = {name: undescribed(name) for name in MODULES if not name.endswith("__main__")}
    assert {name: bare for name, bare in found.items() if bare} == {}
