"""Pre-trained vectors beside what a task learns of its words."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

import torch
from torch import Tensor

from heedful.data.lexicon import Lexicon
from heedful.data.vectors import VectorSizes, read_vectors
from heedful.models.encoders.inputs import TokenInputsConfig
from heedful.tasks.token_encoding import TokenEncoder


def with_vectors(
    encoder: TokenEncoder, seen: Iterable[str], config: TokenInputsConfig
) -> tuple[TokenEncoder, Tensor | None]:
    """Add the words that have a vector alone, and return a vector for each id: zero where there is none.

    Without a file of vectors the encoder comes back as it is, with None.

    Args:
        encoder: made of the training tokens.
        seen: the training tokens, any number of times each.
        config: names the file.

    Raises: DataError for a file that cannot be used, by file and line.
    """
    if not config.vectors:
        return encoder, None
    words = {token.lower() if encoder.lowercase else token for token in seen}
    read = read_vectors(
        config.vectors, words, others=config.vectors_unseen, lowercase=encoder.lowercase
    )
    learned = encoder.words
    added = tuple(word for word in read.words if word not in learned)
    lexicon = Lexicon((*learned.entries, *added))
    table = torch.zeros(len(lexicon), read.values.shape[1])
    table[torch.tensor(lexicon.ids(read.words))] = torch.from_numpy(read.values)
    found = sum(word in words for word in read.words)
    sizes = VectorSizes(
        width=table.shape[1], learned=len(learned), found=found, missing=len(words) - found
    )
    return replace(encoder, words=lexicon, vectors=sizes), table


def vector_counts(sizes: VectorSizes | None) -> dict[str, int]:
    """Say, for people, how many training words have a vector and how many have none."""
    if sizes is None:
        return {}
    return {"words with a vector": sizes.found, "words without": sizes.missing}
