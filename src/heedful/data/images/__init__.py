"""Images and videos: decoding, sizes, folders, tables and IDX files."""
