"""Damaged SMILES and tables: each gives molecules, or one message that names file and line."""

from __future__ import annotations

import contextlib
import random
import string
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from heedful.config import build
from heedful.data.molecules.descriptors import descriptors
from heedful.data.molecules.molecule import Molecule, canonical_smiles, random_smiles
from heedful.data.molecules.spelling import character_ids
from heedful.data.molecules.splits import load_splits, scaffold
from heedful.errors import MESSAGE, DataError, HeedfulError
from heedful.tasks.molecules import REGRESS, RegressMoleculesConfig

pytest.importorskip("rdkit")

SOUND = [
    "CC(=O)Oc1ccccc1C(=O)O", "[Na+].[Cl-]", "F/C=C\\F", "N[C@@H](C)C(=O)O", "C1CC2CCC1CC2", "[13CH4]",
    "O=[N+]([O-])c1ccc(Cl)cc1Br", "*C", "[H][H]", "C1CCC%10CCCC%10C1",
]  # fmt: skip
ALPHABET = "CNOPSFIBrcl()[]=#$:/\\.+-@%*0123456789Hn \t\"',;\x00é→" + string.ascii_letters


def damaged(generator: random.Random) -> str:
    text = list(generator.choice(SOUND))
    for _ in range(generator.randint(1, 4)):
        place = generator.randrange(len(text) + 1)
        match generator.randrange(4):
            case 0:
                text.insert(place, generator.choice(ALPHABET))
            case 1:
                text[place : place + generator.randint(1, 5)] = []
            case 2:
                text[place:place] = text[: generator.randint(0, len(text))]
            case _:
                text[place : place + 1] = [generator.choice(ALPHABET)]
    return "".join(text)


def test_damaged_smiles_are_molecules_or_one_message() -> None:
    generator, read = random.Random(0), 0
    messages: list[str] = []
    for _ in range(1500):
        smiles = damaged(generator)
        try:
            molecule = Molecule.of(smiles)
        except DataError as error:
            messages.append(str(error))
            continue
        read += 1
        assert molecule.bonds.max(initial=-1) < len(molecule.atoms)
        assert scaffold(smiles) is not None
        character_ids(canonical_smiles(random_smiles(smiles, 1)))
        if read % 40 == 0:
            assert not np.isinf(descriptors([smiles])).any()
    assert 100 < read < 1400
    assert max(map(len, messages)) < MESSAGE
    assert not any("\n" in message for message in messages)


@settings(max_examples=60, deadline=None)
@given(st.text(max_size=30))
def test_any_text(text: str) -> None:
    with contextlib.suppress(DataError):
        Molecule.of(text)


@pytest.mark.parametrize("seed", range(3))
def test_damaged_tables(tmp_path: Path, seed: int) -> None:
    generator = random.Random(seed)
    sound = "\n".join(["smiles,target", *(f"{each},{n}" for n, each in enumerate(SOUND)), ""])
    path = tmp_path / "table.csv"
    data = build(RegressMoleculesConfig, {"data": {"train": [str(path)]}}).data
    messages, read = [], 0
    for _ in range(120):
        content = bytearray(sound.encode())
        for _ in range(generator.randint(1, 3)):
            content[generator.randrange(len(content))] = generator.choice(b'CcNO01.,=()\n\x00\xff"')
        path.write_bytes(bytes(content))
        try:
            REGRESS.reader.read_files([str(path)], data, "train")
            read += 1
        except HeedfulError as error:
            messages.append(str(error))
    assert read, messages[:5]
    assert messages
    assert all(str(path) in message for message in messages)


@pytest.mark.parametrize("seed", range(3))
def test_damaged_splits(tmp_path: Path, seed: int) -> None:
    generator = random.Random(seed)
    path = tmp_path / "splits.json"
    sound = b'[{"train": [0, 1, 2, 3], "val": "4-5", "test": [6, 7]}]'
    messages = []
    for _ in range(150):
        content = bytearray(sound)
        for _ in range(generator.randint(1, 3)):
            content[generator.randrange(len(content))] = generator.choice(b'0123456789[]{}",-:. tn')
        path.write_bytes(bytes(content))
        try:
            found = load_splits(path, 8)
        except DataError as error:
            messages.append(str(error))
            continue
        for split in found:
            rows = [row for part in split for row in part]
            assert all(0 <= row < 8 for row in rows)
    assert all(str(path) in message for message in messages)


@pytest.mark.parametrize(
    "huge",
    [
        '"0-9999999999"',
        "[1e400]",
        "[1e308]",
        '"' + "9" * 5000 + '"',
        "[NaN]",
        "[3.5]",
        "[true]",
        "3",
        "null",
    ],
)
def test_splits_that_claim_too_much(tmp_path: Path, huge: str) -> None:
    path = tmp_path / "splits.json"
    path.write_text(f'[{{"train": {huge}, "val": [1], "test": [2]}}]')
    with pytest.raises(DataError):
        load_splits(path, 8)
