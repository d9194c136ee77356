"""Edges in compressed sparse rows."""
