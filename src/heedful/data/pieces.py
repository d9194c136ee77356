"""How texts are cut before pieces are learned or looked up, and the models that do it."""

from __future__ import annotations

from tokenizers import Regex, Tokenizer, models, pre_tokenizers

from heedful.data.words import SPACE_MARK, UNSPACED_SCRIPTS

# A space inside these names keeps them from ever being met: pieces of text hold the space mark instead.
RESERVED = ("< pad >", "< unknown >", "< begin >", "< end >")

_OTHER_LETTERS = rf"{SPACE_MARK}?[[\p{{L}}\p{{M}}]&&[^{UNSPACED_SCRIPTS}]]+"
_ONE_DIGIT = rf"{SPACE_MARK}?\p{{N}}"
_SIGNS = rf"{SPACE_MARK}?[^{SPACE_MARK}\p{{L}}\p{{M}}\p{{N}}{UNSPACED_SCRIPTS}]+"
_TAIL = f"{_OTHER_LETTERS}|{_ONE_DIGIT}|{_SIGNS}|{SPACE_MARK}"

# Pieces stay inside one of these cuts, so that no piece mixes letters with punctuation or digits.
SUBWORD_CUTS = rf"[{UNSPACED_SCRIPTS}]+|{_TAIL}"
# Where no spaces show the words, a word vocabulary takes each character with its marks as one.
WORD_CUTS = rf"[{UNSPACED_SCRIPTS}]\p{{M}}*|{_TAIL}"

Merges = tuple[tuple[str, str], ...]


def bpe_tokenizer(pieces: tuple[str, ...], merges: Merges) -> Tokenizer:
    """Byte-pair encoding (Sennrich et al. 2016): the learned merges in their order."""
    model = models.BPE(vocab=_numbered(pieces), merges=list(merges), unk_token=RESERVED[1])
    return _with_cuts(Tokenizer(model), SUBWORD_CUTS)


def unigram_tokenizer(pieces: tuple[str, ...], scores: tuple[float, ...]) -> Tokenizer:
    """The likeliest cut under a unigram model of pieces (Kudo 2018)."""
    reserved = [(name, 0.0) for name in RESERVED]
    model = models.Unigram(
        [*reserved, *zip(pieces, scores, strict=True)], unk_id=1, byte_fallback=False
    )
    return _with_cuts(Tokenizer(model), SUBWORD_CUTS)


def word_tokenizer(pieces: tuple[str, ...]) -> Tokenizer:
    """Whole words, with punctuation cut off; a word that is not in the list is unknown."""
    model = models.WordLevel(vocab=_numbered(pieces), unk_token=RESERVED[1])
    return _with_cuts(Tokenizer(model), WORD_CUTS)


def character_tokenizer(pieces: tuple[str, ...]) -> Tokenizer:
    """Single characters: byte-pair encoding without any merge."""
    model = models.BPE(vocab=_numbered(pieces), merges=[], unk_token=RESERVED[1])
    return _with_cuts(Tokenizer(model), SUBWORD_CUTS)


def _numbered(pieces: tuple[str, ...]) -> dict[str, int]:
    return {piece: index for index, piece in enumerate((*RESERVED, *pieces))}


def _with_cuts(tokenizer: Tokenizer, cuts: str) -> Tokenizer:
    tokenizer.pre_tokenizer = pre_tokenizers.Split(Regex(cuts), behavior="isolated")
    return tokenizer
