"""Attention of few queries over many keys, as when decoding with a cache."""
