"""The `heedful` command: one module per sub-command, and shared modules."""
