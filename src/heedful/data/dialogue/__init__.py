"""Readers of dialogues, whatever form a person has them in."""
