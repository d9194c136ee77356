"""Tokenizers of text models in one file each, as transformers reads them: from raw text to the ids of the model."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import Any, Final

import regex
from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, processors
from tokenizers import normalizers as norm
from tokenizers import pre_tokenizers as pre

from heedful.data.hf_tokenizers import RESERVED
from heedful.data.lexicon import Lexicon
from heedful.data.tokenization import CHARACTER, SPACE, WORD, WORD_PATTERN, ZERO_WIDTH_SPACE
from heedful.data.vocabulary import UNKNOWN_TEXT, Vocabulary
from heedful.data.words import INVISIBLE, RULES, SPACE_MARK, UNSPACED_SCRIPTS
from heedful.errors import OptionError
from heedful.inputs.text import Text
from heedful.inputs.tokens import Tokens

PADDING, UNKNOWN, _, END = RESERVED
_UNKNOWN_PIECE: Final = "< unknown piece >"

# What `str.split` splits at.
_SPACE: Final = r"\t-\r\x{1c}-\x{1f} \x{85}\x{a0}\x{1680}\x{2000}-\x{200a}\x{2028}\x{2029}\x{202f}\x{205f}\x{3000}"
_IGNORED: Final = r"\p{Case_Ignorable}"
_IGNORED_IN_WORDS: Final = r"[\p{M}\p{Cf}\p{Lm}'’.·]"
"""Case_Ignorable, where words are lower-cased one by one, without what ends a word."""


def vocabulary_tokenizer(vocabulary: Vocabulary, *, ends: bool) -> Tokenizer:
    """Return the tokenizer of a vocabulary; `ends`: with the end token after each text, as sources have it."""
    made = Tokenizer.from_str(vocabulary.tokenizer_json())
    made.normalizer = _marked(vocabulary)
    if ends:
        made.post_processor = processors.TemplateProcessing(
            single=["$A", f"{END}:0"], special_tokens=[(END, vocabulary.end_id)]
        )
    made.decoder = _decoder()
    return _with_special(made, RESERVED)


def text_tokenizer(text: Text) -> Tokenizer:
    """Return the tokenizer of texts as a sequence of words, characters or sub-words that have an embedding.

    Every sub-word must have an embedding of its own (`missing_pieces`).

    Raises: OptionError for a run whose words were learned by version 1 of the rules.
    """
    kind, lexicon, lowercase = text.tokenizer.kind, text.tokens.words, text.tokens.options.lowercase
    if text.tokenizer.pieces is not None:
        return _piece_tokenizer(text.tokenizer.pieces, lexicon)
    _check_rules(text.tokenizer.rules)
    made = Tokenizer(models.WordLevel(_lexicon_ids(lexicon), unk_token=UNKNOWN))
    lower = {WORD: _lower(_IGNORED_IN_WORDS), SPACE: _lower(), CHARACTER: _lower(None)}[kind]
    steps = _normalised(lower if lowercase else [])
    if kind == CHARACTER:
        made.normalizer = norm.Sequence([*steps, norm.Replace(" ", SPACE_MARK)])
        made.pre_tokenizer = pre.Split(Regex(_expanded(r"\X")), "isolated")
        made.decoder = _decoder()
    else:
        made.normalizer = norm.Sequence([norm.Replace(ZERO_WIDTH_SPACE, " "), *steps])
        made.pre_tokenizer = _words() if kind == WORD else pre.Split(Regex(" +"), "removed")
    return _with_special(made, (PADDING, UNKNOWN))


def token_tokenizer(tokens: Tokens) -> Tokenizer:
    """Return the tokenizer of sentences that are lists of tokens: for `is_split_into_words=True`.

    Raises: OptionError for a run whose words were learned by version 1 of the rules.
    """
    _check_rules(tokens.rules)
    made = Tokenizer(models.WordLevel(_lexicon_ids(tokens.words), unk_token=UNKNOWN))
    steps: list[Any] = [norm.Replace(Regex(_INVISIBLE), ""), norm.NFC()]
    if tokens.options.lowercase:
        steps += _lower()[:-1]
    made.normalizer = norm.Sequence(steps)
    made.pre_tokenizer = pre.Split(Regex(rf"[{_SPACE}]+"), "removed")
    return _with_special(made, (PADDING, UNKNOWN))


def missing_pieces(text: Text) -> tuple[str, ...]:
    """Return the sub-words that have no embedding, and share that of unknown words."""
    pieces = text.tokenizer.pieces
    if pieces is None:
        return ()
    return tuple(piece for piece in pieces.learned if piece not in text.tokens.words)


def _piece_tokenizer(pieces: Vocabulary, lexicon: Lexicon) -> Tokenizer:
    """The tokenizer of a vocabulary of sub-words, whose ids are those of a lexicon that has all of them."""
    names = list(_lexicon_ids(lexicon))
    unknown = lexicon.index.get(UNKNOWN_TEXT, 1)
    if unknown != 1:
        names[unknown] = _UNKNOWN_PIECE
    if pieces.kind == "unigram":
        scores = dict(zip(pieces.learned, pieces.scores, strict=True))
        model: Any = models.Unigram(
            [(name, scores.get(name, 0.0)) for name in names], unk_id=unknown, byte_fallback=False
        )
    else:
        ids = {name: index for index, name in enumerate(names)}
        model = models.BPE(vocab=ids, merges=list(pieces.merges), unk_token=names[unknown])
    made = Tokenizer.from_str(pieces.tokenizer_json())
    made.model = model
    made.normalizer = _marked(pieces)
    made.decoder = _decoder()
    return _with_special(made, (PADDING, names[unknown]))


def _lexicon_ids(lexicon: Lexicon) -> dict[str, int]:
    return {name: index for index, name in enumerate((PADDING, UNKNOWN, *lexicon.entries))}


def _with_special(made: Tokenizer, names: tuple[str, ...]) -> Tokenizer:
    made.add_special_tokens([AddedToken(name, special=True, normalized=False) for name in names])
    made.encode_special_tokens = True  # a text that spells them is a text
    return made


def _check_rules(rules: int) -> None:
    if rules != RULES:
        raise OptionError(
            "the words of this run were learned by the rules of an older version, which a tokenizer file cannot have; "
            "train the run again to export it with --format hf."
        )


_INVISIBLE: Final = rf"[{INVISIBLE}]+(?=[^{INVISIBLE}])|(?<=[^{INVISIBLE}])[{INVISIBLE}]+"
"""What `heedful.data.words.canonical` leaves out: what is invisible, unless it is all there is."""


def _lower(ignored: str | None = _IGNORED) -> list[Any]:
    """The lower case of `str.lower`, which makes another letter of a sigma at the end of a word, in NFC.

    Args:
        ignored: what may stand between letters of a word; None: there are no words, but single characters.
    """
    steps = [norm.Lowercase(), norm.NFC()]
    if ignored is not None:
        final = rf"(?<=\p{{Cased}}{ignored}*)Σ(?!{ignored}*\p{{Cased}})"
        steps.insert(0, norm.Replace(Regex(final), "ς"))
    return steps


def _normalised(lower: Sequence[Any], rules: int = RULES) -> list[Any]:
    """The steps of `heedful.data.words.normalise`."""
    hidden = [norm.Replace(Regex(f"[{INVISIBLE}]"), "")] if rules > 1 else []
    return [
        *hidden,
        norm.NFC(),
        norm.Replace(SPACE_MARK, "_"),
        *lower,
        norm.Replace(Regex(rf"[{_SPACE}]+"), " "),
        norm.Replace(Regex(r"\A | \z"), ""),
    ]


def _marked(vocabulary: Vocabulary) -> Any:
    """The steps that a vocabulary takes before it looks for pieces."""
    steps = _normalised(_lower() if vocabulary.lowercase else [], vocabulary.rules)
    if vocabulary.kind != CHARACTER:
        # a mark before the first word, unless it is of a script without spaces
        unspaced = rf"\A (?=[{UNSPACED_SCRIPTS}])(?!\p{{Nd}})"
        steps += [norm.Prepend(" "), norm.Replace(Regex(unspaced), "")]
    return norm.Sequence([*steps, norm.Replace(" ", SPACE_MARK)])


def _decoder() -> Any:
    return decoders.Sequence(
        [decoders.Replace(SPACE_MARK, " "), decoders.Fuse(), decoders.Strip(" ", 1, 0)]
    )


def _words() -> Any:
    """`TextTokenizer` of kind "word": the pattern with classes of characters in place of properties."""
    return pre.Split(Regex(_expanded(WORD_PATTERN)), "removed", invert=True)


_PROPERTY: Final = regex.compile(r"\\p\{(WB=\w+)\}")


def _expanded(pattern: str) -> str:
    r"""Return a pattern without what the library tokenizers does not know: \p{WB=...}, and \X of newer Unicode."""
    clusters = pattern.replace(r"\X", _cluster())
    inside = regex.compile(r"\[[^\[\]]*\]")
    classes = inside.sub(lambda found: _PROPERTY.sub(lambda p: _ranges(p[1]), found[0]), clusters)
    return str(_PROPERTY.sub(lambda found: f"[{_ranges(found[1])}]", classes))


def _cluster() -> str:
    """The pattern of a grapheme cluster, with consonants joined by a virama (UAX #29, rule GB9c)."""
    consonant, linker, between = (
        f"[{_ranges(f'InCB={name}')}]" for name in ("Consonant", "Linker", "Extend")
    )
    joined = (
        rf"(?<={consonant}(?:{between}|{linker})*{linker}(?:{between}|{linker})*)(?={consonant})"
    )
    return rf"(?:\X(?:{joined}\X)*)"


@functools.cache
def _ranges(value: str) -> str:
    """Return the characters of a value of a property, such as WB=Extend, as the content of a character class."""
    found = regex.compile(rf"\p{{{value}}}+")
    spans = [(each[0][0], each[0][-1]) for each in found.finditer(_characters())]
    return "".join(rf"\x{{{ord(first):x}}}-\x{{{ord(last):x}}}" for first, last in spans)


@functools.cache
def _characters() -> str:
    return "".join(map(chr, [*range(0xD800), *range(0xE000, 0x110000)]))
