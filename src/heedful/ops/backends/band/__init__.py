"""Windowed and dense attention by inner products."""
