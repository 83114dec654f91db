"""Time per update of the tracker on a simulated crowd, and of ByteTrack in the same run.

Each tracker runs in a process of its own, all pinned to the same core. They take turns, a block of
frames each, so that whatever else the machine does meets them alike. Only ``update`` is timed: the
detections are made before. The compiled loops are also timed against the NumPy that specifies them,
and must agree with it. ``python -m benchmarks.tracker`` prints the result as JSON.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from sightline.errors import UsageError
from sightline.perceive.tracking import (
    Tracker,
    TrackerSettings,
    assignment,
    kalman,
    motion_plane,
)
from sightline.records import Detections
from sightline.records.camera import CameraModel
from sightline.records.signals import NS_PER_S
from tests.perceive.tracking import reference_boxes, reference_kalman

Progress = Callable[[str], None]
FloatArray = npt.NDArray[np.float64]

UPDATE_MS_BOUND = {50: 0.10, 200: 0.30}
"""Median time per update, by objects in sight."""
PEER_RATIO_BOUND = {50: 10.0, 200: 15.0}
"""How many times the peer's median is ours."""

FRAMES_PER_S = 25.0
IMAGE_PX = (1920, 1080)
_HORIZON_PX = 100.0
_HEIGHT_SHARE = 0.3
"""Box height over rows below the horizon: a camera some 6 m high."""

_MAX_OBJECTS = 1000
_BLOCK_FRAMES = 25
_KERNEL_REPETITIONS = 100
_COST_ARGUMENTS = (
    "state", "covariance", "log_size", "size_variance", "box_px", "position", "spread",
    "seen_log_size", "seen_box_px", "size_sd", "gate", "new_cost", "size_gate", "overlap_weight",
)  # fmt: skip
_TIMEOUT_S = 600.0
_CHECKOUT = Path(__file__).parents[1]
_ONE_THREAD = {"NUMBA_NUM_THREADS": "1", "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
_QUANTILES = {"p50": 50, "p95": 95, "p99": 99, "worst": 100}
_OURS = ("ours", "ours_in_metres")
_KERNELS = "kernels"


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Crowd:
    """Detections of a simulated crowd, of all frames one after the other.

    Attributes:
        box_px: float64[n, 4], left, top, right, bottom.
        score: float64[n].
        begins: int64[frames + 1], where each frame begins.
    """

    box_px: FloatArray
    score: FloatArray
    begins: npt.NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.begins) - 1

    def frame(self, number: int) -> tuple[FloatArray, FloatArray]:
        """Boxes and scores of a frame, from 0."""
        part = slice(self.begins[number], self.begins[number + 1])
        return self.box_px[part], self.score[part]

    def save(self, path: Path) -> None:
        np.savez(path, box_px=self.box_px, score=self.score, begins=self.begins)

    @classmethod
    def load(cls, path: Path) -> Crowd:
        with np.load(path, allow_pickle=False) as file:
            return cls(box_px=file["box_px"], score=file["score"], begins=file["begins"])


def simulated_crowd(*, objects: int, frames: int, seed: int) -> Crowd:
    """People who walk about in sight of one camera, as a detector sees them.

    Each walks at 1.3 m/s give or take, turns gradually and stays in the picture. One in ten is
    missed in any frame, one in six has a low score, boxes are off by 3 % of their height, and one
    detection in twenty is false.

    >>> crowd = simulated_crowd(objects=50, frames=3, seed=1)
    >>> len(crowd), crowd.frame(0)[0].shape[1]
    (3, 4)
    """
    rng = np.random.default_rng(seed)
    low, high = np.array([40.0, 400.0]), np.array([IMAGE_PX[0] - 40.0, IMAGE_PX[1] - 10.0])
    foot = rng.uniform(low, high, (objects, 2))
    heading = rng.uniform(0, 2 * np.pi, objects)
    speed_m_s = rng.normal(1.3, 0.3, objects)
    boxes, scores, counts = [], [], []
    for _ in range(frames):
        heading += rng.normal(0, 0.1, objects)
        step_px = speed_m_s / FRAMES_PER_S * _heights(foot) / 1.7
        foot += np.stack([np.cos(heading), np.sin(heading) / 2], axis=1) * step_px[:, None]
        outside = (foot < low) | (foot > high)
        heading = np.where(outside.any(axis=1), heading + np.pi, heading)
        foot = np.clip(foot, low, high)
        seen = foot[rng.random(objects) > 0.1]
        false = rng.uniform(low, high, (rng.poisson(objects / 20), 2))
        at = np.concatenate([seen, false])
        height = _heights(at)
        noise = rng.normal(0, 0.03, (len(at), 4)) * height[:, None]
        half = 0.2 * height
        exact = np.stack([at[:, 0] - half, at[:, 1] - height, at[:, 0] + half, at[:, 1]], axis=1)
        is_sure = rng.random(len(at)) > 1 / 6
        score = np.where(is_sure, rng.uniform(0.65, 1, len(at)), rng.uniform(0.2, 0.6, len(at)))
        score[len(seen) :] = rng.uniform(0.2, 0.8, len(false))
        boxes.append(exact + noise)
        scores.append(score)
        counts.append(len(at))
    return Crowd(
        box_px=np.concatenate(boxes),
        score=np.concatenate(scores),
        begins=np.concatenate([[0], np.cumsum(counts)]).astype(np.int64),
    )


