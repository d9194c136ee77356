"""Base class of the parts of a call: scores, masks, normalizers and position biases."""

from __future__ import annotations

from typing import Any, ClassVar


def is_own(kind: type) -> bool:
    """Whether a class belongs to this package."""
    return kind.__module__.split(".")[0] == __name__.split(".")[0]


class CallPart:
    """A score, mask, normalizer or position bias: an argument of `attend` that is no tensor.

    `is_static`: the value holds no tensor and compares by its fields (a frozen dataclass with `eq`), so it can be
    part of the signature of a call. It is not inherited: each subclass sets it. It counts for classes of this package
    alone, whose fields are known to say all that a value says.
    """

    is_static: ClassVar[bool] = False

    def __init_subclass__(cls, **options: Any) -> None:
        super().__init_subclass__(**options)
        cls.is_static = cls.__dict__.get("is_static", False) and is_own(cls)
