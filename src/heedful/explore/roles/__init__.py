"""Roles of attention heads: which relation between words each head finds, beside the best fixed offset."""
