"""Perceive: turn records into windows, features and scores.

Everything here is a function of arrays and can be used from a notebook without the runtime.
"""
