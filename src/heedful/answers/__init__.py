"""Answers: heads, losses, predictions, metrics, and how an answer is written and explained."""
