"""A line that is simulated: a belt with an encoder, three stations, an oven and a welder.

The truth is known: which parts came, which have a defect, and what was lost, late or doubled on
the way. All follows from the seed.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

import cv2
import numpy as np
import polars as pl

from sightline.records.frames import Image
from sightline.records.signals import NS_PER_S
from sightline.records.windows import FloatArray, IntArray
from sightline.sense.frames.delivery import CameraSource, Delivery, FrameItem

STATIONS = {"top": 0.5, "side": 1.0, "end": 1.5}
"""Cameras of the line, and travel from the light barrier to each, in metres."""
LINE, OVEN, WELDER = "line-1", "oven", "welder"
_START_NS = 1_767_225_600 * NS_PER_S  # 2026-01-01
_ENCODER_S = 0.05
_SENSOR_S = 0.1
_BARRIER_M = 0.04
"""Length of a part."""
_HOLE_PX = 14


@dataclass(frozen=True, slots=True, kw_only=True)
class LineFaults:
    """What goes wrong, as shares of the parts, or as (from, to) in seconds of the recording.

    Attributes:
        defects: parts with a hole in one of their pictures.
        lost_pictures: parts of which one picture was not taken.
        late_pictures: pictures that come ``late_s`` after they were taken.
        lost_triggers: parts that the light barrier did not see.
        doubled_triggers: parts for which it bounced.
        unread_serials: parts whose serial number was not read.
        repeated_serials: parts that carry the serial number of the part before.
        close_parts: parts that lie 0.06 m behind the one before.
        late_s: how late pictures and rows of ``late_rows_s`` come.
        stops_s: the belt stands.
        reverses_s: the belt goes back, at a fifth of its speed.
        encoder_gone_s: no reading of the encoder.
        welder_gone_s: no reading of the welder's current.
        late_rows_s: rows of the oven that come ``late_s`` late.
        cold_s: the oven is too cold.
    """

    defects: float = 0.03
    lost_pictures: float = 0.0
    late_pictures: float = 0.0
    lost_triggers: float = 0.0
    doubled_triggers: float = 0.0
    unread_serials: float = 0.0
    repeated_serials: float = 0.0
    close_parts: float = 0.0
    late_s: float = 0.3
    stops_s: tuple[tuple[float, float], ...] = ()
    reverses_s: tuple[tuple[float, float], ...] = ()
    encoder_gone_s: tuple[tuple[float, float], ...] = ()
    welder_gone_s: tuple[tuple[float, float], ...] = ()
    late_rows_s: tuple[tuple[float, float], ...] = ()
    cold_s: tuple[tuple[float, float], ...] = ()


@dataclass(frozen=True, kw_only=True)
class LineScene:
    """A line for so many parts.

    Attributes:
        parts: that the belt carries.
        seed: of every draw.
        speed_m_s: of the belt.
        pitch_m: from part to part.
        faults: what goes wrong.
        width_px, height_px: of each picture.

    >>> scene = LineScene(parts=3)
    >>> scene.truth["serial"].to_list()
    ['S000001', 'S000002', 'S000003']
    >>> [len(scene.pictures(camera)) for camera in STATIONS]
    [3, 3, 3]
    """

    parts: int
    seed: int = 0
    speed_m_s: float = 1.0
    pitch_m: float = 0.25
    faults: LineFaults = field(default_factory=LineFaults)
    width_px: int = 80
    height_px: int = 64

    # --- the truth --------------------------------------------------------------------------------

    @cached_property
    def truth(self) -> pl.DataFrame:
        """One row for each part: number, serial, born_m, defect_at and what was wrong with it."""
        random = np.random.default_rng(self.seed)
        n, faults = self.parts, self.faults
        drawn = {name: random.random(n) < getattr(faults, name) for name in _SHARES}
        drawn["close_parts"][:1] = False
        drawn["repeated_serials"][:1] = False
        drawn["lost_triggers"] &= ~(drawn["close_parts"] | np.roll(drawn["close_parts"], -1))
        born_m = 0.5 + np.arange(n) * self.pitch_m + random.uniform(-0.02, 0.02, n)
        born_m = np.where(drawn["close_parts"], np.roll(born_m, 1) + 0.06, born_m)
        numbers = np.arange(1, n + 1) - drawn["repeated_serials"]
        stations = np.array(list(STATIONS))
        nowhere = np.full(n, "")
        return pl.DataFrame(
            {
                "number": np.arange(1, n + 1),
                "serial": [f"S{number:06d}" for number in numbers.tolist()],
                "born_m": born_m,
                "defect_at": np.where(
                    drawn["defects"], stations[random.integers(0, len(stations), n)], nowhere
                ),
                "lost_picture": np.where(
                    drawn["lost_pictures"], stations[random.integers(0, len(stations), n)], nowhere
                ),
                **{name: drawn[name] for name in _SHARES[2:]},
            }
        )

    @cached_property
    def _belt(self) -> tuple[FloatArray, FloatArray]:
        """Seconds and metres, each reading of the encoder."""
        way_m = 0.5 + self.parts * self.pitch_m + 4.0
        halted_s = sum(b - a for a, b in self.faults.stops_s)
        back_s = sum(b - a for a, b in self.faults.reverses_s)
        duration_s = way_m / self.speed_m_s + halted_s + 1.2 * back_s + 1.0
        at_s = np.arange(0, duration_s, _ENCODER_S)
        speed = np.full(len(at_s), self.speed_m_s)
        for spans, factor in ((self.faults.stops_s, 0.0), (self.faults.reverses_s, -0.2)):
            speed[_within(at_s, spans)] = factor * self.speed_m_s
        return at_s, np.concatenate([[0.0], np.cumsum(speed[:-1] * _ENCODER_S)])

    def _passes(self, place_m: float) -> list[float]:
        """When the belt has come to a place, in seconds; more than once where it goes back."""
        at_s, travel_m = self._belt
        before, after = travel_m[:-1] < place_m, travel_m[1:] >= place_m
        found = []
        for i in np.flatnonzero(before & after).tolist():
            share = (place_m - travel_m[i]) / (travel_m[i + 1] - travel_m[i])
            found.append(float(at_s[i] + share * _ENCODER_S))
        return found

    @cached_property
    def triggers_ns(self) -> list[int]:
        """When each part whose trigger is told of passes the light barrier first, UTC ns."""
        told = self.truth.filter(~pl.col("lost_triggers"))["born_m"].to_list()
        return [int(_time_ns(np.array(self._passes(born_m)[:1]))[0]) for born_m in told]

    # --- what is sent -----------------------------------------------------------------------------

    def pictures(self, camera: str) -> list[tuple[int, int, int, bool]]:
        """(capture, receipt, number of the part, whether it has a hole) of each, UTC ns."""
        found = []
        random = np.random.default_rng([self.seed, 1 + list(STATIONS).index(camera)])
        for row in self.truth.iter_rows(named=True):
            is_late = random.random() < self.faults.late_pictures
            if row["lost_picture"] == camera:
                continue
            for at_s in self._passes(row["born_m"] + STATIONS[camera]):
                at_ns = _START_NS + round(at_s * NS_PER_S)
                late_ns = round(self.faults.late_s * NS_PER_S) if is_late else 0
                has_hole = row["defect_at"] == camera
                found.append((at_ns, at_ns + late_ns, int(row["number"]), has_hole))
        return sorted(found)

    def picture(self, camera: str, number: int, *, has_hole: bool) -> Image:
        """uint8[height, width] of a part at a station."""
        source = np.random.Philox(key=[self.seed + 1000 * list(STATIONS).index(camera), number])
        random = np.random.Generator(source)
        height, width = self.height_px, self.width_px
        stripes = 12 * np.sin(np.arange(width) / 2 + random.uniform(0, 6))
        grain = 4 * random.standard_normal((height, width), dtype=np.float32)
        pixels = 120 + random.uniform(-8, 8) + stripes + grain
        if has_hole:
            y, x = (int(random.integers(4, side - _HOLE_PX - 4)) for side in (height, width))
            pixels[y : y + _HOLE_PX, x : x + _HOLE_PX] *= 0.4
        return np.clip(np.rint(pixels), 0, 255).astype(np.uint8)

    @cached_property
    def rows(self) -> pl.DataFrame:
        """The line's signals as the contract has them, by receipt."""
        faults = self.faults
        at_s, travel_m = self._belt
        heard = ~_within(at_s, faults.encoder_gone_s)
        parts = [_rows(LINE, at_s[heard], encoder_m=travel_m[heard])]
        for row in self.truth.iter_rows(named=True):
            if row["lost_triggers"]:
                continue
            serial = None if row["unread_serials"] else row["serial"]
            for begin_s in self._passes(row["born_m"]):
                edges_s, levels = [begin_s, begin_s + _BARRIER_M / self.speed_m_s], [1.0, 0.0]
                if row["doubled_triggers"]:
                    edges_s += [begin_s + 0.011, begin_s + 0.012]
                    levels = [1.0, 0.0, 0.0, 1.0]
                one = _rows(LINE, np.array(edges_s), barrier=np.array(levels))
                said = pl.Series([serial, *[None] * (len(edges_s) - 1)], dtype=pl.String)
                parts.append(one.with_columns(said.alias("serial")))
        sensor_s = np.arange(0, at_s[-1], _SENSOR_S)
        random = np.random.default_rng([self.seed, 99])
        heat = 210 + random.normal(0, 2, len(sensor_s))
        heat[_within(sensor_s, faults.cold_s)] -= 40
        oven = _rows(OVEN, sensor_s, temperature_c=heat)
        late_ns = np.where(_within(sensor_s, faults.late_rows_s), faults.late_s, 0) * NS_PER_S
        parts.append(oven.with_columns(pl.col("received_ns") + pl.Series(late_ns.astype(np.int64))))
        current = 100 + random.normal(0, 3, len(sensor_s))
        heard = ~_within(sensor_s, faults.welder_gone_s)
        parts.append(_rows(WELDER, sensor_s[heard], current_a=current[heard]))
        kinds = {"part_number": "P-100", "recipe": "R1"}
        table = pl.concat(parts, how="diagonal").with_columns(
            pl.when(pl.col("serial").is_not_null()).then(pl.lit(value)).alias(name)
            for name, value in kinds.items()
        )
        return table.sort("received_ns", "time_ns", "unit", maintain_order=True)

    def training_pictures(self, count: int) -> Iterator[Image]:
        """Good ones that are on no part of the line."""
        for number in range(count):
            yield self.picture("top", 10_000_000 + number, has_hole=False)


