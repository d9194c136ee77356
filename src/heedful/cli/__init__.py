"""The command `heedful`: one file a command, and what the commands share."""
