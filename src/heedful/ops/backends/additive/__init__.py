"""Attention by additive scores: one definition of the pair, and the kernels made of it."""
