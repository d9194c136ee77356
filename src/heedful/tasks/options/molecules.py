"""Options of molecules."""

from __future__ import annotations

from typing import Final

from heedful.tasks.options.base import TaskOption
from heedful.tasks.options.texts import ENCODING, train_files, valid_files

MOLECULES: Final = (
    train_files(
        "Training table, one SMILES and its target per row: .csv, .tsv or .jsonl. May be gzipped; repeatable."
    ),
    valid_files(
        "Validation table to select the best checkpoint, in the same format.",
        default="10% of --train, or the part that --split chooses",
    ),
    TaskOption(
        name="smiles",
        setting="data.text",
        metavar="NAME",
        help="SMILES column.",
        default="smiles",
    ),
    TaskOption(
        name="view",
        setting="inputs.view",
        metavar="NAME",
        help="What is read of a molecule: atoms; characters, of its SMILES; or both, by an ensemble.",
        default="atoms",
    ),
    TaskOption(
        name="split",
        setting="data.split",
        metavar="NAME",
        help="Divide --train into training, validation and test parts: random, scaffold or scaffold_balanced.",
        default="none: a share is split off for validation",
    ),
    TaskOption(
        name="splits_file",
        setting="data.splits_file",
        metavar="FILE",
        help="Divide --train as a JSON file says, with the rows of train, val and test.",
    ),
    TaskOption(
        name="splits_column",
        setting="data.splits_column",
        metavar="NAME",
        help="Divide --train as a column says: train, val or test.",
    ),
    ENCODING,
    TaskOption(
        name="skip_bad",
        setting="data.skip_bad",
        metavar="",
        help="Leave out rows whose SMILES cannot be read, or without an answer; the run lists them in skipped.txt.",
        flag=True,
    ),
)
