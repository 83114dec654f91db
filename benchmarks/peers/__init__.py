"""The same windows in other engines; run by the interpreter of ``.venv-peers``, never imported.

``python -m peers.<name> <input.parquet> <output.parquet>`` from the folder above prints one JSON
object. The timed part begins before the file is read and ends with the last result.
"""
