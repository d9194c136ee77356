"""Data: files, vocabularies, batches and the built-in corpora."""