_SHARES = (
    "defects", "lost_pictures", "lost_triggers", "doubled_triggers", "unread_serials",
    "repeated_serials", "close_parts",
)  # fmt: skip
_FIELDS = {
    "encoder_m": pl.Float64, "barrier": pl.Float64, "serial": pl.String,
    "temperature_c": pl.Float64, "current_a": pl.Float64,
}  # fmt: skip


def _time_ns(at_s: FloatArray) -> IntArray:
    """int64[n], UTC ns of seconds of the recording."""
    return _START_NS + np.rint(at_s * NS_PER_S).astype(np.int64)


def _rows(unit: str, at_s: FloatArray, **said: FloatArray) -> pl.DataFrame:
    """Rows of one unit; what it does not say is empty."""
    time_ns = _time_ns(at_s)
    empty = {n: pl.Series([None] * len(at_s), dtype=kind) for n, kind in _FIELDS.items()}
    return pl.DataFrame(
        {"unit": [unit] * len(at_s), "time_ns": time_ns, "received_ns": time_ns, **empty, **said}
    )


def _within(at_s: FloatArray, spans: Sequence[tuple[float, float]]) -> np.ndarray:
    """bool[n]: whether each time lies in one of the spans."""
    found = np.zeros(len(at_s), np.bool_)
    for begin_s, end_s in spans:
        found |= (at_s >= begin_s) & (at_s < end_s)
    return found