def _heights(foot_px: FloatArray) -> FloatArray:
    height: FloatArray = _HEIGHT_SHARE * (foot_px[:, 1] - _HORIZON_PX)
    return height


def _camera() -> CameraModel:
    """What makes those people 1.7 m high: the ground under a level camera."""
    depth_m = 1.7 / _HEIGHT_SHARE  # of the ground below the camera, in camera heights of 1 px
    matrix = np.array(
        [[depth_m, 0, -depth_m * IMAGE_PX[0] / 2], [0, 0, depth_m * 1000], [0, 1, -_HORIZON_PX]]
    )
    return CameraModel.homography(matrix, image_size_px=IMAGE_PX)


def _silent(_message: str) -> None:
    pass


def bench_tracker(
    *,
    objects: tuple[int, ...] = (50, 200),
    frames: int = 500,
    seed: int = 1,
    peers: bool = False,
    peer_python: Path = Path(".venv-peers/bin/python"),
    progress: Progress = _silent,
) -> dict[str, Any]:
    """Measure updates with so many objects in sight.

    Args:
        objects: crowd sizes, each measured by itself.
        frames: updates timed of each, after as many as make one block to warm up.
        seed: of the crowd.
        peers: also time ByteTrack of ``trackers``, in turns with ours.
        peer_python: interpreter that has it; absent means it is skipped, with a reason.
        progress: told what is about to be measured.

    Raises:
        UsageError: for crowds of less than one or too many, or for less than one block of frames.
        RuntimeError: if one of our own measurements fails.
    """
    if not all(1 <= n <= _MAX_OBJECTS for n in objects) or frames < _BLOCK_FRAMES:
        raise UsageError(
            expected=f"1 to {_MAX_OBJECTS} objects and at least {_BLOCK_FRAMES} frames",
            got=f"{list(objects)} objects and {frames} frames",
            where="bench tracker",
            action="give numbers in range",
        )
    blocks = 1 + frames // _BLOCK_FRAMES
    found = []
    with tempfile.TemporaryDirectory() as folder:
        for count in objects:
            progress(f"{count} objects, {blocks} blocks of {_BLOCK_FRAMES} frames")
            crowd = simulated_crowd(objects=count, frames=blocks * _BLOCK_FRAMES, seed=seed)
            path = Path(folder) / f"crowd_{count}.npz"
            crowd.save(path)
            found.append(_measured(count, crowd, path, peer_python.absolute() if peers else None))
    return {
        "benchmark": "tracker",
        "frames": (blocks - 1) * _BLOCK_FRAMES,
        "seed": seed,
        "core": max(os.sched_getaffinity(0)),
        "crowds": found,
    }


