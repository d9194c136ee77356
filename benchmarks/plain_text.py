"""How well plain text is split into the tokens of a CoNLL-U file.

    python -m benchmarks.plain_text TRAIN.conllu DEV.conllu [--joined]

The rule learns the words that occur twice or more in TRAIN. The lines `# text = …` of DEV are split by it and compared
with the tokens of the file, as spans of characters; sentences with multiword tokens are compared by their parts where
these can be found in the text, and left out otherwise. With --joined the text is the tokens without spaces, for a file
of a script without spaces that has no such lines.
"""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Iterator, Sequence

from heedful.data.label_text import TokenRule
from heedful.data.labelled import LabelledFile, Sentence, iterate_sentences

TEXT = "# text = "


def gold_spans(text: str, tokens: Sequence[str]) -> set[tuple[int, int]] | None:
    """Return the spans of tokens in a text; None if one is not found.

    >>> sorted(gold_spans("I can't", ["I", "ca", "n't"]))
    [(0, 1), (2, 4), (4, 7)]
    """
    spans, start = set(), 0
    for token in tokens:
        start = text.find(token, start)
        if start < 0:
            return None
        spans.add((start, start + len(token)))
        start += len(token)
    return spans


def texts(path: str, *, joined: bool) -> Iterator[tuple[str, Sentence]]:
    """Yield the text and the tokens of each sentence."""
    for sentence in iterate_sentences(path, LabelledFile()):
        if joined and sentence.tokens:
            yield "".join(sentence.tokens), sentence
            continue
        written = [line for line in sentence.lines if line.startswith(TEXT)]
        if written and sentence.tokens:
            yield written[0].removeprefix(TEXT), sentence


def main() -> None:
    """Print precision, recall and F1 of the tokens."""
    train, dev, *options = sys.argv[1:]
    counts = Counter(
        token for sentence in iterate_sentences(train, LabelledFile()) for token in sentence.tokens
    )
    rule = TokenRule.learn([word for word, count in counts.items() if count > 1])
    right = found = true = skipped = 0
    for text, sentence in texts(dev, joined="--joined" in options):
        gold = gold_spans(text, sentence.tokens)
        if gold is None:
            skipped += 1
            continue
        spans = set(rule.spans(text))
        right, found, true = right + len(spans & gold), found + len(spans), true + len(gold)
    precision, recall = right / found, right / true
    print(f"precision {precision:.4f}, recall {recall:.4f}, F1 {2 * right / (found + true):.4f}")
    print(f"{true:,} tokens; {skipped} sentences left out")


if __name__ == "__main__":
    main()
