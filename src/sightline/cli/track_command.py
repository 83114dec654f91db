"""``sightline lab track``: things followed through a file of detections."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Protocol

import numpy as np
import polars as pl
import typer

from sightline.cli.console import Json, Terminal, print_json, print_note, working
from sightline.cli.output_files import check_outputs
from sightline.errors import RefusedError, SourceError, UsageError, writing
from sightline.perceive.tracking import Tracker
from sightline.records import Detections, Tracks
from sightline.records.signals import NS_PER_S
from sightline.records.windows import IntArray
from sightline.sense.camera_files import load_camera
from sightline.sense.frames.mot_files import (
    MotDetections,
    read_detections,
    read_frame_times,
    write_tracks,
)

ASSUMED_FPS = 25.0
"""Taken where no rate is given. Recordings have 7 to 30 frames a second: give the true rate."""
MIN_FPS, MAX_FPS = 0.01, 1e6
_SHOWN_REFUSED = 20
_USUAL_STEP, _STEPS_TOLD_FROM = 30, 3
"""A step between frames with detections that is no rare one, and how many are looked at."""
_WHY_UNUSED = {
    "no_track": "seen too seldom, for how sure they are, to begin one",
    "off_plane": "above the horizon of the camera model",
    "too_many": "the tracker holds as many tracks as it may",
}
_QUANTILES = {"p50": 50, "p95": 95, "p99": 99, "worst": 100}


class FrameTracker(Protocol):
    """What ``sightline lab track`` asks of a tracker."""

    @property
    def held(self) -> int:
        """Tracks that may still be continued."""
        ...

    def update(self, detections: Detections) -> Tracks:
        """Take the detections of the next frame; the tracks as they are then."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Followed:
    """Tracks of a file, and how long the tracker took.

    Attributes:
        tracks: frame number and tracks of each frame that has any.
        update_ms: wall-clock time of each update.
    """

    tracks: list[tuple[int, Tracks]]
    update_ms: list[float]


def track(
    detections: Annotated[Path, typer.Argument(help="Detections in MOTChallenge form.")],
    out: Annotated[Path, typer.Option("-o", "--out", help="Tracks in MOTChallenge form.")],
    fps: Annotated[float | None, typer.Option(help="Frames per second.")] = None,
    timestamps: Annotated[
        Path | None, typer.Option(help="Capture time of each frame in seconds, one a line.")
    ] = None,
    camera: Annotated[
        Path | None, typer.Option(help="Camera model; with it tracks move in metres.")
    ] = None,
    ignore_scores: Annotated[
        bool,
        typer.Option("--ignore-scores", help="Do not use the scores: they are no probabilities."),
    ] = False,
    max_unseen: Annotated[
        float | None,
        typer.Option(
            min=0, metavar="SECONDS", help="Leave out tracks that were not seen for longer."
        ),
    ] = None,
    as_json: Json = False,
) -> None:
    """Track things through a file of detections: each box gets the id of its track."""
    check_outputs({"-o": out}, inputs=[detections, timestamps, camera])
    stream = detections.stem
    model = load_camera(camera) if camera else None
    found = read_detections(detections, uses_scores=not ignore_scores)
    times, clock = _capture_times(found, fps=fps, timestamps=timestamps)
    if clock["source"] == "assumed":
        print_note(f"no --fps or --timestamps: {ASSUMED_FPS:g} fps assumed")
    tracker = Tracker(stream, model)
    notes = _frame_notes(found)
    with working("track", total=len(found.frames), is_quiet=as_json) as note:
        frames = zip(
            found.frames.tolist(), _stepped(found.by_frame(stream, times(found.frames)), note),
            strict=True,
        )  # fmt: skip
        last = clock.pop("frames")
        followed = follow(tracker, frames, times=times, last=last)
    with writing(out):
        rows = write_tracks(out, followed.tracks, max_unseen_s=max_unseen)
    summary = {
        "detections_file": str(detections),
        "tracks_file": str(out),
        "camera": str(camera) if camera else None,
        "time": clock,
        "frames": last,
        "frames_with_detections": len(found.frames),
        "rows": found.rows,
        "detections": len(found.table),
        "rows_out_of_order": found.rows_out_of_order,
        "refused": _by_reason(found),
        "refused_rows": _refused_rows(found),
        "unused_by_tracker": dict(tracker.left_aside),
        "tracks": len({i for _, seen in followed.tracks for i in seen.track_id.tolist()}),
        "track_rows": rows,
        "update_ms": _quantiles(followed.update_ms),
        "notes": notes,
    }
    if as_json:
        print_json(summary)
    else:
        _show_tracking(summary)
    if found.refused.height and not len(found.table):
        first = _refused_rows(found)[0]
        raise SourceError(
            expected="rows of detections",
            got=f"none: all {found.rows:,} refused, the first {first['reason']} "
            f"({first['field']}: {first['detail']})",
            where=str(detections),
            action="give commas between frame, id, left, top, width, height, score",
        )
    if 2 * found.refused.height > found.rows:
        raise RefusedError(
            expected="rows of detections of which most can be used",
            got=f"{found.refused.height:,} of {found.rows:,} refused, {_by_reason(found)}",
            where=str(detections),
            action="see the refused rows above; what was left is tracked",
        )