def _measured(objects: int, crowd: Crowd, path: Path, peer_python: Path | None) -> dict[str, Any]:
    blocks = len(crowd) // _BLOCK_FRAMES
    result: dict[str, Any] = {
        "objects": objects,
        "detections_per_frame": len(crowd.score) / len(crowd),
    }
    with ExitStack() as running:
        workers = {name: running.enter_context(_ours(name, path)) for name in _OURS}
        if peer_python is not None:
            if peer_python.exists():
                workers["bytetrack"] = running.enter_context(
                    _Worker([str(peer_python), "-m", "benchmarks.peers.trackers_speed", str(path)])
                )
            else:
                reason = f"no interpreter at {peer_python}: run `make peers`"
                result["bytetrack"] = {"skipped": reason}
        update_ms: dict[str, list[float]] = {name: [] for name in workers}
        tracks: dict[str, list[int]] = {name: [] for name in workers}
        for block in range(blocks):
            for name, worker in workers.items():
                answer = worker.run(block * _BLOCK_FRAMES, (block + 1) * _BLOCK_FRAMES)
                if block:  # the first warms up
                    update_ms[name] += answer["update_ms"]
                    tracks[name] += answer["tracks"]
        kernels = running.enter_context(_ours(_KERNELS, path)).run(0, 2 * _BLOCK_FRAMES)
        for name, worker in workers.items():
            result[name] = {
                "version": worker.version,
                "tracks_per_frame": float(np.mean(tracks[name])),
                "update_ms": {
                    q: float(np.percentile(update_ms[name], at)) for q, at in _QUANTILES.items()
                },
            }
    return result | _verdict(objects, result) | {"kernels": kernels}


def _verdict(objects: int, result: dict[str, Any]) -> dict[str, Any]:
    ours_ms = result["ours"]["update_ms"]["p50"]
    found: dict[str, Any] = {}
    if objects in UPDATE_MS_BOUND:
        found["update_ms_bound"] = UPDATE_MS_BOUND[objects]
        found["is_within_update_bound"] = ours_ms <= UPDATE_MS_BOUND[objects]
    peer = result.get("bytetrack", {})
    if "update_ms" in peer:
        ratio = peer["update_ms"]["p50"] / ours_ms
        found["bytetrack_over_ours"] = ratio
        if objects in PEER_RATIO_BOUND:
            found["bytetrack_over_ours_bound"] = PEER_RATIO_BOUND[objects]
            found["is_within_peer_bound"] = ratio >= PEER_RATIO_BOUND[objects]
    return found


class _Worker:
    """A process that runs blocks of frames when told to."""

    def __init__(self, command: list[str]) -> None:
        self._process = subprocess.Popen(
            command,
            cwd=_CHECKOUT,
            env=os.environ | _ONE_THREAD | {"PYTHONDONTWRITEBYTECODE": "1"},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self.version = ""

    def __enter__(self) -> Self:
        self.version = self._answer()["version"]
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        where: TracebackType | None,
    ) -> None:
        if error is not None:
            self._process.kill()
        self._process.communicate(timeout=_TIMEOUT_S)

    def run(self, first: int, end: int) -> dict[str, Any]:
        """Give the frames from ``first`` to before ``end``; times and tracks of each."""
        assert self._process.stdin is not None
        self._process.stdin.write(f"{first} {end}\n")
        self._process.stdin.flush()
        return self._answer()

    def _answer(self) -> dict[str, Any]:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            code = self._process.wait(_TIMEOUT_S)
            message = f"{self._process.args!r} ended with exit code {code}"
            raise RuntimeError(message)
        found: dict[str, Any] = json.loads(line)
        return found


def _ours(name: str, path: Path) -> _Worker:
    return _Worker([sys.executable, "-m", "benchmarks.tracker", name, str(path)])


def _work(name: str, path: Path) -> None:
    """One of ours, as a worker: blocks from standard input, times to standard output."""
    os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})
    crowd = Crowd.load(path)
    tracker = Tracker("bench", _camera() if name == "ours_in_metres" else None)
    frames = []
    for number in range(len(crowd)):
        box_px, score = crowd.frame(number)
        capture_ns = round(number * NS_PER_S / FRAMES_PER_S)
        frames.append(Detections.of("bench", capture_ns, box_px=box_px, score=score))
    _say({"version": "here"})
    for line in sys.stdin:
        first, end = map(int, line.split())
        if name == _KERNELS:
            _say(kernel_times(frames[first:end]))
            continue
        update_ms, tracks = [], []
        for detections in frames[first:end]:
            start_s = time.perf_counter()
            found = tracker.update(detections)
            update_ms.append(1000 * (time.perf_counter() - start_s))
            tracks.append(len(found))
        _say({"update_ms": update_ms, "tracks": tracks})


