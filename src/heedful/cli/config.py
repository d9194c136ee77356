"""`heedful config`: a complete commented configuration of a task."""

from __future__ import annotations

from typing import TYPE_CHECKING

import typer

from heedful.cli.options import Attention, Encoder, Json, Model, Quiet, Sets

if TYPE_CHECKING:
    from heedful.cli.settings import Choices


def config_translate(
    model: Model = None,
    attention: Attention = None,
    set_: Sets = None,
    json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Print every setting, its meaning and default.

    Save it, change it, and train with it. What is not in a file has its default.

    Example:
        heedful config translate --model gru --set training.epochs=20 > gru.toml
        heedful train translate --config gru.toml --train builtin:dates --out runs/dates
    """
    from heedful.cli.settings import TranslationChoices

    _print(TranslationChoices(model=model, attention=attention, sets=set_ or ()), json)


def config_tag(
    encoder: Encoder = None,
    set_: Sets = None,
    json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Print every setting of a tagger, its meaning and default.

    Save it, change it, and train with it. What is not in a file has its default.

    Example:
        heedful config tag --encoder transformer --set training.epochs=10 > tagger.toml
        heedful train tag --config tagger.toml --train train.conllu --valid dev.conllu --out runs/pos
    """
    from heedful.cli.settings import TaggingChoices

    _print(TaggingChoices(encoder=encoder, sets=set_ or ()), json)


def config_classify(
    encoder: Encoder = None,
    set_: Sets = None,
    json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Print every setting of a classifier, its meaning and default.

    Save it, change it, and train with it. What is not in a file has its default.

    Example:
        heedful config classify --encoder transformer --set pooling.kind=mean > classifier.toml
        heedful train classify --config classifier.toml --train train.tsv --out runs/topics
    """
    from heedful.cli.settings import ClassifyChoices

    _print(ClassifyChoices(encoder=encoder, sets=set_ or ()), json)


def config_regress(
    encoder: Encoder = None,
    set_: Sets = None,
    json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Print every setting of a regressor, its meaning and default.

    Save it, change it, and train with it. What is not in a file has its default.

    Example:
        heedful config regress --encoder gru > regressor.toml
        heedful train regress --config regressor.toml --train train.csv --out runs/prices
    """
    from heedful.cli.settings import RegressChoices

    _print(RegressChoices(encoder=encoder, sets=set_ or ()), json)


def _print(choices: Choices, json: bool) -> None:
    from heedful.cli.output import write_json
    from heedful.cli.settings import configure
    from heedful.tasks.configuration import write_toml

    config = configure(None, choices)
    if json:
        write_json(config.model_dump(mode="json"))
    else:
        typer.echo(write_toml(config), nl=False)
