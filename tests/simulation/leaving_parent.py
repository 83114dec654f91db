"""A run with two isolated detectors, to be killed: one waits for a frame, one hangs in a frame.

It says their process ids.
"""

import sys
import threading
import time
from pathlib import Path

import numpy as np

if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).parents[1]))
    from simulation.light_start import leave_the_engine_out

    leave_the_engine_out()

from sightline.limits import Limits
from sightline.records import Frame
from sightline.runtime.engine.isolated import Isolated


def detector():
    return Isolated(
        {"faults": {"0": "hang"}},
        where="detectors.faulty",
        slots=1,
        slot_bytes=12,
        budget_s=1.0,
        # The process ends itself a second later than the run would have ended it.
        limits=Limits(detector_hang_s=0.5),
        program=(str(Path(__file__).with_name("faulty_process.py")),),
    )


if __name__ == "__main__":
    pixels = np.zeros((2, 2, 3), np.uint8)
    frame = Frame(stream="yard", index=0, capture_ns=0, received_ns=0, pixels=pixels)
    both = [detector(), detector()]
    for one in both:
        one.await_built()
    threading.Thread(target=both[0].look, args=([frame],), daemon=True).start()
    time.sleep(0.2)
    print(*(one.pid for one in both), flush=True)
    time.sleep(60)
