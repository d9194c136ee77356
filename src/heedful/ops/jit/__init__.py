"""Compiled CPU kernels: compilation, disk cache, SIMD vectors, register tiles and threads. Independent of attention."""
