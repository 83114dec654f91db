"""Golden runs: what one version decides, so that the next can be held to it.

``python -m benchmarks.golden`` is the door; see :mod:`.__main__`.
"""
