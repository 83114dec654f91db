"""The alert desk of a run: its section of the pipeline, its place in the fan-in, its operators."""
