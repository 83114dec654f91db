"""Benchmarks: what a thing costs on one core, beside what its peers cost."""
