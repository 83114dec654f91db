"""The process of an answerer that does what its recipe tells: a detector that sees one person.

``python faulty_process.py PIPE MEMORY``, as an isolated detector starts it.
"""

import ctypes
import faulthandler
import os
import sys
import time
from pathlib import Path

if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).parents[1]))
    from simulation.light_start import leave_the_engine_out

    leave_the_engine_out()

from sightline.errors import UsageError
from sightline.records import Detections
from sightline.runtime.engine.isolated_process import serve


class Faulty:
    """Sees ``box`` and, as its score, how many frames it has seen; ``faults`` by frame index.

    Asked about windows it does what ``windows`` says.
    """

    class_names = ("person",)

    def __init__(self, recipe):
        self.box = recipe.get("box", [1, 2, 3, 4])
        self.version = recipe.get("version", "faulty@1")
        self.faults = {int(index): what for index, what in recipe.get("faults", {}).items()}
        self.windows = recipe.get("windows", "")
        self.seen = 0

    def answer(self, frames):
        if isinstance(frames, dict):
            return self._about_windows()
        found = [self._detect(frame) for frame in frames]
        return {} if found == ["nothing"] else found

    def _about_windows(self):
        match self.windows:
            case "stall":
                time.sleep(5)
            case "raise":
                raise RuntimeError("the model is broken")
            case "die":
                os._exit(9)

    def _detect(self, frame):
        self.seen += 1
        score = 0.001 * self.seen
        match self.faults.get(frame.index):
            case "segfault":
                faulthandler._sigsegv()
            case "hang":
                # PyDLL keeps the lock of the interpreter: no other thread of Python runs.
                ctypes.PyDLL(None).sleep(600)
            case "late":
                time.sleep(0.6)
            case "raise":
                raise RuntimeError("no such layer")
            case "nan":
                score = float("nan")
            case "no detections":
                return None
            case "no list":
                return "nothing"
        return Detections.of(frame.stream, frame.capture_ns, box_px=[self.box], score=[score])


def build(recipe):
    match recipe.get("build"):
        case "segfault":
            faulthandler._sigsegv()
        case "refuse":
            raise UsageError(expected="a good model", got="a bad one", where="m", action="mend it")
        case "another version each time":
            recipe = {**recipe, "version": Path(recipe["file"]).read_text()}
    return Faulty(recipe)


if __name__ == "__main__":
    serve(int(sys.argv[1]), int(sys.argv[2]), build=build)
