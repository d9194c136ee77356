"""`heedful config translate`: a complete commented configuration."""

from __future__ import annotations

import typer

from heedful.cli.options import Attention, Json, Model, Quiet, Sets


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
    from heedful.cli.output import write_json
    from heedful.cli.settings import TranslationChoices, configure
    from heedful.tasks.configuration import write_toml

    config = configure(None, TranslationChoices(model=model, attention=attention, sets=set_ or ()))
    if json:
        write_json(config.model_dump(mode="json"))
    else:
        typer.echo(write_toml(config), nl=False)
