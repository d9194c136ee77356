"""What scores, masks, normalizers and position biases have in common: values that `attend` is given."""

from __future__ import annotations

from typing import Any, ClassVar


class CallPart:
    """A value that says how a call of `attend` is computed.

    `is_static` says that it holds no tensor and that equal values are equal by their fields (a frozen dataclass with
    `eq`), so that the value itself can stand in the signature of a call. A subclass has to say so itself.
    """

    is_static: ClassVar[bool] = False

    def __init_subclass__(cls, **options: Any) -> None:
        super().__init_subclass__(**options)
        cls.is_static = cls.__dict__.get("is_static", False)
