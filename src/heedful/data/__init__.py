"""Datasets, file formats, vocabularies, batching and the built-in corpora."""
