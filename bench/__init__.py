"""Benchmarks of what the design promises (``make bench``): whole commands, one JSON line each."""
