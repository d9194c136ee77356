"""Additive attention: one definition of the pair, and the compiled kernels that use it."""