class LineCamera(CameraSource):
    """A station's camera: one picture for each time a part passes. Durable.

    Args:
        scene: the line.
        camera: one of ``STATIONS``.
        name: of the stream; "": that of the camera.
    """

    durable = True

    def __init__(self, scene: LineScene, camera: str, *, name: str = "") -> None:
        self.scene = scene
        self.camera = camera
        self.name = name or camera

    def __iter__(self) -> Iterator[FrameItem]:
        delivery = Delivery(self.name, "simulated line")
        for capture_ns, received_ns, number, has_hole in self.scene.pictures(self.camera):
            pixels = self.scene.picture(self.camera, number, has_hole=has_hole)
            yield from delivery.frame(pixels, capture_ns=capture_ns, received_ns=received_ns)


def write_line(scene: LineScene, out: Path, *, training: int = 80) -> int:
    """Write pictures, signals, pictures to train from, the truth and the pipelines; how many
    pictures.

    Args:
        scene: the line.
        out: folder, made where it is missing.
        training: good pictures to train from, in ``train/good``.
    """
    written = 0
    for camera in STATIONS:
        folder = out / camera
        folder.mkdir(parents=True, exist_ok=True)
        for capture_ns, _, number, has_hole in scene.pictures(camera):
            pixels = scene.picture(camera, number, has_hole=has_hole)
            cv2.imwrite(str(folder / f"{camera}_{capture_ns}.png"), pixels)
            written += 1
    good = out / "train" / "good"
    good.mkdir(parents=True, exist_ok=True)
    for number, pixels in enumerate(scene.training_pictures(training)):
        cv2.imwrite(str(good / f"{number:04d}.png"), pixels)
    scene.rows.write_csv(out / "process.csv")
    scene.truth.write_csv(out / "truth.csv")
    write_pipelines(out)
    return written


def write_pipelines(out: Path) -> None:
    """Write the pipelines of the line and the contract of its signals."""
    here = Path(__file__).parent
    for name in ("inspection.yaml", "line.yaml", "process.contract.yaml"):
        shutil.copy(here / name, out / name)
