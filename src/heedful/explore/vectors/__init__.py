"""Word vectors: nearest neighbours and two-dimensional maps, beside one-hot vectors."""
