"""A line of parts with everything that can go wrong: whether each is decided once, and how soon.

The scene knows which triggers were told of. Each of them must come to one record, in a run that
goes through and in one that is killed (SIGKILL) on its way and goes on, with equal digests. Time
is told in two ways: event time from the last picture of a part to its decision, which is what the
line sees as long as the machine keeps up, and, in a shorter run at the speed of the line, the
machine's own clock from the receipt of that picture to the moment the decision is in the log.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from sightline.apps.inspection import LineCamera, LineFaults, LineScene, write_pipelines
from sightline.apps.inspection.line_scene import STATIONS
from sightline.decide.disposition import OVER_TAKT
from sightline.evidence.inspection.training import open_backbone, train_inspector
from sightline.evidence.parts_account import parts_sums
from sightline.limits import DEFAULT_LIMITS
from sightline.perceive.inspection.learning import InspectionSettings
from sightline.recorder import read_entries
from sightline.records import EntryKind
from sightline.records.part import Disposition, PartRecord, note_of
from sightline.records.signals import NS_PER_S
from sightline.runtime import RunDirectory, RunOptions, load_plan, replay_run, run_pipeline
from sightline.runtime.engine.headers import FrameHeader
from sightline.sense import MemorySource
from sightline.sense.frames.part_pictures import find_part_pictures

Progress = Callable[[str], None]
_QUANTILES = {"p50": 0.5, "p95": 0.95, "p99": 0.99, "worst": 1.0}
TAKT_S = 0.25
"""Between two parts: 0.25 m of belt at 1 m/s."""


def faulty_scene(parts: int, seed: int) -> LineScene:
    """A line on which everything goes wrong now and then."""
    last_s = parts * TAKT_S
    return LineScene(
        parts=parts,
        seed=seed,
        faults=LineFaults(
            defects=0.03,
            lost_pictures=0.005,
            late_pictures=0.02,
            lost_triggers=0.003,
            doubled_triggers=0.02,
            unread_serials=0.005,
            repeated_serials=0.003,
            close_parts=0.003,
            late_s=0.3,
            stops_s=((0.2 * last_s, 0.2 * last_s + 5), (0.6 * last_s, 0.6 * last_s + 40)),
            reverses_s=((0.4 * last_s, 0.4 * last_s + 2),),
            encoder_gone_s=((0.5 * last_s, 0.5 * last_s + 4),),
            welder_gone_s=((0.3 * last_s, 0.32 * last_s),),
            late_rows_s=((0.7 * last_s, 0.8 * last_s),),
            cold_s=((0.9 * last_s, 0.9 * last_s + 3),),
        ),
    )


def prepare(scene: LineScene, folder: Path) -> None:
    """Pipelines, and an inspector of handcrafted features that was trained on good pictures."""
    write_pipelines(folder)
    good = folder / "train" / "good"
    good.mkdir(parents=True)
    for number, pixels in enumerate(scene.training_pictures(400)):
        cv2.imwrite(str(good / f"{number:04d}.png"), pixels)
    train_inspector(
        find_part_pictures(folder / "train"),
        folder / "inspector",
        backbone=open_backbone("handcrafted"),
        settings=InspectionSettings(simulated_per_picture=1),
        labels="none",
        false_reject_rate=0.01,
        data_licence="simulated",
    )


def live(
    folder: Path, scene: LineScene, out: Path, *, speed: float | None = None, says: bool = False
) -> int:
    """Run the line, or go on with the run in ``out``; how many commits were told of."""
    plan = load_plan(folder / "line.yaml")
    told = 0

    def tell(_progress: object) -> None:
        nonlocal told
        told += 1
        if says:  # for whoever waits to kill it
            os.write(1, b"committed\n")

    run_pipeline(
        plan,
        {
            "process": MemorySource("process", {"process": scene.rows}),
            **{camera: LineCamera(scene, camera) for camera in STATIONS},
        },
        out,
        options=RunOptions(resume=speed is None, speed=speed, checkpoint_epochs=2000),
        on_progress=tell,
    )
    return told


def killed(folder: Path, parts: int, seed: int, out: Path, *, kills: int, commits: int) -> int:
    """The same run in a process that is killed on its way, and started again; lives.

    Args:
        folder: with the pipeline.
        parts, seed: of the scene.
        out: folder of the run.
        kills: how often; each life is killed within its share of the way.
        commits: that a run tells of which goes through.
    """
    rng = np.random.default_rng(seed)
    code = (
        "import sys; from pathlib import Path; from benchmarks.line import faulty_scene, live; "
        "live(Path(sys.argv[1]), faulty_scene(int(sys.argv[2]), int(sys.argv[3])), "
        "Path(sys.argv[4]), says=True)"
    )
    command = [sys.executable, "-c", code, str(folder), str(parts), str(seed), str(out)]
    for life in range(1, kills + 2):
        environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
        process = subprocess.Popen(command, stdout=subprocess.PIPE, env=environment, text=True)
        assert process.stdout is not None
        share = commits // (kills + 1)
        least = int(rng.integers(share // 2, share))
        for number, _ in enumerate(process.stdout):
            if life <= kills and number == least:
                process.send_signal(signal.SIGKILL)
        process.wait()
        if process.returncode == 0:
            return life
    raise AssertionError("the run did not come to its end")


@dataclass(frozen=True, slots=True, kw_only=True)
class Decided:
    """A part as its log tells of it.

    Attributes:
        record: of the part.
        logged_ns: when it came into the log, by the machine's clock, UTC ns.
        received_ns: event time at which its last picture was received, UTC ns; -1: it has none.
        came_ns: when that was, by the machine's clock.
    """

    record: PartRecord
    logged_ns: int
    received_ns: int
    came_ns: int

    @property
    def wait_s(self) -> float:
        """Event time from the receipt of its last picture to its decision."""
        return (self.record.decided_ns - self.received_ns) / NS_PER_S

    @property
    def is_complete(self) -> bool:
        """All pictures and sensors were there in time."""
        return str(self.record.mode) == "primary" and len(self.record.pictures) == len(STATIONS)


def decided_of(run: RunDirectory) -> list[Decided]:
    """The parts of a run, from its log."""
    came: dict[tuple[str, int], tuple[int, int]] = {}
    found = []
    for entry in read_entries(
        run.storage, "p000", kinds={EntryKind.FRAME, EntryKind.PART}, limits=DEFAULT_LIMITS
    ):
        if entry.kind is EntryKind.FRAME:
            header = FrameHeader.from_bytes(entry.payload)
            came[header.camera, header.index] = header.received_ns, entry.time_ns
            continue
        note = note_of(entry.payload)
        if isinstance(note, PartRecord):
            pictures = [came[one.camera, one.index] for one in note.pictures]
            received_ns, came_ns = max(pictures, default=(-1, -1))
            found.append(
                Decided(
                    record=note,
                    logged_ns=entry.time_ns,
                    received_ns=received_ns,
                    came_ns=came_ns,
                )
            )
    return found


def _quantiles(values: list[float]) -> dict[str, float]:
    return {
        name: round(float(np.quantile(values, q, method="higher")), 4)
        for name, q in _QUANTILES.items()
    }


def found_of(run: RunDirectory, scene: LineScene) -> dict[str, Any]:
    """What the records of a run are beside the truth."""
    parts = decided_of(run)
    records = [one.record for one in parts]
    born = Counter(record.born_ns for record in records)
    told = Counter(scene.triggers_ns)
    layout = run.plan.pipeline.stages["parts"]
    latest_ns = round(layout.deadline_s * NS_PER_S) + run.plan.tick_ns  # type: ignore[attr-defined]
    defect = set(scene.truth.filter(scene.truth["defect_at"] != "")["serial"].to_list())
    complete = [one for one in parts if one.is_complete]
    wait_s = [one.wait_s for one in complete]
    all_s = [one.wait_s for one in parts if one.received_ns >= 0]
    machine_s = [(one.logged_ns - one.came_ns) / NS_PER_S for one in complete]
    is_accepted = {
        one.record.part_id: one.record.disposition is Disposition.ACCEPT for one in complete
    }
    return {
        "triggers": sum(told.values()),
        "records": len(records),
        "lost": sum((told - born).values()),
        "doubled": sum((born - told).values()),
        "after_their_deadline": sum(r.decided_ns - r.born_ns > latest_ns for r in records),
        "flagged": len(records) - len(complete),
        "complete": len(complete),
        "over_takt": sum(any(x.code == OVER_TAKT for x in r.reasons) for r in records),
        "over_takt_and_not_flagged": sum(wait > TAKT_S for wait in wait_s),
        "event_wait_s": _quantiles(wait_s),
        "event_wait_of_all_s": _quantiles(all_s),
        "machine_wait_s": _quantiles(machine_s),
        "defects": sum(one.record.serial in defect for one in complete),
        "defects_accepted": sum(
            one.record.serial in defect and is_accepted[one.record.part_id] for one in complete
        ),
        "good_not_accepted": sum(
            one.record.serial not in defect and not is_accepted[one.record.part_id]
            for one in complete
        ),
        "genealogy_complete": all(
            r.part_id and r.reasons and r.versions and all(p.digest for p in r.pictures)
            for r in records
        ),
    }


def bench_line(
    *,
    parts: int = 10_000,
    paced_parts: int = 120,
    kills: int = 2,
    seed: int = 1,
    progress: Progress = lambda text: None,
) -> dict[str, Any]:
    """Run the line through, killed, and at its own speed.

    Args:
        parts: on the belt.
        paced_parts: of the run at the speed of the line; 0: none.
        kills: of the run that is killed.
        seed: of every draw.
        progress: told what is being done.
    """
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        scene = faulty_scene(parts, seed)
        progress("training an inspector")
        prepare(scene, folder)
        progress(f"{parts} parts")
        commits = live(folder, scene, folder / "whole")
        whole = RunDirectory.open(folder / "whole")
        sums = parts_sums(whole.parts(), whole)
        progress("replay")
        verdict = replay_run(whole)
        found: dict[str, Any] = {
            "parts": parts,
            "takt_s": TAKT_S,
            "features": "handcrafted",
            **{k: v for k, v in found_of(whole, scene).items() if k != "machine_wait_s"},
            "dispositions": sums["dispositions"],
            "modes": sums["modes"],
            "reasons": sums["reasons"],
            "replays": bool(verdict),
            "digest": sums["digest"],
        }
        if kills:
            progress(f"the same, killed {kills} times")
            found["lives"] = killed(
                folder, parts, seed, folder / "killed", kills=kills, commits=commits
            )
            again = RunDirectory.open(folder / "killed")
            found["killed_digest_equal"] = (
                parts_sums(again.parts(), again)["digest"] == sums["digest"]
            )
        if paced_parts:
            progress(f"{paced_parts} parts at the speed of the line")
            paced = faulty_scene(paced_parts, seed)
            live(folder, paced, folder / "paced", speed=1.0)
            run = RunDirectory.open(folder / "paced")
            kept = ("lost", "doubled", "complete", "flagged", "event_wait_s", "machine_wait_s")
            of_paced = found_of(run, paced)
            found["paced"] = {"parts": paced_parts} | {name: of_paced[name] for name in kept}
        return found
