"""Deadlines in real time: detectors that stall, crash and say NaN, and what was answered by when.

A real run with real threads: cameras at a fixed rate, a primary detector of which every twentieth
frame goes wrong, the motion detector as its fallback, a log on the disk. The numbers are read from
that log, and the log is replayed.
"""

from __future__ import annotations

import json
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.frame_cases import (
    DrawnCamera,
    DrawnScene,
    camera_names,
    drawn_scene,
    true_detections,
    yard_plan,
)
from sightline.recorder import read_entries
from sightline.records import Detections, EntryKind, Frame
from sightline.records.decision import Mode
from sightline.records.signals import NS_PER_S
from sightline.runtime import (
    Plan,
    RunDirectory,
    RunOptions,
    RunReport,
    replay_run,
    run_pipeline,
)
from sightline.runtime.engine.answerers import lookers
from sightline.runtime.engine.guard import Outcome, OutcomeStatus
from sightline.runtime.engine.guarding import Lookers
from sightline.runtime.engine.headers import FrameHeader
from sightline.runtime.engine.hosting import partition_name
from sightline.runtime.engine.loop import CAPTURE_TO_COMMAND

FAULT_SHARE = 0.05
"""Of the frames; a third of them each stalls, crashes, and is answered with NaN."""
STALL_S = (0.05, 5.0)
WITHIN_SHARE_BOUND = 0.999
ALLOWANCE_S = 0.005
"""A frame counts as answered in time up to this much after its budget."""
DETECTION_BUDGET_S = 0.06
REST_BUDGET_S = 0.025
"""For everything that is not waiting or detecting: picture health, core, log, threads."""
WIDTH_PX, HEIGHT_PX = 160, 120
_ANSWER_S = 0.01
_PEOPLE, _PICTURES = 3, 60

Progress = Callable[[str], None]


def latency_budget_s(rate_hz: float) -> float:
    """From capture to command, as the engine can promise it.

    The newest frame of a camera waits at most until the next one takes its place, one interval;
    then its detections may take their budget, and the rest its own.

    >>> round(latency_budget_s(15.0), 4)
    0.1517
    """
    return 1.0 / rate_hz + DETECTION_BUDGET_S + REST_BUDGET_S


