"""These modules import packages that only ``.venv-peers`` has: pytest must not collect them."""

collect_ignore_glob = ["*_windows.py"]
