"""A small run in a process of its own, to be killed: ``python killable_run.py OUT [options]``.

It resumes whatever is in OUT, says ``started`` before the first epoch and a line for each commit,
and ends with the digest and the accounts as one line of JSON, or with the exit code of its error.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from sightline.errors import SightlineError
from sightline.limits import Limits
from sightline.runtime import RunOptions, run_pipeline
from sightline.sense import MemorySource
from simulation.engine import FaultyAnswers
from simulation.mixed_world import East, mixed_plan, shade_of
from simulation.schedules import ArrivalFaults, Stall, arrive
from simulation.small_world import COLUMNS, small_plan, small_rows

ARRIVAL = ArrivalFaults(
    reorder_s=1.9,
    stalls=(Stall(key="s1", start_s=10, end_s=30, dump_s=5),),
    duplicate_share=0.05,
    bad_share=0.02,
    seed=4,
)
ROWS = arrive(small_rows(4), ARRIVAL, COLUMNS)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("out", type=Path)
    parser.add_argument("--durable", action="store_true")
    parser.add_argument("--reference", action="store_true")
    parser.add_argument("--workers", type=int, default=0)
    parser.add_argument("--mixed", action="store_true", help="with a camera")
    given = parser.parse_args()
    record = "reference" if given.reference else "payload"
    sources = {"t": MemorySource("t", {"t": ROWS})}
    guard = None
    if given.mixed:
        plan = mixed_plan(tick_s=1)
        sources["east"] = East(gone_s=(25.0, 37.0), torn=11)
        guard = FaultyAnswers(plan, 4, 0.2, sees=shade_of)
    else:
        plan = small_plan(tick_s=1, sources={"t": {"contract": "-", "record": record}})
    print("started", flush=True)
    report = run_pipeline(
        plan,
        sources,
        given.out,
        guard=guard,
        options=RunOptions(
            resume=True, checkpoint_epochs=7, durable=given.durable, workers=given.workers
        ),
        on_progress=lambda progress: print("committed", progress.tick_ns, flush=True),
        limits=Limits(epochs_in_flight=2, segment_bytes=50_000),
    )

    print(json.dumps({"digest": report.digest, "accounts": report.as_mapping()["accounts"]}))


if __name__ == "__main__":
    try:
        main()
    except SightlineError as error:
        print(f"{type(error).__name__}: {error}", file=sys.stderr)
        sys.exit(error.exit_code)
