"""Comparison of models trained on the same data with the same budget, with significance tests."""
