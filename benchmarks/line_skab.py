"""A line whose process sensors are those of a real water pump (SKAB), with simulated parts.

Each labelled run of the benchmark becomes the process of a line: a part every five seconds, its
picture good, its way short. Each of the eight sensors is scored against its own past (``novelty``,
which learns from the first 400 rows, as the benchmark's protocol has it); a part of which a sensor
is at or above the threshold of every other series (4) goes to review. Then the same with one sensor
that falls silent, and with all of them: what that does to where parts go.

A score is of a stretch of up to 128 s, so it is known for a while after its sensor fell silent.
The figures of the detector by the published protocol are those of ``sightline lab evaluate skab``.
"""

from __future__ import annotations

import tempfile
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from benchmarks.published.skab import THRESHOLD, TRAINING_ROWS, evaluate_skab
from sightline.errors import SourceError
from sightline.records import Frame
from sightline.records.part import PartRecord
from sightline.records.signals import NS_PER_S
from sightline.runtime import Plan, RunDirectory, RunOptions, make_plan, run_pipeline
from sightline.runtime.engine.guarding import Lookers
from sightline.runtime.pipeline import parse_pipeline
from sightline.sense import MemorySource
from sightline.sense.contract import parse_contract
from sightline.sense.frames.delivery import CameraSource, Delivery, FrameItem

Progress = Callable[[str], None]
SENSORS = {
    "Accelerometer1RMS": "accelerometer_1",
    "Accelerometer2RMS": "accelerometer_2",
    "Current": "current",
    "Pressure": "pressure",
    "Temperature": "temperature",
    "Thermocouple": "thermocouple",
    "Voltage": "voltage",
    "Volume Flow RateRMS": "flow",
}
SILENT = "pressure"
"""The sensor that falls silent in the second run of each file."""
PART_S, SPEED_M_S, GATE_M = 5, 0.1, 1.2
SILENT_FROM = 600
"""Row from which sensors are silent."""
REJECT_FROM, REVIEW_FROM, MARGIN = 8.0, 6.0, 2.0
VARIANTS: Mapping[str, Sequence[str]] = {
    "all sensors": (),
    f"{SILENT} silent": (SILENT,),
    "all silent": tuple(SENSORS.values()),
}


class _Scores:
    """An inspector of drawn scores: good parts, one in a hundred of which is near a threshold."""

    version = "drawn@1"

    def look(self, frames: Sequence[Frame]) -> list[Any]:
        return [
            {
                "score": float(np.random.default_rng([7, frame.index]).normal(0.0, 2.0)),
                "reject_from": REJECT_FROM, "review_from": REVIEW_FROM, "breach": 0.0,
                "novelty": 0.0, "likeness": 0.0, "x1": 0.0, "y1": 0.0, "x2": 0.0, "y2": 0.0,
            }
            for frame in frames
        ]  # fmt: skip


class _Top(CameraSource):
    """A picture of each part, 0.5 m behind the trigger."""

    durable = True

    def __init__(self, at_ns: Sequence[int]) -> None:
        self.name = "top"
        self._at_ns = at_ns

    def __iter__(self) -> Any:
        delivery = Delivery(self.name, "drawn")
        pixels = np.full((4, 6), 120, np.uint8)
        for at_ns in self._at_ns:
            items: list[FrameItem] = list(
                delivery.frame(pixels, capture_ns=at_ns, received_ns=at_ns)
            )
            yield from items


def skab_plan() -> Plan:
    """The pipeline."""
    fields = {n: {"type": "number", "unit": "1", "required": False} for n in SENSORS.values()}
    fields |= {
        "encoder_m": {"type": "number", "unit": "m", "required": False},
        "barrier": {"type": "number", "unit": "1", "required": False},
    }
    contract = parse_contract(
        {
            "contract": "process", "key": ["unit"], "fields": fields,
            "event_time": {"column": "time_ns", "format": "unix_ns"},
        },
        where="skab",
    )  # fmt: skip
    process = {
        name: {
            "column": f"unlike.{name}", "key": "rig", "unit": "1", "high": THRESHOLD,
            "then": "review", "at_m": 0.1, "within_s": 4.0,
        }
        for name in SENSORS.values()
    }  # fmt: skip
    health = dict.fromkeys(
        ("frozen", "black", "over_exposed", "blurred", "covered", "moved", "shifted")
    )
    frames = {"width_px": 6, "height_px": 4, "channels": 1, "rate_hz": 1, "max_age_s": 5,
              "health": health}  # fmt: skip
    form = {
        "pipeline": "skab_line", "tick_s": 1, "idle_s": 2, "latency_budget_s": 5,
        "images": {"keep": "digest"},
        "sources": {"process": {"contract": "-"}, "top": {"frames": frames}},
        "stages": {
            "seconds": {"use": "windows", "input": "process", "width_s": 1,
                        "fields": list(SENSORS.values()), "statistics": ["mean"]},
            "unlike": {"use": "novelty", "input": "seconds", "measures": ["*.mean"],
                       "learn_windows": TRAINING_ROWS},
            "look": {"use": "inspect", "input": "top", "model": "-", "guarded": {"budget_s": 1}},
            "parts": {
                "use": "parts", "input": "look", "line": {"source": "process", "key": "line"},
                "stations": {"look": {"at_m": 0.5, "tolerance_m": 0.05}}, "gate_m": GATE_M,
                "deadline_s": 60, "min_gap_m": 0.1, "nominal_m_s": SPEED_M_S, "silent_s": 5,
                "process": process, "degraded_margin": MARGIN,
                "hold": {"rejects": 10_000, "of": 10_000},
            },
        },
    }  # fmt: skip
    return make_plan(parse_pipeline(form, where="skab"), {"process": contract}, where="skab")


