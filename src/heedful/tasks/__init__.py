"""Tasks: data, head, loss, metrics and decoding of what a person trains a model for."""
