"""Hugging Face tokenizers of each vocabulary kind: pre-tokenization patterns and models."""

from __future__ import annotations

from tokenizers import Regex, Tokenizer, models, pre_tokenizers

from heedful.data.words import SPACE_MARK, UNSPACED_SCRIPTS

# Pieces of text hold the space mark and never a space, so a name with spaces cannot collide with one.
RESERVED = ("< pad >", "< unknown >", "< begin >", "< end >")

_OTHER_LETTERS = rf"{SPACE_MARK}?[[\p{{L}}\p{{M}}]&&[^{UNSPACED_SCRIPTS}]]+"
_ONE_DIGIT = rf"{SPACE_MARK}?\p{{N}}"
_SYMBOLS = rf"{SPACE_MARK}?[^{SPACE_MARK}\p{{L}}\p{{M}}\p{{N}}{UNSPACED_SCRIPTS}]+"
_TAIL = f"{_OTHER_LETTERS}|{_ONE_DIGIT}|{_SYMBOLS}|{SPACE_MARK}"

# Subwords stay inside one pre-token, so that none mixes letters with punctuation or digits.
SUBWORD_PRETOKENS = rf"[{UNSPACED_SCRIPTS}]+|{_TAIL}"
# In scripts without spaces each character, with its combining marks, is a word.
WORD_PRETOKENS = rf"[{UNSPACED_SCRIPTS}]\p{{M}}*|{_TAIL}"

Merges = tuple[tuple[str, str], ...]


def bpe_tokenizer(pieces: tuple[str, ...], merges: Merges) -> Tokenizer:
    """Byte-pair encoding (Sennrich et al. 2016): applies the learned merges in their order."""
    model = models.BPE(vocab=_piece_ids(pieces), merges=list(merges), unk_token=RESERVED[1])
    return _with_pretokens(Tokenizer(model), SUBWORD_PRETOKENS)


def unigram_tokenizer(pieces: tuple[str, ...], scores: tuple[float, ...]) -> Tokenizer:
    """Unigram language model (Kudo 2018): the most probable segmentation."""
    reserved = [(name, 0.0) for name in RESERVED]
    model = models.Unigram(
        [*reserved, *zip(pieces, scores, strict=True)], unk_id=1, byte_fallback=False
    )
    return _with_pretokens(Tokenizer(model), SUBWORD_PRETOKENS)


def word_tokenizer(pieces: tuple[str, ...]) -> Tokenizer:
    """Whole words, with punctuation separate; words outside the vocabulary are unknown."""
    model = models.WordLevel(vocab=_piece_ids(pieces), unk_token=RESERVED[1])
    return _with_pretokens(Tokenizer(model), WORD_PRETOKENS)


def character_tokenizer(pieces: tuple[str, ...]) -> Tokenizer:
    """Single characters: byte-pair encoding without merges."""
    model = models.BPE(vocab=_piece_ids(pieces), merges=[], unk_token=RESERVED[1])
    return _with_pretokens(Tokenizer(model), SUBWORD_PRETOKENS)


def _piece_ids(pieces: tuple[str, ...]) -> dict[str, int]:
    return {piece: index for index, piece in enumerate((*RESERVED, *pieces))}


def _with_pretokens(tokenizer: Tokenizer, pattern: str) -> Tokenizer:
    tokenizer.pre_tokenizer = pre_tokenizers.Split(Regex(pattern), behavior="isolated")
    return tokenizer
