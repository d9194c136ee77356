"""The benchmark suite: `python -m benchmarks` measures everything and writes docs/benchmarks.md."""
