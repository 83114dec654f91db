"""Inputs that once failed, run again on the code as it stands: ``make cases CASES=DIR``.

A case is a folder of small inputs. What is right about it stands here as a check, a function that
yields what fell short; one module of checks for each area of the product.
"""
