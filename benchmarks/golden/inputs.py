"""What the golden scenarios run on, written once and then used for every version of the code.

The simulated constellation comes from the code under test (its ``apps.gateway``), and only if the
folder does not hold it yet: another version may have another simulator. The rest is made here,
or cut from the data folder.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl

Picture = npt.NDArray[np.uint8]

MARK = "inputs.json"
"""Written last, so that a folder without it is not whole."""
NS_PER_S = 1_000_000_000
START_NS = 1_767_225_600 * NS_PER_S
"""2026-01-01T00:00:00Z, where the constellation begins."""
FRAMES = 200
"""Of each recording."""
RATE_HZ = 10
SMAP_CHANNELS = 18
"""Every third of 54 of the Soil Moisture Active Passive spacecraft."""
LIVE_SPAN_S = 600
"""Event time of the rows that are fed to a live run."""
_SIMULATE = """
import sys
from pathlib import Path
from sightline.apps.gateway import simulate, watched_scene, write_frames
for minutes, satellites, name in ((45, 24, "long"), (12, 24, "short")):
    scene = watched_scene(seed=7, n_satellites=satellites, duration_s=minutes * 60)
    write_frames(simulate(scene), Path(sys.argv[1]) / name)
"""
# A stall of a shared machine must not turn an answer into a fallback, so deadlines are wide.
_WIDE_BUDGETS = {"      budget_s: 2\n": "      budget_s: 40\n"}
_DETECTION_BUDGET_S = 30
_WIDE = {"valid_s": 60, "level_of": {"VIEW_UNPROVEN": "none"}}
"""Of a machine: commands must hold for longer than a detector may take, and people are in view when
the recordings begin, of whom all walk on."""


def make_inputs(folder: Path, *, code: Path, data: Path, environment: dict[str, str]) -> None:
    """Write every input into ``folder``, unless it is there already.

    Args:
        folder: made if need be.
        code: the ``src`` folder of the version whose simulator and pipelines are taken.
        data: folder with ``nasa_smap`` and ``pets2009_s2l1``.
        environment: of a process that imports that version.
    """
    if (folder / MARK).exists():
        return
    folder.mkdir(parents=True, exist_ok=True)
    simulated = [sys.executable, "-c", _SIMULATE, str(folder)]
    subprocess.run(simulated, env=environment, check=True)
    _gateway_pipelines(folder, code / "sightline" / "apps" / "gateway")
    _controls(folder)
    for source in ("telemetry", "logs"):
        rows = pl.read_parquet(folder / "short" / f"{source}.parquet")
        for name, shares in _LATENESS.items():
            delayed(rows, shares=shares, seed=len(name)).write_parquet(
                folder / f"{name}_{source}.parquet"
            )
    _learning_pipeline(folder)
    _live_pipeline(folder)
    (folder / "smap").mkdir(exist_ok=True)
    channels = sorted((data / "nasa_smap").glob("*.npz"))
    for path in channels[:: len(channels) // SMAP_CHANNELS][:SMAP_CHANNELS]:
        shutil.copyfile(path, folder / "smap" / path.name)
    _pets(folder, data / "pets2009_s2l1")
    _yard(folder)
    (folder / MARK).write_text(json.dumps({"code": str(code), "frames": FRAMES}) + "\n")


# --- rows -----------------------------------------------------------------------------------------

_LATENESS: dict[str, tuple[tuple[float, float, float], ...]] = {
    # share of the rows, least and greatest delay in s; the contracts allow 5 s of disorder and
    # 300 s in which a decision is revised
    "shuffled": ((1.0, 0.0, 4.9),),
    "late": ((0.9, 0.0, 4.9), (0.1, 5.0, 280.0)),
    "too_late": ((0.88, 0.0, 4.9), (0.08, 5.0, 280.0), (0.04, 310.0, 900.0)),
}
_DOUBLED_SHARE = 0.03


def delayed(
    rows: pl.DataFrame, *, shares: tuple[tuple[float, float, float], ...], seed: int
) -> pl.DataFrame:
    """``rows`` in another order of arrival, some of them twice, with a receipt time to match."""
    rng = np.random.default_rng(seed)
    again = rows.filter(pl.Series(rng.random(rows.height) < _DOUBLED_SHARE))
    rows = pl.concat([rows, again])
    weights = [share for share, _, _ in shares]
    chosen = rng.choice(len(shares), rows.height, p=weights)
    least, greatest = (np.array([part[i] for part in shares])[chosen] for i in (1, 2))
    delay_ns = ((least + rng.random(rows.height) * (greatest - least)) * NS_PER_S).astype(np.int64)
    received_ns = rows["time_ns"].to_numpy() + delay_ns
    return rows.with_columns(received_ns=received_ns).sort("received_ns", maintain_order=True)


def live_rows(base_ns: int) -> list[list[dict[str, Any]]]:
    """Batches of rows of six sensors in two areas, as JSON-ready mappings, in order of arrival.

    One sensor is silent for a while, one ends early, one rises, and some rows come out of order or
    twice.
    """
    rng = np.random.default_rng(11)
    rows = []
    for second in range(0, LIVE_SPAN_S, 2):
        for sensor in range(6):
            if (sensor == 1 and 200 <= second < 300) or (sensor == 4 and second > 400):
                continue
            value = rng.normal(0, 1) + (9 if sensor == 2 and 150 <= second < 350 else 0)
            row = {
                "sensor": f"s{sensor}",
                "area": "north" if sensor < 3 else "south",
                "time_ns": base_ns + second * NS_PER_S,
                "value": round(float(value), 3),
            }
            arrival = second + rng.uniform(0, 4) + (60 if rng.random() < 0.02 else 0)
            rows += [(arrival, row)] * (2 if rng.random() < 0.03 else 1)
    rows.sort(key=lambda pair: pair[0])
    ordered = [row for _, row in rows]
    size = -(-len(ordered) // 10)
    return [ordered[at : at + size] for at in range(0, len(ordered), size)]


def _gateway_pipelines(folder: Path, gateway: Path) -> None:
    for path in sorted(gateway.glob("*.yaml")):
        text = path.read_text(encoding="utf-8")
        for narrow, wide in _WIDE_BUDGETS.items():
            text = text.replace(narrow, wide)
        (folder / path.name).write_text(text, encoding="utf-8")


def _controls(folder: Path) -> None:
    """Planned contacts of each constellation, and what an operator says at the start."""
    at = {minute: START_NS + minute * 60 * NS_PER_S for minute in (0, 2, 6, 8, 9, 11, 60)}
    spoken = [
        {"control": "mask", "subject": "sat-00008", "from_ns": at[0], "until_ns": at[6],
         "reason": "wheel test"},
        {"control": "shelve", "subject": "sat-00013", "from_ns": at[0], "until_ns": at[60],
         "event_ns": at[8], "reason": "known sensor"},
        {"control": "mask", "subject": "sat-00001", "from_ns": at[2], "until_ns": at[11],
         "event_ns": at[2], "reason": "known outage"},
    ]  # fmt: skip
    answered = [{"control": "acknowledge", "subject": "equator", "event_ns": at[9]}]
    for name in ("long", "short"):
        contacts = {
            "control": "contacts",
            "source": "telemetry",
            "contacts": pl.read_csv(folder / name / "contacts.csv").to_dicts(),
        }
        _lines(folder / f"{name}_contacts.jsonl", [contacts])
        _lines(folder / f"{name}_plain_controls.jsonl", [contacts, *spoken])
        _lines(folder / f"{name}_desk_controls.jsonl", [contacts, *spoken, *answered])


def _learning_pipeline(folder: Path) -> None:
    novelty = {"use": "novelty", "input": "fives", "measures": ["*.mean"], "learn_windows": 60,
               "widths": [8, 16], "memory_size": 12}  # fmt: skip
    alarm = {"use": "alarm", "measure": "*", "unit": "1", "m": 2, "n": 3}
    late = pl.read_parquet(folder / "late_telemetry.parquet")
    few = late.filter(pl.col("satellite") <= "sat-00008")
    few.write_parquet(folder / "few_telemetry.parquet")
    # Windows of 5 s are shorter than what the gateway calls stuck.
    lines = (folder / "telemetry.contract.yaml").read_text().splitlines(keepends=True)
    plain = "".join(line for line in lines if "plausibility:" not in line)
    (folder / "learning.contract.yaml").write_text(plain)
    _document(
        folder / "learning.yaml",
        {
            "pipeline": "learning",
            "partitions": 3,
            "tick_s": 10,
            "idle_s": 30,
            "sources": {"telemetry": {"contract": "learning.contract.yaml"}},
            "stages": {
                "fives": {"use": "windows", "input": "telemetry", "width_s": 5},
                "unlike": novelty,
                "rare": {"use": "calibration", "input": "unlike", "block_windows": 6,
                         "least_blocks": 10},
                "odd": {**alarm, "input": "unlike", "raise_above": 6, "clear_below": 2,
                        "code": "UNLIKE_PAST"},
                "seldom": {**alarm, "input": "rare", "raise_above": 1.5, "clear_below": 0.5,
                           "code": "RARE"},
            },
        },
    )  # fmt: skip


def _live_pipeline(folder: Path) -> None:
    _document(
        folder / "live.contract.yaml",
        {
            "contract": "live",
            "key": ["sensor"],
            "group": "area",
            "event_time": {"column": "time_ns", "format": "unix_ns"},
            "fields": {"value": {"type": "number", "unit": "1"}},
            "timing": {"out_of_order_s": 5, "revision_allowance_s": 3600, "max_backlog_s": 86400,
                       "clock_skew_s": 5},
            "silence": {"timeout_s": 20},
        },
    )  # fmt: skip
    _document(
        folder / "live.yaml",
        {
            "pipeline": "live",
            "partitions": 2,
            "tick_s": 1,
            "idle_s": 10,
            "sources": {"t": {"contract": "live.contract.yaml"}},
            "stages": {
                "level": {"use": "windows", "input": "t", "width_s": 10},
                "high": {"use": "alarm", "input": "level", "measure": "value.mean", "unit": "1",
                         "raise_above": 5, "clear_below": 2, "m": 2, "n": 3, "code": "HIGH"},
                "seen": {"use": "presence", "input": "t", "width_s": 5},
                "silent": {"use": "silence", "input": "seen", "code": "SILENT"},
                "area": {"use": "silence", "input": "seen", "scope": "group", "timeout_s": 20,
                         "code": "AREA_SILENT"},
            },
        },
    )  # fmt: skip


# --- cameras --------------------------------------------------------------------------------------


def _site(*, cameras: dict[str, tuple[int, int]], person_px: list[int] | None) -> dict[str, Any]:
    """A site with the motion detector, wide budgets and no zones or machines yet."""
    motion: dict[str, Any] = {"use": "motion", "budget_s": _DETECTION_BUDGET_S}
    if person_px is not None:
        motion["person_px"] = person_px
    return {
        "use": "site",
        "pipeline": "golden",
        "latency_budget_s": 60,
        "detectors": {"eyes": motion},
        "cameras": {
            name: {
                "contract": {"width_px": size[0], "height_px": size[1], "rate_hz": RATE_HZ,
                             "max_age_s": 1.0},
                "detector": "eyes",
            }
            for name, size in cameras.items()
        },
    }  # fmt: skip


def _pets(folder: Path, pets: Path) -> None:
    """The beginning of PETS 2009 S2.L1 in both sizes, and site files with and without metres."""
    cut_video(pets / "video.avi", folder / "pets.avi")
    cut_video(pets / "video_768x576.avi", folder / "pets_large.avi")
    shutil.copyfile(pets / "camera_view_001.xml", folder / "camera_view_001.xml")
    shutil.copyfile(pets / "det.txt", folder / "det.txt")
    square_m = [[-13, -10], [-9, -10], [-9, -6], [-13, -6]]
    square_px = [[250, 190], [320, 190], [320, 240], [250, 240]]
    saw = {"saw": {"cameras": ["view1"], "zones": ["crossing"], "hold_s": 1.0, **_WIDE}}
    for unit, square in (("m", square_m), ("px", square_px)):
        zone = {"camera": "view1", f"polygon_{unit}": square, "is_forbidden": True}
        person_px = [35, 80] if unit == "px" else None
        for form in ("images", "packets"):
            plain = _site(cameras={"view1": (480, 360)}, person_px=person_px)
            plain["zones"] = {"crossing": zone if unit == "m" else {**zone, "margin_px": 3.0}}
            plain["machines"] = saw
            plain["images"] = {"keep": "around_decisions", "before_s": 1, "after_s": 1,
                               "form": form}  # fmt: skip
            if unit == "m":
                plain["cameras"]["view1"]["geometry"] = "camera_view_001.xml"
            _document(folder / f"pets_{unit}_{form}.yaml", plain)
    given = _site(cameras={"view1": (768, 576)}, person_px=None)
    given["detectors"] = {
        "eyes": {"use": "given", "file": "det.txt", "budget_s": _DETECTION_BUDGET_S}
    }
    given["cameras"]["view1"]["geometry"] = "camera_view_001.xml"
    given["zones"] = {
        "crossing": {"camera": "view1", "polygon_m": square_m, "is_forbidden": True},
        "yard": {"camera": "view1", "polygon_m": [[-20, -20], [10, -20], [10, 10], [-20, 10]],
                 "max_occupancy": 4, "max_dwell_s": 5, "max_speed_m_s": 1.8},
    }  # fmt: skip
    given["machines"] = {"saw": {"cameras": ["view1"], "zones": ["crossing", "yard"], **_WIDE}}
    _document(folder / "pets_given.yaml", given)


def cut_video(source: Path, target: Path, *, frames: int = FRAMES) -> None:
    """The first ``frames`` packets of a video, untouched."""
    import av  # noqa: PLC0415 - an optional dependency of the package

    with av.open(str(source)) as taken, av.open(str(target), "w") as made:
        stream = made.add_stream_from_template(taken.streams.video[0])
        for number, packet in enumerate(taken.demux(taken.streams.video[0])):
            if number >= frames or packet.dts is None:
                break
            packet.stream = stream
            made.mux(packet)


def _yard(folder: Path) -> None:
    """Two cameras over a yard, one of which goes black for a while and ends early."""
    import cv2  # noqa: PLC0415 - slow to import, and only needed here

    size = (320, 240)
    for name, last in (("east", FRAMES), ("west", FRAMES * 3 // 4)):
        coder = cv2.VideoWriter.fourcc(*"MJPG")
        writer = cv2.VideoWriter(str(folder / f"{name}.avi"), coder, RATE_HZ, size)
        for number, picture in enumerate(_yard_pictures(name, size)):
            if number < last:
                writer.write(picture)
        writer.release()
    plain = _site(cameras={"east": size, "west": size}, person_px=[60, 60])
    right = [[160, 0], [320, 0], [320, 240], [160, 240]]
    plain["zones"] = {
        "pit": {"camera": "east", "polygon_px": right, "is_forbidden": True, "margin_px": 2.0,
                "lost_timeout_s": 2.0},
        "gate": {"camera": "west", "polygon_px": right, "max_occupancy": 0, "max_dwell_s": 2.0,
                 "margin_px": 2.0},
    }  # fmt: skip
    plain["machines"] = {
        "saw": {"cameras": ["east", "west"], "zones": ["pit", "gate"], "hold_s": 1.0, **_WIDE},
        "press": {"cameras": ["east"], "zones": ["pit"], "needs_reset": True, **_WIDE},
    }
    _document(folder / "yard.yaml", plain)
    plain["detectors"]["eyes"]["isolated"] = True
    _document(folder / "yard_isolated.yaml", plain)
    pressed = [{"control": "reset", "machine": "press", "is_down": down} for down in (True, False)]
    _lines(folder / "yard_controls.jsonl", pressed)


def _yard_pictures(name: str, size: tuple[int, int]) -> Iterator[Picture]:
    """uint8[240, 320, 3] each: people as dark figures who walk over textured ground."""
    width, height = size
    rng = np.random.default_rng(1 if name == "east" else 2)
    patches = rng.normal(0, 12, (height // 8, width // 8))
    ground = 120 + np.kron(patches, np.ones((8, 8))) + rng.normal(0, 6, (height, width))
    walks = (  # first and last second, x at both, feet at y
        ((2.0, 9.0, 20, 300, 180), (11.0, 18.0, 290, 30, 200), (12.0, 16.5, 40, 210, 150))
        if name == "east"
        else ((1.0, 6.0, 30, 250, 170), (5.0, 12.0, 260, 60, 210))
    )
    for number in range(FRAMES):
        at_s = number / RATE_HZ
        picture = ground.copy()
        for first_s, last_s, from_x, to_x, feet in walks:
            if first_s <= at_s <= last_s:
                x = round(from_x + (to_x - from_x) * (at_s - first_s) / (last_s - first_s))
                picture[feet - 45 : feet, max(x - 10, 0) : x + 10] = 40
                picture[feet - 60 : feet - 45, max(x - 5, 0) : x + 5] = 70
        if name == "west" and 8.0 <= at_s < 9.5:
            picture *= 0.02
        picture += rng.normal(0, 2, picture.shape)
        grey = np.clip(np.rint(picture), 0, 255).astype(np.uint8)
        yield np.repeat(grey[..., None], 3, axis=2)


def _document(path: Path, plain: dict[str, Any]) -> None:
    """JSON, which is YAML."""
    path.write_text(json.dumps(plain, indent=1) + "\n", encoding="utf-8")


def _lines(path: Path, plain: list[dict[str, Any]]) -> None:
    path.write_text("".join(json.dumps(one) + "\n" for one in plain), encoding="utf-8")
