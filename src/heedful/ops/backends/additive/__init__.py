"""Attention by additive scores."""
