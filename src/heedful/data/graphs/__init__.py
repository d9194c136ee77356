"""Graphs: tables of nodes and edges, GraphML, and graphs of Python libraries."""
