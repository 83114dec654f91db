"""The parts of a run for people: a table, sums, and all that is known of one.

A part's record is what the line decided; reviews are what people said of it afterwards. Both are
shown, the newest review as the truth that is known of it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import polars as pl

from sightline.decide.disposition import Odds, cost_thresholds
from sightline.errors import UsageError
from sightline.records.part import Disposition, PartNote, PartRecord, PartReview, parts_digest
from sightline.records.signals import NS_PER_S
from sightline.records.windows import FloatArray
from sightline.runtime import RunDirectory
from sightline.runtime.stages.parts import PartsSettings

_QUANTILES = (0.5, 0.95, 0.99, 1.0)


@dataclass(frozen=True, slots=True, kw_only=True)
class KnownPart:
    """One part.

    Attributes:
        record: what the line decided.
        reviews: what people said, the oldest first.
    """

    record: PartRecord
    reviews: tuple[PartReview, ...]

    @property
    def verdict(self) -> str:
        """What the newest review says: good or defect; ``""`` without one."""
        return self.reviews[-1].verdict if self.reviews else ""

    def as_mapping(self) -> dict[str, Any]:
        """JSON-ready."""
        return {
            **self.record.as_mapping(),
            "reviews": [review.as_mapping() for review in self.reviews],
        }


def known_parts(notes: Sequence[PartNote]) -> list[KnownPart]:
    """Parts with their reviews, in the order in which they were decided."""
    reviews: dict[str, list[PartReview]] = {}
    for note in notes:
        if isinstance(note, PartReview):
            reviews.setdefault(note.part_id, []).append(note)
    return [
        KnownPart(record=note, reviews=tuple(reviews.get(note.part_id, ())))
        for note in notes
        if isinstance(note, PartRecord)
    ]


def find_parts(parts: Sequence[KnownPart], name: str, *, where: str) -> list[KnownPart]:
    """Those of a serial number or an id.

    Raises:
        UsageError: there is none.
    """
    found = [p for p in parts if name in (p.record.serial, p.record.part_id)]
    if found:
        return found
    near = [p.record.serial for p in parts if p.record.serial.startswith(name[:4])][:3]
    raise UsageError(
        expected="the serial number or the id of a part",
        got=f"{name!r}, which is unknown",
        where=where,
        action=f"for example {', '.join(near)}" if near else "see `sightline parts RUN`",
    )


def parts_frame(parts: Sequence[KnownPart]) -> pl.DataFrame:
    """One row for each part; scores by station, process values by sensor. Times are UTC."""
    instant = pl.Datetime("ns", "UTC")
    records = [p.record for p in parts]
    stations = list(dict.fromkeys(one.station for r in records for one in r.pictures))
    sensors = list(dict.fromkeys(one.name for r in records for one in r.process))
    by_station = [{one.station: one for one in r.pictures} for r in records]
    by_sensor = [{one.name: one for one in r.process} for r in records]
    columns: dict[str, tuple[Any, Sequence[Any]]] = {
        "part_id": (pl.String, [r.part_id for r in records]),
        "serial": (pl.String, [r.serial for r in records]),
        "part_number": (pl.String, [r.part_number for r in records]),
        "recipe": (pl.String, [r.recipe for r in records]),
        "born": (instant, [r.born_ns for r in records]),
        "decided": (instant, [r.decided_ns for r in records]),
        "disposition": (pl.String, [str(r.disposition) for r in records]),
        "mode": (pl.String, [str(r.mode) for r in records]),
        "held": (pl.Boolean, [r.is_held for r in records]),
        "reasons": (pl.String, [" ".join(x.code for x in r.reasons) for r in records]),
        "probability": (pl.Float64, [r.probability for r in records]),
    }
    for name in stations:
        seen = [one.get(name) for one in by_station]
        columns[f"{name}.score"] = (pl.Float64, [None if s is None else s.score for s in seen])
        columns[f"{name}.code"] = (pl.String, [None if s is None else s.code for s in seen])
        columns[f"{name}.digest"] = (pl.String, [None if s is None else s.digest for s in seen])
    for name in sensors:
        said = [one.get(name) for one in by_sensor]
        columns[name] = (pl.Float64, [None if s is None else s.value for s in said])
    columns |= {
        "verdict": (pl.String, [p.verdict for p in parts]),
        "reviewer": (pl.String, [p.reviews[-1].reviewer if p.reviews else "" for p in parts]),
        "pipeline": (pl.String, [r.pipeline for r in records]),
        "versions": (pl.String, [_listed(r.versions) for r in records]),
    }
    return pl.DataFrame([pl.Series(n, v, dtype=t) for n, (t, v) in columns.items()])


def _listed(versions: Mapping[str, str]) -> str:
    return " ".join(f"{name}={version}" for name, version in sorted(versions.items()))


def parts_sums(notes: Sequence[PartNote], run: RunDirectory) -> dict[str, Any]:
    """A summary of the parts of a run, JSON-ready.

    ``wait_s``: event time from the last picture of a part to its decision, of those that have one.
    """
    parts = known_parts(notes)
    records = [p.record for p in parts]
    waits = [
        (r.decided_ns - r.last_picture_ns) / NS_PER_S for r in records if r.last_picture_ns >= 0
    ]
    wait_s = np.quantile(waits, _QUANTILES, method="higher").tolist() if waits else [None] * 4
    reasons = Counter(one.code for r in records for one in r.reasons)
    ids = Counter(r.part_id for r in records)
    return {
        "run": str(run.path),
        "parts": len(records),
        "dispositions": {
            str(one): sum(r.disposition is one for r in records) for one in Disposition
        },
        "modes": dict(sorted(Counter(str(r.mode) for r in records).items())),
        "reasons": dict(sorted(reasons.items())),
        "doubled_ids": sum(count - 1 for count in ids.values()),
        "held": sum(r.is_held for r in records),
        "reviewed": sum(bool(p.reviews) for p in parts),
        "corrected": sum(_is_corrected(p) for p in parts),
        "wait_s": dict(zip(("p50", "p95", "p99", "worst"), wait_s, strict=True)),
        "thresholds": cost_table(run),
        "odds": None if (odds := fitted_odds(parts)) is None else asdict(odds),
        "digest": parts_digest(notes),
    }


def sum_rows(sums: Mapping[str, Any]) -> list[tuple[str, str]]:
    """The summary of :func:`parts_sums` for people: what, and how much."""
    waits = [f"{name} {value:.3f} s" for name, value in sums["wait_s"].items() if value is not None]
    rows = [
        ("parts", f"{sums['parts']:,}: {_counts(sums['dispositions'])}"),
        ("how", _counts(sums["modes"])),
        ("reasons", _counts(sums["reasons"])),
        ("wait", f"{'  '.join(waits) or 'no picture'}  (event time, last picture to decision)"),
        ("reviewed", f"{sums['reviewed']:,}, of which {sums['corrected']:,} are seen otherwise"),
    ]
    if sums["held"]:
        rows.append(("held", f"{sums['held']:,} parts were decided while the line was held"))
    for row in sums["thresholds"]:
        if row["counts"]:
            score = "" if row["from_score"] is None else f", score {row['from_score']:.3f}"
            text = (
                f"{row['disposition']} from probability {row['from_probability']:.4f}{score}  "
                f"part {row['part_number']}, {row['station']}"
            )
            rows.append(("threshold", text))
    if not all(row["counts"] for row in sums["thresholds"]):
        text = "the inspector's own, where a rule gives no odds (odds_offset, odds_slope)"
        rows.append(("threshold", text))
    if sums["odds"] is not None:
        offset, slope = sums["odds"]["offset"], sums["odds"]["slope"]
        text = f"of reviewed parts: odds_offset: {offset:.4f}, odds_slope: {slope:.4f}"
        rows.append(("odds", text))
    return [*rows, ("digest", sums["digest"])]


def _counts(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{name} {value}" for name, value in counts.items()) or "none"


def hits_and_misses(parts: Sequence[KnownPart]) -> tuple[FloatArray, FloatArray]:
    """What reviews say of what the line found, for the probability of detection.

    A part in which a person painted a defect is a flaw, as long as what was painted; it was found
    if the line did not accept the part. A part that a person called good is a place without a flaw.

    Returns:
        float64[n] sizes in px of the picture, 0 for no flaw, and float64[n], 1 for found or called.
    """
    judged = [p for p in parts if p.reviews]
    told = [p for p in judged if p.verdict == "good" or p.reviews[-1].size_px > 0]
    sizes = [0.0 if p.verdict == "good" else p.reviews[-1].size_px for p in told]
    called = [float(p.record.disposition is not Disposition.ACCEPT) for p in told]
    return np.array(sizes), np.array(called)


_LEAST_REVIEWED = 10
_RIDGE = 1e-3
"""Keeps the slope finite where no score overlaps; small against one part's weight."""
_STEPS = 50


