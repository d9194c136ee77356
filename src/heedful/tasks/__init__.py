"""Tasks: an input × an answer × a reader × defaults, and the table of them."""
