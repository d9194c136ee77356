"""Measuring operations of attention against other ways to compute them, side by side and only where right."""

from __future__ import annotations
