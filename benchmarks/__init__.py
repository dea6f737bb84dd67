"""Ours and its peers, interleaved on one broker; `make bench` runs them and writes docs/benchmarks.md."""
