"""The recorded fleets of docs/recorded-fleets.md, built again and scored as they are watched now.

Each is written to a temporary folder and read back, as ``sightline lab evaluate fleet`` reads it.
Fleets that settings were chosen on say so; the figures of the others were printed once and are
printed again here, so that a change that costs them is seen.
"""

from __future__ import annotations

import importlib.util
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from benchmarks.basilisk_fleet import BASILISK_VERSION, BasiliskFleet, write_basilisk_fleet
from sightline.apps.gateway.telemetry_scene import TelemetryScene, write_recorded_fleet
from sightline.evidence.bounds import poisson_upper
from sightline.evidence.fleet_evaluation import read_fleet, watch_fleet
from tests.evidence.fleet.other_world import World
from tests.evidence.fleet.other_world import write as write_world


@dataclass(frozen=True, kw_only=True)
class NamedFleet:
    """One fleet; ``is_apart`` when nothing was chosen on it."""

    name: str
    scene: World | TelemetryScene | BasiliskFleet
    is_apart: bool = True

    def write(self, folder: Path) -> None:
        """In the form of a recorded fleet."""
        match self.scene:
            case World():
                write_world(self.scene, folder)
            case TelemetryScene():
                write_recorded_fleet(self.scene, folder)
            case _:
                write_basilisk_fleet(self.scene, folder)


_WORLD = World(
    satellites=6,
    days=9,
    step_s=60,
    faults_from_day=4.0,
    sensor_faults_per_day=0.6,
    physical_faults_per_day=0.1,
)
_BASILISK = BasiliskFleet()
_HEALTHY = {"sensor_faults_per_day": 0.0, "physical_faults_per_day": 0.0}

FLEETS = (
    NamedFleet(name="other world 11", scene=replace(_WORLD, design=11, seed=811)),
    NamedFleet(
        name="other world 12, times jitter",
        scene=replace(_WORLD, design=12, seed=812, jitter_s=20.0),
    ),
    NamedFleet(
        name="other world 13, healthy",
        scene=replace(_WORLD, design=13, seed=813, satellites=9, days=10, **_HEALTHY),  # type: ignore[arg-type]
    ),
    NamedFleet(name="other world 32", scene=replace(_WORLD, design=32, seed=3232, days=10)),
    *(
        NamedFleet(
            name=f"other world {design}",
            scene=replace(_WORLD, design=design, seed=seed, days=10),
            is_apart=False,
        )
        for design, seed in ((62, 6262), (71, 9071), (72, 9072), (82, 48227), (84, 48457))
    ),
    NamedFleet(
        name="other world 91, healthy",
        scene=replace(_WORLD, design=91, seed=60413, satellites=12, days=12, **_HEALTHY),  # type: ignore[arg-type]
        is_apart=False,
    ),
    NamedFleet(
        name="other world 93, healthy",
        scene=replace(_WORLD, design=93, seed=60461, satellites=8, days=12, **_HEALTHY),  # type: ignore[arg-type]
    ),
    NamedFleet(name="other world 92", scene=replace(_WORLD, design=92, seed=60427, days=10)),
    NamedFleet(
        name="own simulator",
        scene=TelemetryScene(
            seed=821,
            n_satellites=4,
            duration_s=9 * 86_400,
            period_s=30.0,
            faults_per_satellite_day=0.6,
        ),
    ),
    *(
        NamedFleet(
            name=f"Basilisk {design}",
            scene=replace(_BASILISK, design=design, seed=100 + design),
            is_apart=False,
        )
        for design in (1, 2, 3)
    ),
    NamedFleet(
        name="Basilisk 4, healthy",
        scene=replace(_BASILISK, design=4, seed=104, satellites=9, **_HEALTHY),
        is_apart=False,
    ),
    *(
        NamedFleet(
            name=f"Basilisk {design}",
            scene=replace(_BASILISK, design=design, seed=7300 + design),
        )
        for design in (21, 22)
    ),
    *(
        NamedFleet(
            name=f"Basilisk {design}",
            scene=replace(_BASILISK, design=design, seed=seed),
            is_apart=design == 62,
        )
        for design, seed in ((31, 7331), (62, 7362), (71, 9071), (81, 48119))
    ),
    NamedFleet(
        name="Basilisk 23, healthy",
        scene=replace(_BASILISK, design=23, seed=7323, satellites=9, **_HEALTHY),
    ),
)


