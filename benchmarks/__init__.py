"""Benchmarks and research on Sightline: ``python -m benchmarks NAME``, from a checkout.

Nothing here is in the wheel, and nothing in the package imports it. Speed is printed beside what
peers cost, with the losing numbers too; accuracy with every denominator.
"""