def kernel_times(frames: list[Detections]) -> dict[str, Any]:
    """Compiled loops against their NumPy specification, on the last of these frames.

    For each step: median times in ms, their ratio, and whether both say the same.
    """
    tracker, settings = Tracker("bench"), TrackerSettings()
    for detections in frames[:-1]:
        tracker.update(detections)
    table, last = tracker.snapshot()[1], frames[-1]
    state, covariance = table["state"], table["covariance"]
    log_size, size_variance = table["log_size"], table["size_variance"]
    raw = (last.box_px, last.score, last.class_id, settings.side_sd, settings.foot_sd,
           settings.sure_score, *settings.weak_evidence)  # fmt: skip
    seen = reference_boxes.usable(*raw)
    box_px, score, _, class_id, position, spread, seen_size = seen[:7]
    motion = (
        1 / FRAMES_PER_S, settings.acceleration_m_s2, settings.acceleration_share,
        settings.assumed_height_m, settings.size_drift,
    )  # fmt: skip
    numbers = (
        settings.size_sd, settings.gate, settings.new_cost, settings.size_gate,
        settings.overlap_weight,
    )  # fmt: skip
    predicted = motion_plane.boxes_of(state, log_size)
    ours = (state, covariance, log_size, size_variance, predicted)
    theirs = (position, spread, seen_size, box_px)
    confirmed = (table["track_id"], score, settings.high_score)

    dense: dict[str, Any] = dict(zip(_COST_ARGUMENTS, (*ours, *theirs, *numbers), strict=True))

    def match_in_numpy() -> Any:
        return reference_kalman.assign_in_rounds(reference_kalman.costs(**dense), *confirmed)

    def match_compiled() -> Any:
        pairs = kalman.possible_pairs(*ours, table["class_id"], *theirs, class_id, False, *numbers)
        return assignment.assign_in_rounds(*pairs, *confirmed)

    matched = match_compiled()
    rows, columns = matched[matched >= 0], np.flatnonzero(matched >= 0)
    sighted = (state[rows], covariance[rows], position[columns], spread[columns])

    def predict_compiled() -> Any:
        copies = state.copy(), covariance.copy(), log_size, size_variance.copy()
        kalman.predict_in_place(*copies, *motion)
        return copies[0], copies[1], copies[3]

    def update_compiled() -> Any:
        copies = sighted[0].copy(), sighted[1].copy()
        kalman.update_in_place(*copies, *sighted[2:])
        return copies

    steps: dict[str, tuple[Callable[[], Any], Callable[[], Any]]] = {
        "usable": (lambda: reference_boxes.usable(*raw), lambda: motion_plane.usable(*raw)),
        "predict": (
            lambda: reference_kalman.predict(*ours[:4], *motion),
            predict_compiled,
        ),
        "match": (match_in_numpy, match_compiled),
        "update": (lambda: reference_kalman.update(*sighted), update_compiled),
    }
    found = {}
    for name, (in_numpy, compiled) in steps.items():
        numpy_ms, kernel_ms = _median_ms(in_numpy), _median_ms(compiled)
        found[name] = {
            "numpy_ms": numpy_ms,
            "kernel_ms": kernel_ms,
            "ratio": numpy_ms / kernel_ms,
            "is_equal": _agree(in_numpy(), compiled()),
        }
    return found


def _median_ms(call: Callable[[], Any]) -> float:
    times_ms = []
    for _ in range(_KERNEL_REPETITIONS):
        start_s = time.perf_counter()
        call()
        times_ms.append(1000 * (time.perf_counter() - start_s))
    return float(np.median(times_ms))


def _agree(a: Any, b: Any) -> bool:
    if isinstance(a, tuple):
        return all(_agree(x, y) for x, y in zip(a, b, strict=True))
    return np.shape(a) == np.shape(b) and bool(np.allclose(a, b, rtol=1e-9, atol=1e-9))


def _say(answer: dict[str, Any]) -> None:
    sys.stdout.write(json.dumps(answer) + "\n")
    sys.stdout.flush()


def main(arguments: list[str]) -> None:
    match arguments:
        case [name, path] if name in (*_OURS, _KERNELS):
            _work(name, Path(path))
            return
        case [] | ["--peers"]:
            result = bench_tracker(peers=bool(arguments))
        case _:  # never a benchmark: a worker that started one would start workers without end
            raise UsageError(
                expected=f"nothing, --peers, or {', '.join((*_OURS, _KERNELS))} and a file",
                got=" ".join(arguments),
                where="bench tracker",
                action="use sightline lab bench tracker",
            )
    sys.stdout.write(json.dumps(result, indent=2) + "\n")


if __name__ == "__main__":
    main(sys.argv[1:])
