"""What the engine costs per frame, apart from the work of its stages.

*Bookkeeping* is all that happens between having a frame and its commit, less four things that are
printed apart: picture contract and health (``sense``), the inline stages themselves, the answer of
the detector, and the log (appending and committing). So headers, encoding and decoding, accounts,
digests, measuring and dispatching all count. It is divided by the number of inline stages.
"""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, cast

import numpy as np

from benchmarks.frame_cases import (
    CAMERA,
    RATE_HZ,
    START_NS,
    AnswersAtOnce,
    DrawnCamera,
    DrawnRecording,
    DrawnScene,
    TruthTold,
    drawn_scene,
    frame_of,
    yard_plan,
)
from sightline.cli.profile_command import stages_to_fix
from sightline.recorder import DirectoryStorage
from sightline.records import Frame
from sightline.records.windows import FloatArray
from sightline.runtime import Plan, RunOptions, run_pipeline
from sightline.runtime.detector import GivenForm
from sightline.runtime.engine.answerers import lookers
from sightline.runtime.engine.core import PartitionCore
from sightline.runtime.engine.frame_shell import FrameShell, pixel_digest
from sightline.runtime.engine.guard import FrameRequest, OutcomeStatus
from sightline.runtime.engine.guarding import Guard, Lookers
from sightline.runtime.engine.host import PartitionHost
from sightline.runtime.engine.hosting import partition_name
from sightline.runtime.engine.logged_core import HostClocks
from sightline.runtime.engine.stage_timer import MeasuredStages
from sightline.runtime.item_stage import DECIDE
from sightline.runtime.pictures.image_log import image_message

DETECT = f"{CAMERA}_detect"
INLINE_STAGES = (f"{CAMERA}_health", f"{CAMERA}_track", f"{CAMERA}_zones", "saw", DECIDE)
BOOKKEEPING_BOUND_US = 30.0
"""p50 per frame and inline stage."""
WIDTH_PX, HEIGHT_PX = 640, 480
DETECTION_BUDGET_S, LATENCY_BUDGET_S = 0.05, 0.15
_PEOPLE, _PICTURES = 5, 45
_WARM_FRAMES = 30
_SAMPLES = 100
_LIVE_FRAMES = 300

Progress = Callable[[str], None]


