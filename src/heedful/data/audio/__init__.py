"""Recordings: reading files, log-mel filter banks, perturbations, and datasets of them."""
