"""Simulators that tests share: real behaviour in memory, with faults on demand."""
