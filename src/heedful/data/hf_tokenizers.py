"""Hugging Face tokenizers of each vocabulary kind: pre-tokenization patterns and models."""

from __future__ import annotations

from tokenizers import Regex, Tokenizer, models, pre_tokenizers

from heedful.data.words import OLD_UNSPACED_SCRIPTS, RULES, SPACE_MARK, UNSPACED_SCRIPTS

# Pieces of text hold the space mark and never a space, so a name with spaces cannot collide with one.
RESERVED = ("< pad >", "< unknown >", "< begin >", "< end >")

# Subwords stay inside one pre-token, so that none mixes letters with punctuation or digits. Joiners belong to the
# letters and the symbols that they join. In scripts without spaces each grapheme cluster is a word.
_JOINERS = r"\x{200c}\x{200d}"
_OTHER_LETTERS = rf"{SPACE_MARK}?[[\p{{L}}\p{{M}}{_JOINERS}]&&[^{UNSPACED_SCRIPTS}]]+"
_NO_SYMBOL = rf"{SPACE_MARK}\p{{L}}\p{{M}}\p{{N}}"
_SYMBOLS = rf"{SPACE_MARK}?(?:[^{_NO_SYMBOL}{UNSPACED_SCRIPTS}][\p{{M}}{_JOINERS}]*)+"
_TAIL = rf"{_OTHER_LETTERS}|{SPACE_MARK}?\p{{N}}\p{{M}}*|{_SYMBOLS}|{SPACE_MARK}"
_SUBWORDS = rf"(?:[{UNSPACED_SCRIPTS}]\p{{M}}*)+|{_TAIL}"
_WORDS = rf"(?=[{UNSPACED_SCRIPTS}])\X|{_TAIL}"

# Version 1 knew no joiners, and parted a symbol from its mark.
_OLD_OTHER_LETTERS = rf"{SPACE_MARK}?[[\p{{L}}\p{{M}}]&&[^{OLD_UNSPACED_SCRIPTS}]]+"
_OLD_SYMBOLS = rf"{SPACE_MARK}?[^{_NO_SYMBOL}{OLD_UNSPACED_SCRIPTS}]+"
_OLD_TAIL = rf"{_OLD_OTHER_LETTERS}|{SPACE_MARK}?\p{{N}}|{_OLD_SYMBOLS}|{SPACE_MARK}"

SUBWORD_PRETOKENS = {1: rf"[{OLD_UNSPACED_SCRIPTS}]+|{_OLD_TAIL}", 2: _SUBWORDS}
"""Version of the rules (`heedful.data.words.RULES`) -> where subwords may not cross."""
WORD_PRETOKENS = {1: rf"[{OLD_UNSPACED_SCRIPTS}]\p{{M}}*|{_OLD_TAIL}", 2: _WORDS}
"""Version of the rules -> words."""

Merges = tuple[tuple[str, str], ...]


def bpe_tokenizer(pieces: tuple[str, ...], merges: Merges, rules: int = RULES) -> Tokenizer:
    """Byte-pair encoding (Sennrich et al. 2016): applies the learned merges in their order."""
    model = models.BPE(vocab=_piece_ids(pieces), merges=list(merges), unk_token=RESERVED[1])
    return _with_pretokens(Tokenizer(model), SUBWORD_PRETOKENS[rules])


def unigram_tokenizer(
    pieces: tuple[str, ...], scores: tuple[float, ...], rules: int = RULES
) -> Tokenizer:
    """Unigram language model (Kudo 2018): the most probable segmentation."""
    reserved = [(name, 0.0) for name in RESERVED]
    model = models.Unigram(
        [*reserved, *zip(pieces, scores, strict=True)], unk_id=1, byte_fallback=False
    )
    return _with_pretokens(Tokenizer(model), SUBWORD_PRETOKENS[rules])


def word_tokenizer(pieces: tuple[str, ...], rules: int = RULES) -> Tokenizer:
    """Whole words, with punctuation separate; words outside the vocabulary are unknown."""
    model = models.WordLevel(vocab=_piece_ids(pieces), unk_token=RESERVED[1])
    return _with_pretokens(Tokenizer(model), WORD_PRETOKENS[rules])


def character_tokenizer(pieces: tuple[str, ...], rules: int = RULES) -> Tokenizer:
    """Single characters: byte-pair encoding without merges."""
    model = models.BPE(vocab=_piece_ids(pieces), merges=[], unk_token=RESERVED[1])
    return _with_pretokens(Tokenizer(model), SUBWORD_PRETOKENS[rules])


def _piece_ids(pieces: tuple[str, ...]) -> dict[str, int]:
    return {piece: index for index, piece in enumerate((*RESERVED, *pieces))}


def _with_pretokens(tokenizer: Tokenizer, pattern: str) -> Tokenizer:
    tokenizer.pre_tokenizer = pre_tokenizers.Split(Regex(pattern), behavior="isolated")
    return tokenizer
