"""Inputs: how a person's examples become padded batches and features."""