def score_fleets(
    *,
    fleets: Sequence[NamedFleet] = FLEETS,
    only: str = "",
    progress: Callable[[str], None] = lambda _: None,
) -> dict[str, Any]:
    """Build, watch and score each fleet whose name holds ``only``; JSON-ready.

    Fleets of Basilisk are left out where it is not installed, and that is said.
    """
    rows: list[dict[str, Any]] = []
    left_out = []
    for fleet in fleets:
        if only.lower() not in fleet.name.lower():
            continue
        if isinstance(fleet.scene, BasiliskFleet) and not importlib.util.find_spec("Basilisk"):
            left_out.append(fleet.name)
            continue
        progress(fleet.name)
        rows.append(_scored(fleet))
    return {
        "fleets": rows,
        "apart": _sum(row for row in rows if row["is_apart"]),
        "chosen_on": _sum(row for row in rows if not row["is_apart"]),
        "left_out_without_basilisk": left_out,
    }


def _scored(fleet: NamedFleet) -> dict[str, Any]:
    with tempfile.TemporaryDirectory() as folder:
        fleet.write(Path(folder))
        records = read_fleet(Path(folder))
    began_s = time.process_time()
    plain = watch_fleet(records).as_mapping()
    cpu_s = time.process_time() - began_s
    score = plain["score"]
    return {
        "name": fleet.name,
        "is_apart": fleet.is_apart,
        "found": score["found"],
        "faults": score["faults"],
        "by_kind": {
            kind: {"found": one["found"], "faults": one["faults"]}
            for kind, one in score["by_kind"].items()
        },
        "false_alerts": score["false_alerts"],
        "beside_a_fault": score["alerts_beside_a_fault"],
        "clean_days": score["clean_satellite_days"],
        "upper_95_per_day": score["false_alerts_per_clean_day_upper_95"],
        "satellite_days_in_doubt": plain["satellite_days_in_doubt"],
        "cpu_s": round(cpu_s, 1),
        "satellite_days": round(sum(record.days for record in records.records), 1),
    }


def _sum(rows: Any) -> dict[str, Any]:
    """Of several fleets; the bound is of all their clean days together."""
    together: dict[str, Any] = dict.fromkeys(
        ("found", "faults", "false_alerts", "beside_a_fault", "clean_days"), 0
    )
    kinds: dict[str, dict[str, int]] = {}
    for row in rows:
        for name in together:
            together[name] += row[name]
        for kind, one in row["by_kind"].items():
            known = kinds.setdefault(kind, {"found": 0, "faults": 0})
            for part in known:
                known[part] += one[part]
    days = together["clean_days"] = round(together["clean_days"], 2)
    upper = poisson_upper(together["false_alerts"], days) if days else None
    return {**together, "upper_95_per_day": upper, "by_kind": dict(sorted(kinds.items()))}


def fleet_lines(plain: Mapping[str, Any]) -> list[str]:
    """A table, and by kind what was told."""
    head = f"{'fleet':<30} {'faults told':>11} {'false':>6} {'beside':>7} {'clean days':>11}"
    lines = [f"{head} {'at most a day':>14} {'CPU s per satellite-day':>24}"]
    for row in plain["fleets"]:
        name = row["name"] + ("" if row["is_apart"] else " *")
        lines.append(
            f"{_counts(name, row)} {row['cpu_s'] / max(row['satellite_days'], 1e-9):>24.2f}"
        )
    for name, word in (("apart", "together, kept apart"), ("chosen_on", "together, chosen on *")):
        if plain[name]["clean_days"]:
            lines.append(_counts(word, plain[name]))
            lines.append(
                "  by kind: "
                + ", ".join(
                    f"{kind} {one['found']} of {one['faults']}"
                    for kind, one in plain[name]["by_kind"].items()
                )
            )
    if plain["left_out_without_basilisk"]:
        names = ", ".join(plain["left_out_without_basilisk"])
        lines.append(f"left out, pip install bsk=={BASILISK_VERSION} flies them: {names}")
    return lines


def _counts(name: str, row: Mapping[str, Any]) -> str:
    upper = row["upper_95_per_day"]
    return (
        f"{name:<30} {row['found']:>4} of {row['faults']:<3} {row['false_alerts']:>6} "
        f"{row['beside_a_fault']:>7} {row['clean_days']:>11g} "
        f"{'?' if upper is None else format(upper, '.3g'):>14}"
    )
