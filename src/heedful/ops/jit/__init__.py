"""Compiled CPU kernels: compiling, caching, vectors, tiles and threads. Knows nothing of attention."""
