"""Trained models behind HTTP: one application, with the limits that keep it up."""
