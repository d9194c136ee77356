from __future__ import annotations

from typing import Annotated, Literal

import pytest
from pydantic import BaseModel, ConfigDict, Field

from heedful.config import (
    apply_overrides,
    build,
    read_configuration,
    read_toml,
    write_toml,
)
from heedful.errors import OptionError


class Section(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Fast(Section):
    kind: Literal["fast"] = "fast"
    speed: float = Field(1e-9, description="How fast.")


class Slow(Section):
    kind: Literal["slow"] = "slow"
    patience: int = Field(3, ge=1, description="How patient.")


class Inner(Section):
    deep: str = Field('a "quoted" \\ text\twith 猫 and \x7f', description="Text of any kind.")


class Whole(Section):
    """An example.

    Not shown.
    """

    title: str = Field("t", description="A top-level key.")
    engine: Annotated[Fast | Slow, Field(discriminator="kind")] = Field(
        default_factory=Fast, description="One of two. " * 20
    )
    names: tuple[str, ...] = Field(("a", "b"), description="A list.")
    unset: int | None = Field(None, description="Nothing yet.")
    flag: bool = Field(True, description="Yes or no.")
    inner: Inner = Inner()


def test_written_configuration_reads_back_equal(tmp_path):
    for whole in (
        Whole(),
        Whole(engine=Slow(patience=9), names=(), unset=7, flag=False, title=""),
    ):
        path = tmp_path / "config.toml"
        text = write_toml(whole)
        path.write_text(text, encoding="utf-8")
        assert read_configuration(Whole, path) == whole
        assert text.startswith("# An example.\n")
        assert "# How" in text
        assert "Not shown" not in text
        assert max(map(len, text.splitlines())) <= 100


def test_an_unset_key_is_named():
    assert "# unset is not set" in write_toml(Whole())


def test_overrides_are_toml_or_else_text():
    values = apply_overrides(
        Whole,
        {"engine": {"speed": 1.0}},
        ["engine.speed=2.5", "names=['x']", "title=a b", "flag=false"],
    )
    assert values == {"engine": {"speed": 2.5}, "names": ["x"], "title": "a b", "flag": False}


def test_overrides_leave_the_given_values_alone():
    given = {"engine": {"speed": 1.0}}
    apply_overrides(Whole, given, ["engine.speed=2.5"])
    assert given == {"engine": {"speed": 1.0}}


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("engine.sped=1", r"unknown key 'engine.sped'; did you mean 'engine.speed'\?"),
        ("engin.speed=1", r"unknown section or key 'engin'; did you mean 'engine'\?"),
        ("inner.speed=1", r"unknown key 'inner.speed'; did you mean 'engine.speed'\?"),
        ("inner.zzzzz=1", r"unknown key 'inner.zzzzz'. The choices are: deep"),
        ("engine=1", "engine is a section; give one of its keys: kind, speed, patience"),
        ("title.x=1", "title is a value, not a section; write title=…"),
        ("engine.speed", "is malformed; write section.key=value"),
        ("=3", "is malformed; write section.key=value"),
    ],
)
def test_bad_overrides(override, message):
    with pytest.raises(OptionError, match=message):
        apply_overrides(Whole, {}, [override])


def test_an_override_into_a_value_of_the_file():
    with pytest.raises(OptionError, match="'engine' is a value, not a section"):
        apply_overrides(Whole, {"engine": 3}, ["engine.speed=1"])


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("title = 1 2", r"config.toml, line 1: Expected newline"),
        (
            "[engine]\nsped = 1",
            r"config.toml, line 2: unknown key 'engine.sped'; did you mean 'engine.speed'",
        ),
        (
            "\n[engin]\nspeed = 1",
            r"config.toml, line 2: unknown section or key 'engin'; did you mean 'engine'",
        ),
        (
            "[engine]\nkind = 'slow'\npatience = 0",
            r"config.toml, line 3: engine.patience: Input should be greater than or equal to 1 \(got 0\)",
        ),
        ("[engine]\nkind = 'slow'\nspeed = 0.1", r"line 3: unknown key 'engine.speed'"),
        (
            "[engine]\nkind = 'slw'",
            r"config.toml, line 2: unknown engine.kind 'slw'; did you mean 'slow'\? The choices are: ",
        ),
        ("flag = 'perhaps'", r"line 1: flag: .*valid boolean.* \(got 'perhaps'\)"),
        ("[inner.deep]\nx = 1", r"inner.deep: Input should be a valid string"),
    ],
)
def test_bad_files_name_file_and_line(tmp_path, text, message):
    path = tmp_path / "config.toml"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(OptionError, match=message):
        read_configuration(Whole, path)


def test_a_bad_override_of_a_file_without_the_key_names_the_key(tmp_path):
    path = tmp_path / "config.toml"
    path.write_text("", encoding="utf-8")
    with pytest.raises(OptionError, match=r"engine\.patience: Input should be greater"):
        read_configuration(Whole, path, ["engine.kind=slow", "engine.patience=0"])


def test_unreadable_files(tmp_path):
    with pytest.raises(OptionError, match="does not exist"):
        read_toml(tmp_path / "none.toml")
    with pytest.raises(OptionError, match="cannot be read"):
        read_toml(tmp_path)
    path = tmp_path / "latin.toml"
    path.write_bytes(b'a = 1\nb = "\xe9"\n')
    with pytest.raises(OptionError, match=r"latin.toml, line 2: not valid UTF-8"):
        read_toml(path)


def test_several_errors_are_all_told():
    with pytest.raises(OptionError) as caught:
        build(Whole, {"titel": "x", "flag": "perhaps"})
    assert "did you mean 'title'" in str(caught.value)
    assert "flag: " in str(caught.value)