def bench_frames(
    *, frames: int = 2_000, live_frames: int = _LIVE_FRAMES, progress: Progress = lambda text: None
) -> dict[str, Any]:
    """Time the engine at 640 × 480 px with five people in sight.

    Args:
        frames: for the bookkeeping; a tenth of them, at most 200, with a durable log.
        live_frames: of a camera at 15 frames per second, in real time.
        progress: told what is being done.
    """
    scene = drawn_scene(
        width_px=WIDTH_PX,
        height_px=HEIGHT_PX,
        people=_PEOPLE,
        pictures=_PICTURES,
        rate_hz=RATE_HZ,
        seed=1,
    )
    plan = yard_plan(
        cameras=1,
        width_px=WIDTH_PX,
        height_px=HEIGHT_PX,
        rate_hz=RATE_HZ,
        detection_budget_s=DETECTION_BUDGET_S,
        latency_budget_s=LATENCY_BUDGET_S,
        has_fallback=False,
    )
    progress("bookkeeping")
    plain = _hosted(plan, scene, frames=frames, is_durable=False)
    durable = _hosted(plan, scene, frames=min(max(frames // 10, 20), 200), is_durable=True)
    progress("handing over")
    samples = min(frames, 1_000)
    hand_over = {
        "across_cores": {
            "detector": _us(_handed_over(plan, scene, has_fallback=False, samples=samples)),
            "detector_and_fallback": _us(
                _handed_over(plan, scene, has_fallback=True, samples=samples)
            ),
        }
    }
    start_s, isolated_s = _handed_to_a_process(plan, scene, samples=samples)
    with _one_core() as is_one:
        if is_one:
            hand_over["one_core"] = {
                "detector": _us(_handed_over(plan, scene, has_fallback=False, samples=samples))
            }
    progress("pictures")
    recording = {
        "entries_per_frame": round(plain.entries / frames, 2),
        "append_all_per_frame": _us(plain.append_s),
        "commit": _us(plain.commit_s),
        "commit_durable": _us(durable.commit_s),
        **_picture_costs(scene, samples=min(frames, _SAMPLES)),
    }
    progress(f"end to end, {live_frames} frames in real time")
    full, live = _end_to_end(plan, scene, frames=live_frames)
    ranked = stages_to_fix(
        live["stage_s"], budgets_s={DETECT: DETECTION_BUDGET_S}, whole_budget_s=LATENCY_BUDGET_S
    )
    per_stage = plain.bookkeeping_s / len(INLINE_STAGES)
    p50_us = float(np.median(per_stage)) * 1e6
    return {
        "picture_px": [WIDTH_PX, HEIGHT_PX],
        "objects": _PEOPLE,
        "frames": frames,
        "inline_stages": list(INLINE_STAGES),
        "bookkeeping_us": {
            "per_frame_and_inline_stage": _us(per_stage),
            "bound_p50": BOOKKEEPING_BOUND_US,
            "holds": p50_us <= BOOKKEEPING_BOUND_US,
            "per_frame": _us(plain.bookkeeping_s),
            "of_it_in_the_core": _us(plain.core_s),
            "of_it_in_the_host": _us(plain.bookkeeping_s - plain.core_s),
            "per_tick_with_log_and_interlocks": _us(plain.tick_s),
        },
        "inline_stages_us": {stage: _us(plain.stage_s[stage]) for stage in INLINE_STAGES},
        "sense_us": _us(plain.stage_s["sense"]),
        "hand_over_us": hand_over,
        "hand-over to an isolated stage": {"us": _us(isolated_s), "start_s": round(start_s, 2)},
        "recording_us": recording,
        "capture_to_command_ms": {
            "full_speed_from_having_the_frame": _ms(full["command_latency_s"]),
            "live_at_15_per_s": _ms(live["command_latency_s"]),
            "budget": LATENCY_BUDGET_S * 1e3,
            "live_accounts": live["accounts"],
        },
        "stages_live_ms": {stage: _ms(seconds) for stage, seconds in live["stage_s"].items()},
        "to_fix": [
            {
                "stage": one.stage,
                "p99_ms": round(one.p99_s * 1e3, 3),
                "budget_ms": round(one.budget_s * 1e3, 3),
                "share": round(one.share, 4),
            }
            for one in ranked[:3]
        ],
    }


# --- bookkeeping --------------------------------------------------------------------------------


class _Stopwatch:
    """Adds up what a function takes until it is read."""

    def __init__(self) -> None:
        self.took_s = 0.0
        self.calls = 0

    def around(self, function: Callable[..., Any]) -> Callable[..., Any]:
        def timed(*args: Any, **named: Any) -> Any:
            began_s = time.perf_counter()
            try:
                return function(*args, **named)
            finally:
                self.took_s += time.perf_counter() - began_s
                self.calls += 1

        return timed

    def read(self) -> float:
        took_s, self.took_s = self.took_s, 0.0
        return took_s


class TimedHost(PartitionHost):
    """A host whose log, core and whole work are timed each for themselves."""

    def __init__(self, *args: Any, **named: Any) -> None:
        super().__init__(*args, **named)
        self.appends, self.commits = _Stopwatch(), _Stopwatch()
        self.steps, self.whole = _Stopwatch(), _Stopwatch()
        logged = cast(Any, self._logged)
        logged.append = self.appends.around(logged.append)
        logged._log.commit = self.commits.around(logged._log.commit)
        core = cast(Any, self.core)
        core.step = self.steps.around(core.step)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Hosted:
    """float64[frames] each, s; ``tick_s`` float64[ticks]."""

    bookkeeping_s: Any
    core_s: Any
    append_s: Any
    commit_s: Any
    stage_s: Mapping[str, Any]
    tick_s: Any
    entries: int


def _hosted(plan: Plan, scene: DrawnScene, *, frames: int, is_durable: bool) -> _Hosted:
    """Feed ``frames`` frames, one commit each, and a tick for every tenth of a second of them."""
    told = TruthTold(scene)
    answers = _Stopwatch()
    cast(Any, told).run = answers.around(told.run)
    with tempfile.TemporaryDirectory(prefix="sightline-frames-") as folder:
        timer, shell = MeasuredStages(time.perf_counter), FrameShell(plan, {})
        host = TimedHost(
            partition_name(0),
            PartitionCore(plan, partition=0, timer=timer, observe_item=shell.observe),
            DirectoryStorage(Path(folder), durable=is_durable),
            guard=told,
            clocks=HostClocks(wall_ns=time.time_ns, monotonic_s=time.perf_counter),
            timer=timer,
            budgets_s=plan.budgets_s(),
            frames=shell,
        )
        feed, commit = host.whole.around(host.feed_items), host.whole.around(host.commit)
        rows: list[tuple[float, float, float, float]] = []
        stages: dict[str, list[float]] = {stage: [] for stage in ("sense", *INLINE_STAGES)}
        ticks: list[float] = []
        entries = 0
        tick_ns = START_NS
        for index in range(_WARM_FRAMES + frames):
            frame = frame_of(scene, index)
            for watch in (host.appends, host.commits, host.steps, host.whole, answers):
                watch.read()
            before = host.appends.calls
            feed([frame])
            committed = commit()
            if index >= _WARM_FRAMES:
                took_s = dict(committed.stage_s)
                inline_s = sum(took_s.get(stage, 0.0) for stage in INLINE_STAGES)
                append_s, commit_s = host.appends.read(), host.commits.read()
                core_s = host.steps.read() - inline_s
                rest_s = host.whole.read() - append_s - commit_s - answers.read()
                rows.append((rest_s - inline_s - took_s["sense"], core_s, append_s, commit_s))
                for stage, seconds in stages.items():
                    seconds.append(took_s.get(stage, 0.0))
                entries += host.appends.calls - before
            while tick_ns <= frame.capture_ns:
                began_s = time.perf_counter()
                host.feed(
                    len(ticks),
                    tick_ns=tick_ns + 1,
                    is_complete=True,
                    is_final=False,
                    batches=(),
                    rejected=(),
                )
                host.commit()
                ticks.append(time.perf_counter() - began_s)
                tick_ns += plan.tick_ns
        host.close()
    bookkeeping_s, core_s, append_s, commit_s = np.array(rows).T
    return _Hosted(
        bookkeeping_s=bookkeeping_s,
        core_s=core_s,
        append_s=append_s,
        commit_s=commit_s,
        stage_s={stage: np.array(seconds) for stage, seconds in stages.items()},
        tick_s=np.array(ticks),
        entries=entries,
    )


# --- hand-over ----------------------------------------------------------------------------------


def _handed_over(plan: Plan, scene: DrawnScene, *, has_fallback: bool, samples: int) -> Any:
    """float64[samples], s from asking the guard to having its outcome."""
    frames = [frame_of(scene, index) for index in range(_WARM_FRAMES + samples)]
    both = Lookers(
        primary=AnswersAtOnce(scene, frames),
        fallback=AnswersAtOnce(scene, frames) if has_fallback else None,
        budget_s=10.0,
    )
    return _asked(plan, both, frames)


def _handed_to_a_process(
    plan: Plan, scene: DrawnScene, *, samples: int
) -> tuple[float, FloatArray]:
    """Seconds to start the process of a detector, and those of :func:`_handed_over` to it."""
    frames = [frame_of(scene, index) for index in range(_WARM_FRAMES + samples)]
    with tempfile.TemporaryDirectory(prefix="sightline-frames-") as folder:
        rows = [
            f"{frame.index + 1},-1,{left},{top},{right - left},{bottom - top},0.9"
            for frame in frames
            for left, top, right, bottom in scene.boxes_px[scene.place(frame.index)]
        ]
        (Path(folder) / "boxes.txt").write_text("\n".join(rows))
        told = GivenForm(use="given", file="boxes.txt", isolated=True, budget_s=DETECTION_BUDGET_S)
        pipeline = plan.pipeline.model_copy(update={"detectors": {"primary": told}})
        began_s = time.perf_counter()
        found = lookers(replace(plan, pipeline=pipeline, folder=Path(folder)))
        start_s = time.perf_counter() - began_s
        return start_s, _asked(plan, replace(found[DETECT, CAMERA], budget_s=10.0), frames)


def _asked(plan: Plan, one: Lookers, frames: Sequence[Frame]) -> FloatArray:
    """float64[frames without those to warm up], s from asking the guard to having its outcome."""
    guard = Guard(plan, {(DETECT, CAMERA): one}, monotonic_s=time.perf_counter)
    took_s = []
    for frame in frames:
        request = FrameRequest(
            request_id=f"{DETECT}:{CAMERA}:{frame.index}",
            stage=DETECT,
            camera=CAMERA,
            ask_primary=True,
        )
        guard.hold(frame)
        began_s = time.perf_counter()
        (outcome,) = guard.run([request])
        took_s.append(time.perf_counter() - began_s)
        assert outcome.status is OutcomeStatus.OK, outcome
    guard.close()
    return np.array(took_s[_WARM_FRAMES:], np.float64)


@contextmanager
def _one_core() -> Iterator[bool]:
    """Keep this thread, and those it starts, on one core; False where that cannot be asked."""
    if not hasattr(os, "sched_setaffinity"):
        yield False
        return
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {min(before)})
    try:
        yield True
    finally:
        os.sched_setaffinity(0, before)


# --- pictures, end to end -----------------------------------------------------------------------


def _picture_costs(scene: DrawnScene, *, samples: int) -> dict[str, Any]:
    """What a picture costs by its digest, which is part of ``sense``, and to be kept."""
    ways: dict[str, Callable[[Frame], object]] = {
        "pixel_digest": pixel_digest,
        "picture_png": lambda frame: image_message(frame, quality=None),
        "picture_jpeg_90": lambda frame: image_message(frame, quality=90),
    }
    found: dict[str, Any] = {}
    for name, way in ways.items():
        took_s = []
        for index in range(samples):
            frame = frame_of(scene, index)
            began_s = time.perf_counter()
            way(frame)
            took_s.append(time.perf_counter() - began_s)
        found[name] = _us(np.array(took_s))
    return found


def _end_to_end(
    plan: Plan, scene: DrawnScene, *, frames: int
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Reports of a run at full speed and of one in real time, with the motion detector."""
    reports = []
    for is_live in (False, True):
        source = (
            DrawnCamera(
                CAMERA, scene, frames=frames, rate_hz=RATE_HZ, phase_s=0.0, now_ns=time.time_ns
            )
            if is_live
            else DrawnRecording(scene, frames)
        )
        found = lookers(plan)[DETECT, CAMERA]
        # At full speed every frame is to be answered by the detector, however loaded the machine.
        budget_s = DETECTION_BUDGET_S if is_live else 1.0
        with tempfile.TemporaryDirectory(prefix="sightline-frames-") as folder:
            report = run_pipeline(
                plan,
                {CAMERA: source},
                Path(folder) / "run",
                looking={(DETECT, CAMERA): replace(found, budget_s=budget_s)},
                options=RunOptions(is_live=is_live),
            )
        reports.append(report.as_mapping())
    return reports[0], reports[1]


def _us(seconds: Any) -> dict[str, float]:
    """Nearest-rank percentiles in µs."""
    shares = {"p50": 50, "p95": 95, "p99": 99, "worst": 100}
    return {
        name: round(float(np.percentile(seconds, share, method="inverted_cdf")) * 1e6, 1)
        for name, share in shares.items()
    }


def _ms(seconds: Mapping[str, float]) -> dict[str, float]:
    return {
        name: value if name == "count" else round(value * 1e3, 3) for name, value in seconds.items()
    }
