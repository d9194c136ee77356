"""Fields whose choices are the names of a table."""

from __future__ import annotations

from typing import Annotated, Any, Literal

import pytest
from pydantic import Field, ValidationError

from heedful.config import build, write_toml
from heedful.errors import OptionError
from heedful.models.config import OneOf, Section, choices_of

TABLE = {"dot": 1, "additive": 2}


class Sizes(Section):
    """Sizes."""

    score: Annotated[str, OneOf("score", TABLE, "none")] = Field("dot", description="How.")
    said: Annotated[str, OneOf("score", TABLE)] = Field(
        "dot", description="Either dot or additive."
    )
    order: Literal["before", "after"] = Field("before", description="When.")
    layers: int = Field(1, description="How many.")


def test_names_of_the_table_and_the_others_are_valid() -> None:
    for name in ("dot", "additive", "none"):
        assert Sizes(score=name).score == name
    with pytest.raises(ValidationError, match="unknown score 'none'"):
        Sizes(said="none")


@pytest.mark.parametrize("wrong", [3, None, ["dot"]])
def test_what_is_no_text_is_refused(wrong: Any) -> None:
    with pytest.raises(ValidationError, match="valid string"):
        Sizes(score=wrong)


def test_a_wrong_name_lists_the_choices_and_the_nearest_one_once() -> None:
    with pytest.raises(OptionError) as caught:
        build(Sizes, {"score": "aditive"})
    assert str(caught.value) == (
        "score: unknown score 'aditive'; did you mean 'additive'? The choices are: none, dot, additive."
    )


def test_an_entry_that_is_added_is_a_choice(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(TABLE, "mine", 3)
    assert Sizes(score="mine").score == "mine"
    assert choices_of(Sizes.model_fields["score"]) == ("none", "dot", "additive", "mine")


def test_the_schema_lists_the_choices() -> None:
    properties = Sizes.model_json_schema()["properties"]
    assert properties["score"]["enum"] == ["none", "dot", "additive"]
    assert properties["score"]["type"] == "string"
    assert properties["score"]["description"] == "How."


def test_a_written_configuration_lists_the_choices_that_the_description_does_not() -> None:
    lines = write_toml(Sizes()).splitlines()
    assert "# How. One of: none, dot, additive." in lines
    assert "# Either dot or additive." in lines
    assert "# When. One of: before, after." in lines
    assert "# How many." in lines


class Training(Section):
    """How a model is trained.

    More is said here.
    """

    epochs: int = Field(30, ge=1, description="Passes over the data.")
    score: Annotated[str, OneOf("score", ["dot", "additive"])] = Field(
        "dot", description="A score."
    )


class Short(Training):
    """Quickly."""

    epochs: int = 5
    score: Annotated[str, OneOf("score", ["cosine"])] = "cosine"


class Whole(Section):
    training: Training = Training()


class ShortWhole(Whole):
    training: Short = Short()


def test_another_default_keeps_limits_and_description() -> None:
    field = Short.model_fields["epochs"]
    assert (Short().epochs, field.description) == (5, "Passes over the data.")
    with pytest.raises(ValidationError, match="greater than or equal to 1"):
        Short(epochs=0)
    assert Training.model_fields["epochs"].default == 30


def test_another_choice_replaces_the_choices_and_keeps_the_description() -> None:
    assert choices_of(Short.model_fields["score"]) == ("cosine",)
    assert Short.model_fields["score"].description == "A score."
    with pytest.raises(ValidationError, match="unknown score 'dot'"):
        Short(score="dot")


def test_a_section_is_described_by_its_own_docstring() -> None:
    assert Whole.model_fields["training"].description == "How a model is trained."
    assert ShortWhole.model_fields["training"].description == "Quickly."
    assert ShortWhole.model_validate({"training": {"score": "cosine"}}).training.epochs == 5
