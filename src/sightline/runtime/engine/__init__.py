"""The engine: a core that is a function of (state, log entry), and the shell around it.

It names no stage: what a stage is stands in :mod:`sightline.runtime.stage`, and the built-in ones
in :mod:`sightline.runtime.stages`.
"""
