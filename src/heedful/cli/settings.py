"""The configuration of a training, put together from a file and from options."""

from __future__ import annotations

import abc
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

from heedful.errors import OptionError, unknown_choice
from heedful.models import MODELS
from heedful.models.encoders import ENCODER_CONFIGS, ENCODERS
from heedful.nn.scores import SCORE_MODULES
from heedful.tasks.base import Predictor
from heedful.tasks.classifying import Classifier
from heedful.tasks.configuration import apply_overrides, build, read_configuration, read_toml
from heedful.tasks.regressing import Regressor
from heedful.tasks.run_folder import CONFIGURATION
from heedful.tasks.tagging import Tagger
from heedful.tasks.translation import Translator

TRANSFORMER = "transformer"


@dataclass(frozen=True, kw_only=True)
class Choices(abc.ABC):
    """What a person chose on the command line; None or empty where nothing was said."""

    predictor: ClassVar[type[Predictor]]
    train: Sequence[str] = ()
    valid: Sequence[str] = ()
    sets: Sequence[str] = ()

    @abc.abstractmethod
    def overrides(self, in_file: Mapping[str, Any]) -> list[str]:
        """Turn the choices but `sets` into `section.key=value`; `in_file` is what the file says.

        Raises: OptionError for a choice that there is not, or that does not go with the file.
        """

    def any(self) -> bool:
        """Whether anything was chosen."""
        return bool(self.overrides({}) or self.sets)

    def data(self, **more: Sequence[str]) -> list[str]:
        """Turn --train, --valid and other lists of the section `data` into overrides."""
        lists = {"train": self.train, "valid": self.valid, **more}
        return [
            f"data.{name}={json.dumps(list(value), ensure_ascii=False)}"
            for name, value in lists.items()
            if value
        ]


@dataclass(frozen=True, kw_only=True)
class TranslationChoices(Choices):
    """The choices of `heedful train translate`."""

    predictor = Translator
    columns: Sequence[str] = ()
    model: str | None = None
    attention: str | None = None

    def overrides(self, in_file: Mapping[str, Any]) -> list[str]:
        return [*self.data(columns=self.columns), *_model(self, in_file.get("model", {}))]


@dataclass(frozen=True, kw_only=True)
class TaggingChoices(Choices):
    """The choices of `heedful train tag`."""

    predictor = Tagger
    column: str | None = None
    encoder: str | None = None

    def overrides(self, in_file: Mapping[str, Any]) -> list[str]:
        column = [] if self.column is None else [f"data.column={json.dumps(self.column)}"]
        encoder = _encoder(self.encoder, in_file.get("encoder", {}), self.predictor.task)
        return [*self.data(), *column, *encoder]


@dataclass(frozen=True, kw_only=True)
class TextChoices(Choices):
    """The choices of `heedful train classify` and `heedful train regress`."""

    text: str | None = None
    encoder: str | None = None

    def columns(self) -> dict[str, str | None]:
        """Name the settings of the section `data` that hold the columns."""
        return {"text": self.text}

    def overrides(self, in_file: Mapping[str, Any]) -> list[str]:
        columns = [
            f"data.{key}={json.dumps(value, ensure_ascii=False)}"
            for key, value in self.columns().items()
            if value is not None
        ]
        encoder = _encoder(self.encoder, in_file.get("encoder", {}), self.predictor.task)
        return [*self.data(), *columns, *encoder]


@dataclass(frozen=True, kw_only=True)
class ClassifyChoices(TextChoices):
    """The choices of `heedful train classify`."""

    predictor = Classifier
    label: str | None = None

    def columns(self) -> dict[str, str | None]:
        return {"text": self.text, "label": self.label}


@dataclass(frozen=True, kw_only=True)
class RegressChoices(TextChoices):
    """The choices of `heedful train regress`."""

    predictor = Regressor
    target: str | None = None

    def columns(self) -> dict[str, str | None]:
        return {"text": self.text, "target": self.target}


def _encoder(name: str | None, section: object, task: str) -> list[str]:
    """Turn --encoder into a setting; a file's settings of another encoder cannot be kept."""
    if name is None:
        return []
    if name not in ENCODERS:
        raise unknown_choice("--encoder", name, ENCODERS)
    in_file = section if isinstance(section, dict) else {}
    settings = set(in_file) - {"kind"}
    if unknown := settings - set(ENCODER_CONFIGS[name].model_fields):
        raise OptionError(
            f"--encoder {name}, but the configuration file sets encoder.{min(unknown)}, which it does not "
            f"have; leave that out of the file, or start from `heedful config {task} --encoder {name}`"
        )
    return [f'encoder.kind="{name}"']


def configure(path: Path | None, choices: Choices) -> Any:
    """Lay the choices over the configuration file, or over the defaults; `--set` comes last.

    Raises: OptionError naming file and line, or the option, and the nearest valid name.
    """
    kind = choices.predictor.configuration
    values = {} if path is None else apply_overrides(kind, read_toml(path), ())
    overrides = [*choices.overrides(values), *choices.sets]
    if path is not None:
        return read_configuration(kind, path, overrides)
    return build(kind, apply_overrides(kind, {}, overrides))


def configure_run(path: Path | None, choices: Choices, run: Path | None) -> Any:
    """As `configure`; for a run that goes on, its own configuration is the base unless a file is given.

    Raises: OptionError as `configure`; RunError for a folder that holds no such run.
    """
    if run is None:
        return configure(path, choices)
    config = choices.predictor.load_config(run)
    if path is None and not choices.any():
        return config
    return configure(path or run / CONFIGURATION, choices)


def _model(choices: TranslationChoices, section: object) -> list[str]:
    """Turn --model and --attention into settings of the section `model`, of which a file has some."""
    in_file = section if isinstance(section, dict) else {}
    file_kind = str(in_file.get("kind", TRANSFORMER))
    overrides = []
    kind = file_kind
    if choices.model is not None:
        kind = choices.model
        if kind not in MODELS:
            raise unknown_choice("--model", kind, MODELS)
        if len(in_file) > 1 and (kind == TRANSFORMER) != (file_kind == TRANSFORMER):
            raise OptionError(
                f"--model {kind}, but the configuration file describes a {file_kind}, whose settings a "
                f"{kind} does not have; start from `heedful config translate --model {kind}`"
            )
        overrides.append(f'model.kind="{kind}"')
    for setting in choices.sets:
        name, _, value = setting.partition("=")
        if name.strip() == "model.kind":
            kind = value.strip().strip("\"'")
    if choices.attention is not None:
        overrides.append(_attention(choices.attention, kind))
    return overrides


def _attention(name: str, kind: str) -> str:
    names = [*SCORE_MODULES] if kind == TRANSFORMER else ["none", *SCORE_MODULES]
    if kind == TRANSFORMER and name == "none":
        others = " or ".join(other for other in MODELS if other != TRANSFORMER)
        raise OptionError(
            f"a transformer is made of attention; --attention none goes with --model {others}"
        )
    if name not in names:
        raise unknown_choice("--attention", name, names)
    key = "score" if kind == TRANSFORMER else "attention"
    return f'model.{key}="{name}"'
