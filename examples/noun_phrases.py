"""Noun phrases and their roles as labels of spans, read off the trees of a treebank.

    python examples/noun_phrases.py corpora/ud_en_ewt/en_ewt-ud-dev.conllu.gz phrases-dev.conll

A phrase is a noun, name or pronoun with its determiners, adjectives, numbers and compounds, as far as they stand
beside each other; its kind is what it is to the sentence: SUBJ, OBJ, OBL (in an adverbial) or NMOD (in another
phrase). Where it ends is a matter of the words, and which kind it is, of the sentence. The labels are BIO, so that a
chain of labels has a scheme to keep:

    heedful train tag --train phrases-train.conll --valid phrases-dev.conll --set labels.chain=true --out runs/phrases
"""

from __future__ import annotations

import argparse
import gzip
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import NamedTuple

INSIDE = {"det", "amod", "nummod", "compound", "flat", "nmod:poss", "nmod:desc"}
KINDS = {"nsubj": "SUBJ", "obj": "OBJ", "iobj": "OBJ", "obl": "OBL", "nmod": "NMOD"}


class Token(NamedTuple):
    form: str
    upos: str
    head: int
    relation: str


def sentences(path: Path) -> Iterator[list[Token]]:
    """Yield the tokens of each sentence; ranges and empty nodes are left out."""
    content = path.read_bytes()
    text = (gzip.decompress(content) if path.suffix == ".gz" else content).decode()
    for block in text.strip().split("\n\n"):
        rows = [line.split("\t") for line in block.split("\n")]
        yield [Token(row[1], row[3], int(row[6]), row[7]) for row in rows if row[0].isdecimal()]


def labels(tokens: list[Token]) -> list[str]:
    """Label every phrase that has a kind."""
    found = ["O"] * len(tokens)
    for place, token in enumerate(tokens):
        kind = KINDS.get(token.relation.split(":")[0])
        if kind is None or token.upos not in ("NOUN", "PROPN", "PRON") or token.relation in INSIDE:
            continue
        first = last = place
        while first and belongs(tokens, first - 1, place):
            first -= 1
        while last + 1 < len(tokens) and belongs(tokens, last + 1, place):
            last += 1
        found[first : last + 1] = [f"B-{kind}", *[f"I-{kind}"] * (last - first)]
    return found


def belongs(tokens: list[Token], place: int, noun: int) -> bool:
    """Say whether a token depends on a noun, directly or through others, by relations inside a phrase alone."""
    while tokens[place].relation in INSIDE:
        place = tokens[place].head - 1
        if place == noun:
            return True
    return False


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("treebank", type=Path, help="a file of CoNLL-U, .gz too")
    parser.add_argument("out", type=Path, help="the file to write: a token and its label a line")
    parser.add_argument("--sentences", type=int, help="the first so many alone")
    options = parser.parse_args()
    count = 0
    with options.out.open("w", encoding="utf-8") as out:
        for tokens in islice(sentences(options.treebank), options.sentences):
            for token, label in zip(tokens, labels(tokens), strict=True):
                out.write(f"{token.form}\t{label}\n")
            out.write("\n")
            count += 1
    print(f"{count:,} sentences: {options.out}")


if __name__ == "__main__":
    main()