def follow(
    tracker: FrameTracker,
    frames: Iterable[tuple[int, Detections]],
    *,
    times: FrameTimes,
    last: int,
) -> Followed:
    """Give a tracker one frame after the other, timing each update.

    In a gap it is given frames without detections only as long as it holds tracks: what is kept,
    and what is done, goes with the detections, however large the numbers of the frames are.

    Args:
        tracker: of one camera.
        frames: number, from 1, and detections of those that have any, in their order.
        times: of any frame.
        last: number of the last frame there is.
    """
    tracks: list[tuple[int, Tracks]] = []
    update_ms: list[float] = []

    def update(number: int, detections: Detections) -> None:
        start_s = time.perf_counter()
        found = tracker.update(detections)
        update_ms.append(1000 * (time.perf_counter() - start_s))
        if len(found):
            tracks.append((number, found))

    def pass_by(first: int, end: int) -> None:
        for number in range(first, end):
            if not tracker.held:
                break
            at_ns = int(times(np.array([number]))[0])
            update(number, Detections.of(stream, at_ns, box_px=[], score=[]))

    following, stream = 1, ""
    for number, detections in frames:
        pass_by(following, number)
        update(number, detections)
        following, stream = number + 1, detections.stream
    pass_by(following, last + 1)
    return Followed(tracks=tracks, update_ms=update_ms)


FrameTimes = Callable[[IntArray], IntArray]
"""Capture times, UTC ns, of frames by their numbers from 1."""


def _capture_times(
    found: MotDetections, *, fps: float | None, timestamps: Path | None
) -> tuple[FrameTimes, dict[str, Any]]:
    """When frames were taken; where that is from, and the number of ``frames``."""
    if fps is not None and timestamps is not None:
        raise UsageError(
            expected="--fps or --timestamps",
            got="both",
            where="track",
            action="give the one that is known",
        )
    if timestamps is not None:
        listed_ns = read_frame_times(timestamps)
        if len(listed_ns) < found.last_frame:
            raise SourceError(
                expected=f"a capture time for each of {found.last_frame} frames",
                got=str(len(listed_ns)),
                where=str(timestamps),
                action="give one time per frame, from frame 1 on",
            )
        source = {"source": "timestamps", "file": str(timestamps), "frames": len(listed_ns)}
        return lambda number: listed_ns[number - 1], source
    rate = ASSUMED_FPS if fps is None else fps
    if not MIN_FPS <= rate <= MAX_FPS:
        raise UsageError(
            expected=f"{MIN_FPS:g} to {MAX_FPS:g} frames per second",
            got=f"{rate:g}",
            where="--fps",
            action="give the rate of the recording",
        )

    def at_rate(number: IntArray) -> IntArray:
        found_ns: IntArray = np.rint((number - 1) * (NS_PER_S / rate)).astype(np.int64)
        return found_ns

    source = {"source": "assumed" if fps is None else "fps", "fps": rate}
    return at_rate, source | {"frames": found.last_frame}


def _frame_notes(found: MotDetections) -> list[str]:
    """What the numbers of the frames look like, where they may be no numbers of frames."""
    notes = []
    steps = np.diff(found.frames)
    if len(steps) >= _STEPS_TOLD_FROM and np.median(steps) > _USUAL_STEP:
        notes.append(
            f"frame numbers go up by {np.median(steps):g} at a time: is this a time? Each number "
            "is taken for one frame at --fps; number the frames, and give --timestamps"
        )
    if len(found.table) >= _STEPS_TOLD_FROM and np.abs(found.table.box_px).max() <= 1.0:
        notes.append("all boxes lie within 0 to 1: are they shares of a picture? They count as px")
    at_zero = found.refused.filter(
        (pl.col("field") == "frame") & pl.col("detail").str.ends_with("got 0")
    ).height
    if at_zero:
        notes.append(
            f"{at_zero} rows of frame 0 are left out: frames count from 1; add 1 where a file "
            "counts from 0"
        )
    return notes


def _quantiles(update_ms: list[float]) -> dict[str, float | None]:
    if not update_ms:
        return dict.fromkeys(_QUANTILES)
    return {name: float(np.percentile(update_ms, q)) for name, q in _QUANTILES.items()}


def _by_reason(found: MotDetections) -> dict[str, int]:
    counts = found.refused.group_by("reason").len().sort("reason")
    return dict(counts.iter_rows())


def _refused_rows(found: MotDetections) -> list[dict[str, Any]]:
    shown = found.refused.head(_SHOWN_REFUSED)
    return shown.rename({"_row": "row"}).select("row", "reason", "field", "detail").to_dicts()


def _show_tracking(summary: Mapping[str, Any]) -> None:
    console = Terminal()
    refused = sum(summary["refused"].values())
    console.print(
        f"{summary['frames']:,} frames, {summary['detections']:,} detections, {refused:,} refused"
    )
    for reason, count in summary["refused"].items():
        console.print(f"  {reason:24} {count:>9,}", markup=False)
    for row in summary["refused_rows"]:
        place = f"row {row['row']}" if row["row"] >= 0 else "file"
        console.print(f"  {place}: {row['reason']} {row['field']}: {row['detail']}", markup=False)
    for why, count in summary["unused_by_tracker"].items():
        meaning = _WHY_UNUSED.get(why, "")
        console.print(f"  in no track: {count:,} {why}{meaning and f': {meaning}'}", markup=False)
    console.print(f"{summary['tracks']:,} tracks in {summary['track_rows']:,} boxes", markup=False)
    times = [f"{k} {v:.3g}" for k, v in summary["update_ms"].items() if v is not None]
    if times:
        console.print(f"ms per update: {', '.join(times)}", markup=False)
    for note in summary["notes"]:
        console.print(f"note: {note}", markup=False)
    console.print(f"tracks: {summary['tracks_file']}", markup=False)


def _stepped(frames: Iterable[Detections], note: Callable[..., None]) -> Iterator[Detections]:
    for done, frame in enumerate(frames, start=1):
        yield frame
        note(done)
