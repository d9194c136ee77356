"""Kernels of decoding token by token: the best tokens of a row of logits, and the layers of a Transformer's decoder."""
