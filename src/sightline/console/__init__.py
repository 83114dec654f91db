"""The page of a run: what its log says by now, for an operator who looks and answers.

It reads the run and writes nothing but operator inputs, by the way that ``sightline alert`` takes.
"""