def fitted_odds(parts: Sequence[KnownPart]) -> Odds | None:
    """Log odds of a defect by score, from reviews: what ``odds_offset`` and ``odds_slope`` say.

    Logistic regression on the greatest score of each reviewed part, by Newton's method with a
    small ridge. Reviewed parts are mostly doubtful ones, and the odds are those among them: over
    all parts a defect is rarer. None with fewer than ten good and ten defective parts, or where
    the score does not rise with defects.
    """
    judged = [p for p in parts if p.verdict and any(not x.code for x in p.record.pictures)]
    is_defect = np.array([p.verdict == "defect" for p in judged], np.float64)
    if min(is_defect.sum(), len(judged) - is_defect.sum()) < _LEAST_REVIEWED:
        return None
    score = np.array([max(x.score for x in p.record.pictures if not x.code) for p in judged])
    spread = float(score.std()) or 1.0
    design = np.stack([np.ones(len(score)), (score - score.mean()) / spread], axis=1)
    weights = np.zeros(2)
    for _ in range(_STEPS):
        p = 1 / (1 + np.exp(-np.clip(design @ weights, -500, 500)))
        gradient = design.T @ (is_defect - p) - _RIDGE * weights
        curvature = (design.T * (p * (1 - p))) @ design + _RIDGE * np.eye(2)
        weights += np.linalg.solve(curvature, gradient)
    slope = float(weights[1]) / spread
    if not np.isfinite(slope) or slope <= 0:
        return None
    return Odds(offset=float(weights[0]) - slope * float(score.mean()), slope=slope)


def _is_corrected(part: KnownPart) -> bool:
    """Whether a person thinks otherwise of it than the line did."""
    if not part.verdict or part.record.disposition is Disposition.REVIEW:
        return False
    return (part.verdict == "good") != (part.record.disposition is Disposition.ACCEPT)


def cost_table(run: RunDirectory) -> list[dict[str, Any]]:
    """From which probability, and score where odds are given, each rule sends a part where."""
    found = []
    for name, settings in run.plan.pipeline.stages.items():
        if not isinstance(settings, PartsSettings):
            continue
        for form in settings.rules:
            rule = form.rule()
            for probability, disposition in cost_thresholds(rule.costs):
                score = None
                if rule.odds is not None and 0 < probability < 1:
                    score = rule.odds.score(probability)
                found.append(
                    {
                        "stage": name,
                        "part_number": rule.part_number,
                        "station": rule.station,
                        "zone_px": None if rule.zone_px is None else list(rule.zone_px),
                        "disposition": str(disposition),
                        "from_probability": probability,
                        "from_score": score,
                        "counts": rule.odds is not None,
                    }
                )
    return found
