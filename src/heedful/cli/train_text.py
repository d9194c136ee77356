"""`heedful train classify` and `heedful train regress`: an answer to each text, from a person's own tables."""

from __future__ import annotations

from heedful.cli.options import (
    ConfigFile,
    Encoder,
    Json,
    Overwrite,
    Quiet,
    Resume,
    RunOut,
    Sets,
    TextColumn,
    TextLabel,
    TextTarget,
    TrainTexts,
    ValidTexts,
)
from heedful.cli.output import Output


def train_classify(
    train: TrainTexts = None,
    valid: ValidTexts = None,
    out: RunOut = None,
    text: TextColumn = None,
    label: TextLabel = None,
    encoder: Encoder = None,
    config: ConfigFile = None,
    set_: Sets = None,
    resume: Resume = False,
    overwrite: Overwrite = False,
    json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Train a classifier: a label for each text.

    Topics, sentiment, languages, intents: whatever stands beside the texts of a table. With
    data.separator a text has any number of labels. Everything is checked before --out is touched. The run's
    folder holds the configuration, the vocabulary, the best weights, metrics.jsonl and report.html.

    Example:
        heedful train classify --train train.tsv --valid dev.tsv --text sentence --out runs/mood
        heedful train classify --train questions.csv --label topic --encoder transformer --out runs/topics
        heedful train classify --train tagged.jsonl --label tags --set data.separator=, --out runs/tags
        heedful train classify --resume --out runs/mood
    """
    from heedful.cli.settings import ClassifyChoices
    from heedful.cli.training import Start, train_for_a_person

    choices = ClassifyChoices(
        train=train or (),
        valid=valid or (),
        text=text,
        label=label,
        encoder=encoder,
        sets=set_ or (),
    )
    start = Start(out=out, config=config, resume=resume, overwrite=overwrite)
    train_for_a_person(choices, start, Output(json=json, quiet=quiet))


def train_regress(
    train: TrainTexts = None,
    valid: ValidTexts = None,
    out: RunOut = None,
    text: TextColumn = None,
    target: TextTarget = None,
    encoder: Encoder = None,
    config: ConfigFile = None,
    set_: Sets = None,
    resume: Resume = False,
    overwrite: Overwrite = False,
    json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Train a regressor: a number for each text.

    Ratings, prices, solubilities: whatever number stands beside the texts of a table. Errors are told in the
    target's own units. Everything is checked before --out is touched. The run's folder holds the
    configuration, the vocabulary, the best weights, metrics.jsonl and report.html.

    Example:
        heedful train regress --train train.csv --valid dev.csv --text review --target stars --out runs/stars
        heedful train regress --train new.csv --text smiles --target logS --set vocabulary.kind=char --out runs/logS
        heedful train regress --resume --out runs/stars
    """
    from heedful.cli.settings import RegressChoices
    from heedful.cli.training import Start, train_for_a_person

    choices = RegressChoices(
        train=train or (),
        valid=valid or (),
        text=text,
        target=target,
        encoder=encoder,
        sets=set_ or (),
    )
    start = Start(out=out, config=config, resume=resume, overwrite=overwrite)
    train_for_a_person(choices, start, Output(json=json, quiet=quiet))
