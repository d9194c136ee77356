"""Lists of edges as compressed sparse rows."""
