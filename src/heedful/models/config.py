"""Base class of configurations, and fields whose choices are the names of a table."""

from __future__ import annotations

import inspect
from collections.abc import Collection
from copy import copy
from typing import Annotated, Any, Final, Literal, get_args, get_origin

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    GetCoreSchemaHandler,
    GetJsonSchemaHandler,
    field_validator,
)
from pydantic.fields import FieldInfo
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema, core_schema

from heedful.errors import OptionError, unknown_choice

LARGEST: Final = 2**53
"""Whole numbers in a configuration are below this, so that sums and floating-point numbers of them are exact."""

PredictionBatch = Annotated[int, Field(ge=1, le=2**24)]
"""Positions in a batch of predictions, padding included."""
Chunk = Annotated[int, Field(ge=1, le=2**20)]
"""Examples that are read and sorted by length at once."""


class Section(BaseModel):
    """A frozen configuration in which an unknown key is an error.

    A subclass overrides the default of an inherited field by `name: type = default`; limits and description are
    inherited. The description of a field that is a section is the first line of that section's docstring.

    >>> from pydantic import Field
    >>> class Training(Section):
    ...     "How a model is trained."
    ...     epochs: int = Field(30, ge=1, description="Maximum passes over the training data.")
    >>> class Short(Training):
    ...     epochs: int = 5
    >>> class Config(Section):
    ...     training: Short = Short()
    >>> Config().training.epochs, Short.model_fields["epochs"].description, Config.model_fields["training"].description
    (5, 'Maximum passes over the training data.', 'How a model is trained.')
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    @field_validator("*", mode="after")
    @classmethod
    def _check_range(cls, value: Any) -> Any:
        numbers = value if isinstance(value, tuple) else (value,)
        if any(isinstance(each, int) and abs(each) >= LARGEST for each in numbers):
            raise ValueError(f"must be below 2 ** {LARGEST.bit_length() - 1} in size")
        return value

    @classmethod
    def __pydantic_init_subclass__(cls, **kwargs: Any) -> None:
        super().__pydantic_init_subclass__(**kwargs)
        # Depth 4 is the frame of the class statement; its names may be needed to resolve annotations.
        cls.model_rebuild(raise_errors=False, _parent_namespace_depth=4)
        inherited = {
            name: field
            for parent in reversed(cls.__mro__[1:])
            if issubclass(parent, Section)
            for name, field in parent.model_fields.items()
        }
        for name, field in cls.model_fields.items():
            if field.description is None:
                cls.model_fields[name] = _described(field, inherited.get(name))
        # Names of the class statement's own scope are looked up four frames up; what is not found there pydantic
        # resolves at first use.
        cls.model_rebuild(force=True, raise_errors=False, _parent_namespace_depth=4)


def _described(field: FieldInfo, inherited: FieldInfo | None) -> FieldInfo:
    """Return a copy of a field with the description of its section or of the field that it overrides."""
    described = copy(field)
    if isinstance(field.annotation, type) and issubclass(field.annotation, Section):
        described.description = (inspect.getdoc(field.annotation) or "").partition("\n")[0]
    elif inherited is not None:
        described.description = inherited.description
        described.metadata = field.metadata or inherited.metadata
    return described


class OneOf:
    """Annotation of a string field whose value must be a name in a table, looked up at validation.

    Args:
        what: noun for the names, for error messages.
        table: the table, or any collection of names.
        others: further allowed names.

    >>> from typing import Annotated
    >>> from heedful.nn import SCORE_MODULES
    >>> class Config(Section):
    ...     score: Annotated[str, OneOf("score", SCORE_MODULES)] = "dot"
    >>> Config(score="bilinaer")  # doctest: +ELLIPSIS
    Traceback (most recent call last):
    pydantic_core._pydantic_core.ValidationError: 1 validation error for Config
    score
      Value error, unknown score 'bilinaer'; did you mean 'bilinear'? The choices are: dot, scaled_dot, ...
    """

    def __init__(self, what: str, table: Collection[str], *others: str):
        self.what, self.table, self.others = what, table, others

    @property
    def names(self) -> tuple[str, ...]:
        """The allowed names."""
        return (*self.others, *self.table)

    def _check(self, name: str) -> str:
        if name not in self.names:
            raise unknown_choice(self.what, name, self.names)
        return name

    def __get_pydantic_core_schema__(
        self, source: Any, handler: GetCoreSchemaHandler
    ) -> CoreSchema:
        return core_schema.no_info_after_validator_function(self._check, handler(source))

    def __get_pydantic_json_schema__(
        self, schema: CoreSchema, handler: GetJsonSchemaHandler
    ) -> JsonSchemaValue:
        return {**handler(schema), "enum": list(self.names)}


def choices_of(field: FieldInfo) -> tuple[str, ...]:
    """Return the allowed names of a configuration field; empty if any value is allowed.

    >>> from typing import Annotated
    >>> class Config(Section):
    ...     score: Annotated[str, OneOf("score", ["dot", "additive"])] = "dot"
    ...     order: Literal["before", "after"] = "before"
    ...     layers: int = 1
    >>> [choices_of(field) for field in type(Config()).model_fields.values()]
    [('dot', 'additive'), ('before', 'after'), ()]
    """
    for annotation in field.metadata:
        if isinstance(annotation, OneOf):
            return annotation.names
    return get_args(field.annotation) if get_origin(field.annotation) is Literal else ()


def check_divides(name: str, divisor: int, of: str, number: int) -> None:
    """Raise OptionError unless the setting `name` divides the setting `of`.

    Modules check the same, but their errors name arguments, not configuration settings.

    >>> check_divides("heads", 3, "width", 32)
    Traceback (most recent call last):
    heedful.errors.OptionError: heads = 3 does not divide width = 32; choose heads among the divisors of 32
    """
    if number % divisor:
        raise OptionError(
            f"{name} = {divisor} does not divide {of} = {number}; choose {name} among the divisors of {number}"
        )
