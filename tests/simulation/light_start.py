"""Starting a process of a test without importing what it does not need."""

import sys
import types
from pathlib import Path

import sightline


def leave_the_engine_out():
    """Before any import from ``sightline.runtime``: the modules of cameras need none of its own.

    The engine for rows is most of what there is to import, and a process that is there to crash
    takes a quarter of the time without it.
    """
    engine = types.ModuleType("sightline.runtime")
    engine.__path__ = [str(Path(path) / "runtime") for path in sightline.__path__]
    sys.modules["sightline.runtime"] = engine
