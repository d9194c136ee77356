"""Attention on tensors: no modules, no configuration, no input or output."""
