"""Base class of configurations, and fields whose choices are the names of a table."""

from __future__ import annotations

import inspect
from collections.abc import Collection
from copy import copy
from typing import Any, Literal, get_args, get_origin

from pydantic import BaseModel, ConfigDict, GetCoreSchemaHandler, GetJsonSchemaHandler
from pydantic.fields import FieldInfo
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema, core_schema

from heedful.errors import OptionError, unknown_choice


class Section(BaseModel):
    """A frozen configuration in which an unknown key is an error.

    A subclass gives an inherited field another default by `name: type = default`: its limits and its description
    stay. The description of a field that is a section is the first line of that section's docstring.

    >>> from pydantic import Field
    >>> class Training(Section):
    ...     "How a model is trained."
    ...     epochs: int = Field(30, ge=1, description="Most passes over the training data.")
    >>> class Short(Training):
    ...     epochs: int = 5
    >>> Short().epochs, Short.model_fields["epochs"].description
    (5, 'Most passes over the training data.')
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    @classmethod
    def __pydantic_init_subclass__(cls, **kwargs: Any) -> None:
        super().__pydantic_init_subclass__(**kwargs)
        inherited = {
            name: field
            for parent in reversed(cls.__mro__[1:])
            if issubclass(parent, Section)
            for name, field in parent.model_fields.items()
        }
        for name, field in cls.model_fields.items():
            if field.description is None:
                cls.model_fields[name] = _described(field, inherited.get(name))
        cls.model_rebuild(force=True, raise_errors=False)


def _described(field: FieldInfo, inherited: FieldInfo | None) -> FieldInfo:
    """Return a field with the first line of its section, or what the field that it redeclares says."""
    found = copy(field)
    if isinstance(field.annotation, type) and issubclass(field.annotation, Section):
        found.description = (inspect.getdoc(field.annotation) or "").partition("\n")[0]
    elif inherited is not None:
        found.description = inherited.description
        found.metadata = field.metadata or inherited.metadata
    return found


class OneOf:
    """Annotation of a text field that must be a name in a table.

    The names are read at each use, so that an entry added to the table is a choice at once.

    Args:
        what: what the names are of, for error messages.
        table: the table, or any collection of names.
        others: names that are allowed besides.

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
        """The names that are allowed."""
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
    """Return the names that a field of a configuration may have; none if it takes any value.

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
    """Raise OptionError unless the setting `name` divides `of`: heads share out features evenly.

    The modules check the same, but name their arguments and not the settings of a configuration.

    >>> check_divides("heads", 3, "width", 32)
    Traceback (most recent call last):
    heedful.errors.OptionError: heads = 3 does not divide width = 32; choose heads among the divisors of 32
    """
    if number % divisor:
        raise OptionError(
            f"{name} = {divisor} does not divide {of} = {number}; choose {name} among the divisors of {number}"
        )
