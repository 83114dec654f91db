"""The same windows in other engines; run by the interpreter of ``.venv-peers``, never imported.

``python -m benchmarks.peers.<name> <input.parquet> <output.parquet>``, in the checkout, prints one
JSON object. The timed part begins before the file is read and ends with the last result.
"""
