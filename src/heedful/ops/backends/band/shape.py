"""The shape of a block of the banded kernels."""

ROWS = 32
"""Queries of a block: two vectors."""
GROUP, WIDTH = 8, 32
"""Rows and columns of a product tile whose sums stay in registers. Features are padded to a multiple of WIDTH."""