@dataclass(slots=True)
class FaultyDetector:
    """Says the truth after 10 ms, but for the frames that the seed has chosen.

    The choice depends on camera and frame number alone, so it is the same whatever is asked when.
    One frame that stalls or crashes does so to the whole batch.

    Attributes:
        scene: what is to be seen.
        cameras: names, in order.
        seed: of the faults.
        stall_s: shortest and longest stall.
        hit: faults of frames that it was really asked about, by kind.
    """

    scene: DrawnScene
    cameras: tuple[str, ...]
    seed: int
    stall_s: tuple[float, float] = STALL_S
    hit: Counter[str] = field(default_factory=Counter)
    version: str = "simulated-faulty@1"
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def fault_of(self, camera: str, index: int) -> tuple[str, float]:
        """(``""``, ``stall``, ``crash`` or ``nan``; seconds it stalls)."""
        rng = np.random.default_rng([self.seed, self.cameras.index(camera), index])
        if rng.random() >= FAULT_SHARE:
            return "", 0.0
        kind = ("stall", "crash", "nan")[int(rng.integers(3))]
        return kind, float(rng.uniform(*self.stall_s)) if kind == "stall" else 0.0

    def look(self, frames: Sequence[Frame]) -> list[Detections]:
        """Like any detector, when nothing goes wrong.

        Raises:
            RuntimeError: a frame that crashes it.
        """
        faults = [self.fault_of(frame.stream, frame.index) for frame in frames]
        with self._lock:
            self.hit.update(kind for kind, _ in faults if kind)
        time.sleep(_ANSWER_S + sum(stall_s for _, stall_s in faults))
        if any(kind == "crash" for kind, _ in faults):
            raise RuntimeError("the detector has crashed, as it was told")
        return [
            self._answer(frame, is_nan=kind == "nan")
            for frame, (kind, _) in zip(frames, faults, strict=True)
        ]

    def _answer(self, frame: Frame, *, is_nan: bool) -> Detections:
        if not is_nan:
            return true_detections(self.scene, frame)
        return Detections.of(
            frame.stream, frame.capture_ns, box_px=np.full((1, 4), np.nan), score=np.ones(1)
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class DeadlineCase:
    """What is run.

    Attributes:
        frames: of all cameras together; takes ``frames / (cameras * rate_hz)`` seconds.
        cameras: how many.
        rate_hz: of each.
        seed: of scene and faults.
        is_shared: one detector for all cameras, by batches, which one stall keeps from them all;
            else one each.
        stall_s: shortest and longest stall.
        is_durable: force each commit to the disk.
    """

    frames: int = 10_000
    cameras: int = 4
    rate_hz: float = 15.0
    seed: int = 1
    is_shared: bool = True
    stall_s: tuple[float, float] = STALL_S
    is_durable: bool = True


def bench_deadlines(
    case: DeadlineCase = DeadlineCase(),
    *,
    out: Path | None = None,
    progress: Progress = lambda text: None,
) -> dict[str, Any]:
    """Run ``case`` in real time, and read from the log how its frames were answered.

    Args:
        case: what is run.
        out: keep the run there; None: nowhere.
        progress: told what is being done.
    """
    if out is not None:
        return _bench(case, out, progress)
    with tempfile.TemporaryDirectory(prefix="sightline-deadlines-") as folder:
        return _bench(case, Path(folder) / "run", progress)


def _bench(case: DeadlineCase, out: Path, progress: Progress) -> dict[str, Any]:
    frames, cameras, rate_hz, seed = case.frames, case.cameras, case.rate_hz, case.seed
    names = camera_names(cameras)
    plan = yard_plan(
        cameras=cameras,
        width_px=WIDTH_PX,
        height_px=HEIGHT_PX,
        rate_hz=rate_hz,
        detection_budget_s=DETECTION_BUDGET_S,
        latency_budget_s=latency_budget_s(rate_hz),
        has_fallback=True,
    )
    scene = drawn_scene(
        width_px=WIDTH_PX,
        height_px=HEIGHT_PX,
        people=_PEOPLE,
        pictures=_PICTURES,
        rate_hz=rate_hz,
        seed=seed,
    )
    shares = [frames // cameras + (n < frames % cameras) for n in range(cameras)]
    sources = {
        name: DrawnCamera(
            name,
            scene,
            frames=share,
            rate_hz=rate_hz,
            # Spread over the interval, as cameras are that nobody has synchronised.
            phase_s=n / (cameras * rate_hz),
            now_ns=time.time_ns,
        )
        for n, (name, share) in enumerate(zip(names, shares, strict=True))
    }
    one = FaultyDetector(scene, names, seed, case.stall_s)
    primary = {
        n: one if case.is_shared else FaultyDetector(scene, names, seed, case.stall_s)
        for n in names
    }
    looking = {
        (stage, camera): Lookers(
            primary=primary[camera], fallback=motion.fallback, budget_s=DETECTION_BUDGET_S
        )
        for (stage, camera), motion in lookers(plan).items()
    }
    progress(f"{frames} frames in real time, {max(shares) / rate_hz:.0f} s")
    report = run_pipeline(
        plan,
        sources,
        out,
        looking=looking,
        options=RunOptions(is_live=True, durable=case.is_durable),
    )
    progress("reading the log")
    hit: Counter[str] = Counter()
    for detector in {id(d): d for d in primary.values()}.values():
        hit.update(detector.hit)
    drawn = Counter(
        one.fault_of(name, index)[0]
        for name, share in zip(names, shares, strict=True)
        for index in range(share)
    )
    del drawn[""]
    found = read_answers(RunDirectory.open(out))
    progress("replaying")
    verdict = replay_run(RunDirectory.open(out))
    return _result(plan, report, found, frames=frames, faults={"drawn": drawn, "met": hit}) | {
        "replay": {
            "identical": bool(verdict),
            "decisions": verdict.decisions,
            "entries": verdict.entries,
            "difference": str(verdict.difference) if verdict.difference else None,
        },
        "settings": {
            "cameras": cameras,
            "rate_hz": rate_hz,
            "picture_px": [WIDTH_PX, HEIGHT_PX],
            "seed": seed,
            "detector": "one for all cameras" if case.is_shared else "one per camera",
            "fault_share": FAULT_SHARE,
            "stall_s": list(case.stall_s),
            "durable": case.is_durable,
        },
    }


@dataclass(slots=True)
class Answers:
    """What the log of a run says about its answers.

    Attributes:
        ages_s: by camera, age of each frame when it was logged.
        gaps_s: by camera, capture times between frames that were looked at one after the other.
        superseded: frames by camera.
        statuses: of outcomes.
        modes: how outcomes that are not OK were answered; all must be fallbacks.
        by_nobody: outcomes without detections: tracks were carried on.
        overruns_s: by frame, capture to command of those that were logged as DEADLINE_MISSED.
        stage_overruns: DEADLINE_MISSED of stages.
        unlogged: frames that the stamps of the log show to be late, without DEADLINE_MISSED.
        recoveries: by how often a detector answered again after it had not.
    """

    ages_s: dict[str, list[float]] = field(default_factory=dict)
    gaps_s: dict[str, list[float]] = field(default_factory=dict)
    superseded: Counter[str] = field(default_factory=Counter)
    statuses: Counter[str] = field(default_factory=Counter)
    modes: Counter[str] = field(default_factory=Counter)
    by_nobody: int = 0
    overruns_s: dict[str, float] = field(default_factory=dict)
    stage_overruns: Counter[str] = field(default_factory=Counter)
    unlogged: list[str] = field(default_factory=list)
    recoveries: int = 0


def read_answers(run: RunDirectory) -> Answers:
    """Read the log of a live run, whose stamps and capture times are of one clock."""
    found = Answers()
    late: set[str] = set()
    open_ns: dict[str, int] = {}
    newest_ns: dict[str, int] = {}
    was_ok: dict[str, bool] = {}
    budget_ns = round(run.plan.pipeline.latency_budget_s * NS_PER_S)
    for entry in read_entries(run.storage, partition_name(0)):
        if entry.kind is EntryKind.FRAME:
            header = FrameHeader.from_bytes(entry.payload)
            name, at_ns = header.camera, header.capture_ns
            open_ns[f"{name}:{header.index}"] = at_ns
            found.ages_s.setdefault(name, []).append((entry.time_ns - at_ns) / NS_PER_S)
            if name in newest_ns:
                gap_s = (at_ns - newest_ns[name]) / NS_PER_S
                found.gaps_s.setdefault(name, []).append(gap_s)
            newest_ns[name] = at_ns
        elif entry.kind is EntryKind.OUTCOME:
            _count(found, Outcome.from_bytes(entry.payload), was_ok)
        elif entry.kind is EntryKind.DROP:
            found.superseded[entry.name] += int(json.loads(entry.payload)["rows"])
        elif entry.kind is EntryKind.MEASUREMENT:
            # Appended just before the commit: whoever is late by now is late all the more after.
            late |= {f for f, at_ns in open_ns.items() if entry.time_ns - at_ns > budget_ns}
            open_ns.clear()
        elif entry.kind is EntryKind.DEADLINE_MISSED:
            plain = json.loads(entry.payload)
            if entry.name == CAPTURE_TO_COMMAND:
                found.overruns_s[plain["frame"]] = float(plain["took_s"])
            else:
                found.stage_overruns[entry.name] += 1
    found.unlogged = sorted(late - set(found.overruns_s))
    return found


def _count(found: Answers, outcome: Outcome, was_ok: dict[str, bool]) -> None:
    _, camera, _ = outcome.request_id.rsplit(":", 2)
    is_ok = outcome.status is OutcomeStatus.OK
    found.statuses[str(outcome.status)] += 1
    if not is_ok:
        found.modes[str(outcome.mode)] += 1
        found.by_nobody += outcome.answer is None
    found.recoveries += is_ok and not was_ok.get(camera, True)
    was_ok[camera] = is_ok


def _result(
    plan: Plan,
    report: RunReport,
    found: Answers,
    *,
    frames: int,
    faults: Mapping[str, Mapping[str, int]],
) -> dict[str, Any]:
    budget_s = plan.pipeline.latency_budget_s
    accounts = report.accounts
    looked_at = sum(len(ages) for ages in found.ages_s.values())
    too_late = sum(took_s > budget_s + ALLOWANCE_S for took_s in found.overruns_s.values())
    within = 1.0 - too_late / looked_at if looked_at else 0.0
    failed = sum(found.statuses.values()) - found.statuses[str(OutcomeStatus.OK)]
    return {
        "frames": frames,
        "budget": {
            "detection_s": DETECTION_BUDGET_S,
            "capture_to_command_s": round(budget_s, 6),
            "is": "one interval of the camera + detection + 25 ms for the rest",
            "allowance_s": ALLOWANCE_S,
        },
        "within": {
            "share": round(within, 6),
            "bound": WITHIN_SHARE_BOUND,
            "holds": within >= WITHIN_SHARE_BOUND,
            "frames_looked_at": looked_at,
            "later": too_late,
        },
        "capture_to_command_s": _rounded(report.command_latency_s),
        "deadline_missed": {
            "frames_reported": report.deadline_missed.get(CAPTURE_TO_COMMAND, 0),
            "frames_logged": len(found.overruns_s),
            "frames_late_by_log_stamps_not_logged": len(found.unlogged),
            "stages_reported": {
                n: c for n, c in report.deadline_missed.items() if n != CAPTURE_TO_COMMAND
            },
            "stages_logged": dict(found.stage_overruns),
        },
        "faults": {name: dict(sorted(counts.items())) for name, counts in faults.items()},
        "fallbacks": {
            "outcomes": dict(sorted(found.statuses.items())),
            "not_ok": failed,
            "flagged": found.modes[str(Mode.FALLBACK)],
            "reported": sum(report.fallbacks.values()),
            "all_flagged": failed
            == found.modes[str(Mode.FALLBACK)]
            == sum(report.fallbacks.values()),
            "answered_by_nobody": found.by_nobody,
            "recoveries": found.recoveries,
        },
        "cameras": {name: _camera(found, name) for name in plan.cameras},
        "accounts": {
            "equation": accounts.equation(),
            "received": accounts.received,
            "decided": accounts.decided,
            "superseded": accounts.superseded,
            "conserved": accounts.is_balanced
            and frames == accounts.received == looked_at + sum(found.superseded.values())
            and accounts.decided == sum(found.statuses.values()),
        },
        "stage_s": {stage: _rounded(seconds) for stage, seconds in report.stage_s.items()},
    }


def _camera(found: Answers, name: str) -> dict[str, Any]:
    ages_s = np.array(found.ages_s.get(name, [np.nan]))
    gaps_s = found.gaps_s.get(name, [0.0])
    return {
        "looked_at": len(found.ages_s.get(name, ())),
        "superseded": found.superseded[name],
        "age_p99_s": round(float(np.percentile(ages_s, 99, method="inverted_cdf")), 6),
        "age_worst_s": round(float(ages_s.max()), 6),
        "longest_without_s": round(max(gaps_s), 6),
    }


def _rounded(seconds: Mapping[str, float]) -> dict[str, float]:
    return {name: round(value, 6) for name, value in seconds.items()}