def process_rows(file: pl.DataFrame, silent: Sequence[str]) -> tuple[pl.DataFrame, pl.Series]:
    """Rows of a rig and of a line around it, and the times of the rig's rows (UTC ns)."""
    time_ns = file["datetime"].str.to_datetime().dt.epoch("ns")
    is_silent = pl.int_range(pl.len()) >= SILENT_FROM
    rig = file.select(
        pl.lit("rig").alias("unit"),
        time_ns.alias("time_ns"),
        *(
            (pl.when(~is_silent).then(pl.col(theirs)) if ours in silent else pl.col(theirs)).alias(
                ours
            )
            for theirs, ours in SENSORS.items()
        ),
    )
    if len(silent) == len(SENSORS):
        rig = rig.head(SILENT_FROM)
    first, last = int(time_ns[0]), int(time_ns[-1])
    at_ns = np.arange(first, last, NS_PER_S // 2)
    belt = pl.DataFrame(
        {"unit": "line", "time_ns": at_ns, "encoder_m": (at_ns - first) / NS_PER_S * SPEED_M_S}
    )
    born_ns = np.arange(first + NS_PER_S, last, PART_S * NS_PER_S)
    light = pl.DataFrame(
        {
            "unit": "line",
            "time_ns": np.concatenate([born_ns, born_ns + NS_PER_S]),
            "barrier": np.repeat([1.0, 0.0], len(born_ns)),
        }
    )
    rows = pl.concat([rig, belt, light], how="diagonal").sort("time_ns", maintain_order=True)
    return rows.unique(["unit", "time_ns", "barrier"], maintain_order=True), time_ns


def bench_line_skab(folder: Path, *, progress: Progress = lambda text: None) -> dict[str, Any]:
    """Run every labelled run of ``folder`` as the process of a line, with and without sensors.

    Raises:
        SourceError: no run.
    """
    published = evaluate_skab(folder).as_mapping()
    plan = skab_plan()
    paths = [p for p in sorted(folder.rglob("*.csv")) if _is_labelled(p)]
    if not paths:
        raise SourceError(expected="labelled runs", got="none", where=str(folder),
                          action="give the folder of the benchmark")  # fmt: skip
    counts: dict[str, Counter[str]] = {name: Counter() for name in VARIANTS}
    for number, path in enumerate(paths, start=1):
        progress(f"{path.name}, {number} of {len(paths)}")
        file = pl.read_csv(path, separator=";")
        for name, silent in VARIANTS.items():
            counts[name] += _dispositions(plan, file, silent)
    return {
        "runs": len(paths),
        "detector_by_the_published_protocol": published,
        "threshold": THRESHOLD,
        "silent_from_row": SILENT_FROM,
        "parts": {name: _shares(found) for name, found in counts.items()},
    }


def _is_labelled(path: Path) -> bool:
    return "anomaly" in pl.read_csv(path, separator=";", n_rows=1).columns


def _dispositions(plan: Plan, file: pl.DataFrame, silent: Sequence[str]) -> Counter[str]:
    """Parts born after the sensors fell silent: how many went where, in which mode, by state."""
    rows, time_ns = process_rows(file, silent)
    is_born = (pl.col("barrier") == 1.0) & (pl.col("unit") == "line")
    pictures = (rows.filter(is_born)["time_ns"] + 5 * NS_PER_S).to_list()
    last = int(time_ns[-1])
    lookers = {("look", "top"): Lookers(primary=_Scores(), fallback=None, budget_s=1.0,
                                        finds=("score",))}  # fmt: skip
    with tempfile.TemporaryDirectory() as name:
        out = Path(name) / "run"
        run_pipeline(
            plan,
            {
                "process": MemorySource("process", {"process": rows}),
                "top": _Top([at for at in pictures if at < last]),
            },
            out,
            looking=lookers,
            options=RunOptions(durable=False),
        )
        records = [r for r in RunDirectory.open(out).parts() if isinstance(r, PartRecord)]
    label = file["anomaly"].to_numpy() > 0
    at = np.searchsorted(time_ns.to_numpy(), [r.born_ns for r in records])
    found: Counter[str] = Counter()
    for place, record in zip(at.tolist(), records, strict=True):
        # Those of the last metres were still under way when the recording ended.
        if SILENT_FROM <= place < len(label) and record.pictures:
            state = "anomaly" if label[place] else "normal"
            found[f"{state} {record.disposition}"] += 1
            found[f"{state} {record.mode}"] += 1
            found[state] += 1
    return found


def _shares(found: Counter[str]) -> dict[str, Any]:
    return {
        state: {
            "parts": found[state],
            **{
                word: round(found[f"{state} {word}"] / max(found[state], 1), 4)
                for word in ("accept", "review", "scrap", "primary", "degraded", "fallback")
            },
        }
        for state in ("normal", "anomaly")
    }
