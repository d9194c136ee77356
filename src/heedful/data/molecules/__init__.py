"""Molecules from SMILES: atoms, bonds and their features; splits by scaffold. Needs RDKit."""
