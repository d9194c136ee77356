"""Readers: from what a person names (files, tables, built-in corpora, rows) to datasets, and back to files."""
