"""Sightline from Python: run and replay pipelines, find anomalies in a table, track boxes."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import numpy.typing as npt
import polars as pl

from sightline.errors import UsageError
from sightline.records import Detections, Frame, Tracks
from sightline.records.signals import NS_PER_S
from sightline.records.windows import IntArray

if TYPE_CHECKING:
    from sightline.act import Outlet
    from sightline.evidence.account import Facts
    from sightline.evidence.series_detection import DetectedSeries
    from sightline.perceive.tracking import TrackerSettings
    from sightline.runtime import Plan, ReplayVerdict, RunReport

Sink = Callable[[Mapping[str, Any]], object]
"""Takes an alert or a command as a mapping, as ``jsonl:FILE`` would write it."""
# What runs pipelines is imported by the functions that do: a tracker should not wait for it.


def load_pipeline(path: Path | str) -> Plan:
    """Read a pipeline file and check that everything in it fits together.

    Raises:
        PipelineError, ContractError: naming the file and the field at fault.
    """
    from sightline.runtime import load_plan  # noqa: PLC0415

    return load_plan(Path(path))


def run(
    pipeline: Path | str | Plan,
    *,
    sources: Mapping[str, Any],
    out: Path | str,
    alerts: Mapping[str, Outlet | Sink] | None = None,
    commands: Mapping[str, Outlet | Sink] | None = None,
    **options: Any,
) -> RunReport:
    """Run a pipeline into the folder ``out``.

    Args:
        pipeline: a file, or what :func:`load_pipeline` gives.
        sources: by name: a location (file, folder, ``rtsp://…``), a Polars or pandas table, arrays
            by name, a source; of a camera also its pictures, uint8[n, height, width, 3] (blue,
            green, red) or uint8[n, height, width], or a list of such, at the rate of the contract
            and the first at time 0.
        out: run directory; absent or empty.
        alerts: receivers of alerts, by name: outlets, or functions that are called with each alert
            as a mapping, on a thread of their own; one that raises is asked again.
        commands: ways to machines, by name; functions too.
        options: of :class:`sightline.runtime.RunOptions`: ``speed``, ``workers``, ``resume``, …

    Raises:
        SightlineError: what went wrong, where, and what to do.
    """
    from sightline.registry import import_plugins  # noqa: PLC0415
    from sightline.runtime import Plan, RunOptions, run_pipeline  # noqa: PLC0415
    from sightline.sense import MemorySource, Source, open_source  # noqa: PLC0415
    from sightline.sense.opening import source_registry  # noqa: PLC0415

    plan = pipeline if isinstance(pipeline, Plan) else load_pipeline(pipeline)
    registry = source_registry(import_plugins(plan.pipeline.plugins, where=plan.origin))
    opened: dict[str, Any] = {}
    for name, given in sources.items():
        camera = plan.cameras.get(name)
        contract = camera.contract if camera is not None else plan.contracts.get(name)
        if isinstance(given, Source) or contract is None or not _is_plain(given):
            opened[name] = given
        elif camera is not None and not isinstance(given, str | Path):
            opened[name] = _Pictures(name, _pictures(given, name), camera.contract.rate_hz)
        elif isinstance(given, str | Path):
            opened[name] = open_source(
                name,
                str(given),
                contract,
                options=plan.pipeline.sources[name].options,
                registry=registry,
            )
        else:
            opened[name] = MemorySource(name, {"table": _polars(given)})
    return run_pipeline(
        plan,
        opened,
        Path(out),
        options=RunOptions(**options),
        alerts=_outlets(alerts),
        commands=_outlets(commands),
    )


def _is_plain(given: object) -> bool:
    plain = (str, Path, pl.DataFrame, pl.LazyFrame, np.ndarray, list, tuple, Mapping)
    return isinstance(given, plain) or hasattr(given, "to_numpy")


def _pictures(given: Any, name: str) -> Sequence[npt.NDArray[np.uint8]]:
    """Pictures of one camera, each with two or three axes."""
    for picture in given:
        if (
            not isinstance(picture, np.ndarray)
            or picture.dtype != np.uint8
            or (picture.ndim not in (2, 3))
        ):
            raise UsageError(
                expected="pictures uint8[height, width] or uint8[height, width, 3]",
                got=f"{getattr(picture, 'dtype', type(picture).__name__)}"
                f"{list(getattr(picture, 'shape', ()))}",
                where=f"source {name}",
                action="give the camera a location, or pictures of that form",
            )
    found: Sequence[npt.NDArray[np.uint8]] = given
    return found


@dataclass(frozen=True, slots=True, kw_only=False, eq=False)
class _Pictures:
    """A camera made of pictures; it can be read again."""

    stream: str
    pictures: Sequence[npt.NDArray[np.uint8]]
    rate_hz: float
    durable: bool = True

    def __iter__(self) -> Iterator[Frame]:
        for index, pixels in enumerate(self.pictures):
            at_ns = round(index * NS_PER_S / self.rate_hz)
            yield Frame(
                stream=self.stream,
                index=index,
                capture_ns=at_ns,
                received_ns=at_ns,
                pixels=pixels,
            )


def _outlets(given: Mapping[str, Outlet | Sink] | None) -> dict[str, Outlet]:
    """Functions as outlets; those that are some already as they are."""
    from sightline.act import Outlet  # noqa: PLC0415
    from sightline.act.outlet import DeliveryError  # noqa: PLC0415

    class Called(Outlet):
        """Calls a function with each thing that is said."""

        takes = ("alerts", "commands")

        def __init__(self, name: str, function: Sink) -> None:
            self.name = name
            self.function = function

        def send(self, said: Any, /, *, idempotency_key: str, deadline_s: float) -> None:
            try:
                self.function(json.loads(said.canonical_bytes()))
            except Exception as error:  # it is the user's, and may raise anything
                raise DeliveryError(
                    got=f"{type(error).__name__}: {error}", where=f"function {self.name}"
                ) from error

    return {
        name: one if isinstance(one, Outlet) else Called(name, one)
        for name, one in (given or {}).items()
    }


def replay(path: Path | str) -> ReplayVerdict:
    """Replay a run: true if every decision is the same bytes again."""
    from sightline.runtime import RunDirectory, replay_run  # noqa: PLC0415

    return replay_run(RunDirectory.open(Path(path)))


def decisions(path: Path | str) -> pl.DataFrame:
    """Every revision of every decision of a run, by event time."""
    from sightline.evidence import decisions_frame  # noqa: PLC0415
    from sightline.runtime import RunDirectory  # noqa: PLC0415

    return decisions_frame(RunDirectory.open(Path(path)).decisions())


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Explained:
    """Why a run decided something: ``print`` shows it as text, a notebook as a picture.

    Attributes:
        facts: one by one.
    """

    facts: Facts

    def __str__(self) -> str:
        from sightline.evidence import account_lines  # noqa: PLC0415

        return "\n".join(account_lines(self.facts))

    def _repr_svg_(self) -> str | None:
        from sightline.evidence import draw_svg  # noqa: PLC0415

        return None if self.facts.rows is None else draw_svg(self.facts)


def explain(path: Path | str, decision_id: str) -> Explained:
    """Why a run decided something.

    Args:
        path: run directory.
        decision_id: its id, or how it begins.
    """
    from sightline.evidence import explain as explained  # noqa: PLC0415
    from sightline.runtime import RunDirectory  # noqa: PLC0415

    return Explained(facts=explained(RunDirectory.open(Path(path)), decision_id))


# --- anomalies of a table -------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Found:
    """What :func:`detect` found.

    Attributes:
        events: one row per event: key, start, end, peak (the time of the sample furthest from what
            was before), value (at the peak), score, rows, weaker (beside the strongest).
        scores: one row per row of the table that has a time: row, key, time, value, score, event
            (from 1; 0 outside).
        series: as they were read and scored.
        notes: what could not be read, by reason, and how times and numbers were read.
    """

    events: pl.DataFrame
    scores: pl.DataFrame
    series: tuple[DetectedSeries, ...]
    notes: tuple[str, ...] = ()

    def plot(self, path: Path | str, *, title: str = "") -> None:
        """Draw values, scores and events into a PNG file."""
        from sightline.evidence.series_detection import draw_detections  # noqa: PLC0415

        draw_detections(Path(path), self.series, title=title)

    def _repr_html_(self) -> str:
        return self.events._repr_html_()

    def _repr_png_(self) -> bytes:
        with TemporaryDirectory() as folder:
            path = Path(folder) / "found.png"
            self.plot(path)
            return path.read_bytes()


def detect(
    frame: Any,
    *,
    time: str | None = None,
    value: str = "value",
    key: str | None = None,
    learn: int | None = None,
    threshold: float = 5.0,
    time_format: str | None = None,
    zone: str | None = None,
    decimal: Literal[".", ","] | None = None,
    missing: Sequence[str] = (),
) -> Found:
    """Find what is unlike the past of each series, without labels.

    Args:
        frame: a Polars or pandas table, arrays by name, a structured array, or one array of values.
        time: column of times; ``DATE+CLOCK`` for two. None: rows are evenly spaced and in order.
        value: column of values.
        key: column that tells series apart.
        learn: rows at the beginning that are taken as normal and not scored; None: 15 %, at most
            750.
        threshold: score from which rows are an event; 1 is one deviation beyond what is usual.
        time_format: how times are written, as ``day-first`` or ``%d.%m.%Y``; None: the column
            tells.
        zone: IANA name of the zone of times that state none; None: UTC.
        decimal: decimal sign of numbers in text; None: the column tells.
        missing: texts, or numbers as text, that stand for no value.

    Raises:
        UsageError: a column that is not there, or of which most is no number or no time.
        SourceError: no rows, or too many keys.

    >>> rng = np.random.default_rng(0)
    >>> level = np.sin(np.arange(2000) / 7) + 0.05 * rng.standard_normal(2000)
    >>> level[1500:1510] += 4
    >>> found = detect(pl.DataFrame({"level": level}), value="level")
    >>> found.events.filter(~pl.col("weaker"))["peak"].to_list()
    [1500]
    """
    from sightline.evidence.series_detection import detect_series  # noqa: PLC0415
    from sightline.evidence.series_file import ReadingOptions, series_of  # noqa: PLC0415
    from sightline.perceive.normal import EventRule  # noqa: PLC0415

    options = ReadingOptions(
        time_format=time_format, zone=zone, decimal=decimal, missing=tuple(missing)
    )
    read = series_of(
        _polars(frame), time=time, value=value, key=key, where="the table", options=options
    )
    rule = EventRule(threshold=threshold)
    found = tuple(detect_series(one, train=learn, rule=rule) for one in read.series)
    return Found(
        events=pl.concat([_events(one) for one in found]),
        scores=pl.concat([_scores(one) for one in found]).sort("row"),
        series=found,
        notes=(*map(str, read.unread), *read.notes),
    )


def _events(one: DetectedSeries) -> pl.DataFrame:
    times = _times(one)
    peak = one.peaks()
    return pl.DataFrame(
        {
            "key": pl.Series([one.series.key] * len(peak), dtype=pl.String),
            "start": times[one.events[:, 0]],
            "end": times[one.events[:, 1]],
            "peak": times[peak],
            "value": pl.Series(one.series.values[peak], dtype=pl.Float64),
            "score": pl.Series(one.greatest_scores(), dtype=pl.Float64),
            "rows": pl.Series(one.events[:, 1] - one.events[:, 0] + 1, dtype=pl.Int64),
            "weaker": pl.Series(one.is_weaker, dtype=pl.Boolean),
        }
    )


def _scores(one: DetectedSeries) -> pl.DataFrame:
    event = np.zeros(len(one.score), np.int64)
    for number, (first, last) in enumerate(one.events, start=1):
        event[first : last + 1] = number
    return pl.DataFrame(
        {
            "row": one.series.row,
            "key": pl.Series([one.series.key] * len(event), dtype=pl.String),
            "time": _times(one),
            "value": one.series.values,
            "score": one.score,
            "event": event,
        }
    )


def _times(one: DetectedSeries) -> pl.Series:
    if one.series.time_ns is None:
        return pl.Series(one.series.row, dtype=pl.Int64)
    return pl.Series(one.series.time_ns).cast(pl.Datetime("ns")).dt.replace_time_zone("UTC")


def _polars(frame: Any) -> pl.DataFrame:
    if isinstance(frame, pl.LazyFrame):
        frame = frame.collect()
    if isinstance(frame, pl.DataFrame):
        # Of Python objects Polars knows nothing; their text tells.
        objects = {n: frame[n].to_numpy() for n, kind in frame.schema.items() if kind == pl.Object}
        return frame.with_columns(_columns(objects)) if objects else frame
    if hasattr(frame, "to_dict") and hasattr(frame, "columns"):  # pandas, which is not installed
        return _columns({str(n): np.asarray(frame[n]) for n in frame.columns})
    if isinstance(frame, np.ndarray) and frame.dtype.names is not None:
        return _columns({name: frame[name] for name in frame.dtype.names})
    if isinstance(frame, Mapping):
        return _columns({str(name): _one_axis(name, column) for name, column in frame.items()})
    if isinstance(frame, np.ndarray | pl.Series) and len(frame.shape) == 1:
        return _columns({"value": _one_axis("value", frame)})
    raise UsageError(
        expected="a Polars or pandas table, or columns by name",
        got=type(frame).__name__,
        where="the table",
        action="make it one, for example with polars.DataFrame({...}), or .reset_index() of a "
        "pandas Series",
    )


def _one_axis(name: object, column: Any) -> Any:
    found = column if isinstance(column, pl.Series) else np.asarray(column)
    if len(found.shape) != 1:
        raise UsageError(
            expected="columns with one axis",
            got=f"{name!r} of the shape {found.shape}",
            where="the table",
            action="give each column a name of its own",
        )
    return found


def _columns(columns: Mapping[str, Any]) -> pl.DataFrame:
    """A table of NumPy arrays and Polars series; what Python objects are, their text tells."""
    from sightline.evidence.series_file import plain_array  # noqa: PLC0415

    lengths = {name: len(column) for name, column in columns.items()}
    if len(set(lengths.values())) > 1:
        raise UsageError(
            expected="columns of one length",
            got=", ".join(f"{name}: {length}" for name, length in lengths.items()),
            where="the table",
            action="give each row a value in each column, NaN or None where it has none",
        )
    found: dict[str, pl.Series] = {}
    for name, column in columns.items():
        if isinstance(column, pl.Series):
            found[name] = column
        elif column.dtype == object:
            # A missing number is not equal to itself, and its text would be one more value.
            words = [None if one is None or one != one else str(one) for one in column.tolist()]  # noqa: PLR0124
            found[name] = pl.Series(name, words, dtype=pl.String)
        else:
            found[name] = pl.Series(name, plain_array(column, where=f"the table, {name}"))
    return pl.DataFrame(found)


# --- tracks ---------------------------------------------------------------------------------------


class Tracker:
    """Follows boxes from frame to frame: NumPy in, ids out.

    For distances in metres, classes, zones and a record of all that was decided, use a pipeline.

    Args:
        stream: name of the camera, for errors.
        settings: of :class:`sightline.perceive.tracking.TrackerSettings`.

    >>> tracker = Tracker()
    >>> boxes = np.array([[10.0, 20, 40, 100], [200, 20, 230, 110]])
    >>> for i in range(4):
    ...     ids = tracker.update(boxes + [2 * i, 0, 2 * i, 0], [0.9, 0.8], at_s=i / 10)
    >>> ids.tolist()
    [1, 2]
    """

    def __init__(self, stream: str = "camera", settings: TrackerSettings | None = None) -> None:
        from sightline.perceive.tracking import Tracker as Following  # noqa: PLC0415
        from sightline.perceive.tracking import TrackerSettings  # noqa: PLC0415

        self._settings = settings or TrackerSettings()
        self._following = Following(stream, None, self._settings)
        self.tracks = Tracks.none(stream, 0)
        """All tracks after the last update, those that are carried on unseen among them."""

    def update(
        self,
        boxes: npt.ArrayLike,
        scores: npt.ArrayLike,
        *,
        at_s: float,
        class_ids: npt.ArrayLike | None = None,
    ) -> IntArray:
        """Take the boxes of the next frame.

        Args:
            boxes: float[n, 4], left, top, right, bottom in px.
            scores: float[n], 0 to 1.
            at_s: when the frame was taken, in seconds of any clock; later than the one before.
            class_ids: int[n]; None: all are of one class.

        Returns:
            int64[n], the id of each box, in its order; -1 for one that is no track yet.

        Raises:
            UsageError: boxes inside out, scores beyond 0 to 1, or a time that is not later.
        """
        box_px = np.asarray(boxes, np.float64).reshape(-1, 4)
        score = np.asarray(scores, np.float64).reshape(-1)
        self._check(box_px, score)
        classes = np.zeros(len(score), np.int32)
        if class_ids is not None:
            classes = np.asarray(class_ids, np.int32).reshape(-1)
        seen = Detections(
            stream=self._following.stream,
            capture_ns=round(at_s * NS_PER_S),
            box_px=box_px,
            score=score,
            class_id=classes,
            class_names=tuple(f"class {i}" for i in range(int(classes.max(initial=0)) + 1)),
        )
        self.tracks = self._following.update(seen)
        return self._following.sighting_ids

    def reset(self) -> None:
        """Forget all tracks; ids go on."""
        self._following.reset()

    @staticmethod
    def _check(box_px: npt.NDArray[np.float64], score: npt.NDArray[np.float64]) -> None:
        def refuse(bad: Any, expected: str, values: Any) -> None:
            if bad.any():
                row = int(np.flatnonzero(bad)[0])
                raise UsageError(
                    expected=expected,
                    got=f"{np.asarray(values)[row].tolist()}",
                    where=f"row {row} of what the tracker was given",
                    action="mend the detector, or leave the row out",
                )

        if len(box_px) != len(score):
            raise UsageError(
                expected=f"one score for each of {len(box_px)} boxes",
                got=str(len(score)),
                where="what the tracker was given",
                action="give as many scores as boxes",
            )
        is_finite = np.isfinite(box_px).all(axis=1)
        refuse(~is_finite, "finite boxes", box_px)
        inside_out = (box_px[:, 2] <= box_px[:, 0]) | (box_px[:, 3] <= box_px[:, 1])
        refuse(inside_out, "left, top, right, bottom with right > left and bottom > top", box_px)
        refuse(~((score >= 0) & (score <= 1)), "scores from 0 to 1", score)
