"""One module a claim that a single `heedful` command does not settle: `python -m claims.NAME`."""
