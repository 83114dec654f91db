"""One default for all recordings: chosen on all data sets but one, and reported on that one.

A setting that is chosen and reported on the same data says little about data that nobody has seen.
Here every candidate is scored on every data set; for each set the candidate that is best on the
*others* is found, and what it scores on this one, beside the best that could have been chosen.
Candidates are the default with one setting changed, which also shows what each setting is worth.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache, partial
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.alert_scores import Intervals
from benchmarks.published.nab import evaluate_nab
from benchmarks.published.nasa import evaluate_nasa
from benchmarks.published.nasa_score import score_nasa
from benchmarks.published.row_scores import score_skab
from benchmarks.published.scored_series import series_scores
from benchmarks.published.skab import TRAINING_ROWS, evaluate_skab
from sightline.perceive.normal import EventRule, NormalSettings, score_events
from sightline.records.windows import FloatArray

Labelled = list[tuple[Intervals, FloatArray]]
"""Labels and scores of each series."""

SIMULATED_SERIES = 60
SIMULATED_ROWS = 4_000
DEFAULT = "default"


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidate:
    """Settings that could be the default."""

    settings: NormalSettings = field(default_factory=NormalSettings)
    rule: EventRule = field(default_factory=EventRule)


def candidates() -> dict[str, Candidate]:
    """The default, and each of its settings one step down and one step up, by name."""
    steps: Mapping[str, Sequence[Any]] = {
        "widths": ((16, 32, 64), (8, 16, 32, 64, 128), (32, 64, 128)),
        "memory_size": (128, 512),
        "spacing_share": (0.125, 0.5),
        "learns_below": (None, 4.0, 10.0),
        "usual_below": (0.5, 2.0),
        "quiet_rows": (16, 64),
        "lasting_rows": (256, 1024),
        "clip": (3.0, 6.0),
        "held_clip": (1.0, 4.0),
        "least_weight": (1 / 750, 1 / 3000),
        "least_distance": (5e-3, 2e-2),
        "least_share_of_range": (2.5e-3, 1e-2),
        "rounding_share": (0.0, 0.5),
    }
    events: Mapping[str, Sequence[Any]] = {
        "threshold": (3.0, 4.0, 6.0),
        "gap_rows": (64, 256),
        "quiet_rows": (8, 32),
        "least_share": (0.0, 0.25, 0.75),
    }
    found = {DEFAULT: Candidate()}
    for name, values in steps.items():
        for value in values:
            changed = replace(NormalSettings(), **{name: value})
            found[f"{name} {_short(value)}"] = Candidate(settings=changed)
    for name, values in events.items():
        for value in values:
            rule = replace(EventRule(), **{name: value})
            found[f"events: {name} {_short(value)}"] = Candidate(rule=rule)
    return found


def _short(value: object) -> str:
    return f"{value:.3g}" if isinstance(value, float) else str(value)


# --- the data sets --------------------------------------------------------------------------------


def simulated_series(seed: int) -> tuple[FloatArray, tuple[int, int]]:
    """float64[n] of a made-up sensor, and first and last row of its fault.

    A slow wave, a daily one, sometimes steps between states, noise, sometimes rounded; the fault is
    a step, a stuck value, a short spike, noise that grows, a wave that stops, or a slow drift.
    """
    rng = np.random.default_rng([seed, 26])
    n, row = SIMULATED_ROWS, np.arange(SIMULATED_ROWS)
    period = rng.uniform(60, 400)
    phase = 2 * np.pi * row / period + rng.uniform(0, 6)
    wave = np.sin(phase) + rng.uniform(0, 0.5) * np.sin(2 * phase + 1)
    noise = rng.uniform(0.02, 0.3)
    states = np.repeat(rng.integers(0, 3, n // 100 + 1), 100)[:n] if seed % 3 == 0 else 0.0
    start, length = int(rng.integers(1_500, 3_500)), int(rng.integers(30, 300))
    inside = slice(start, start + length)
    values = wave + 0.3 * np.sin(2 * np.pi * row / 1_440) + states
    last = start + length - 1
    kind = seed % 6
    if kind == 0:
        values[inside] += rng.choice([-1, 1]) * rng.uniform(1.0, 3.0)
    elif kind == 4:
        values[inside] -= wave[inside]
    elif kind == 5:
        values[inside] += np.linspace(0, rng.uniform(1.5, 4.0), length)
    values = values + rng.normal(0, noise, n)
    if kind == 1:
        values[inside] = values[start]
    elif kind == 2:
        last = start + 2
        values[start : last + 1] += rng.choice([-1, 1]) * rng.uniform(2.0, 5.0)
    elif kind == 3:
        values[inside] += rng.normal(0, 4 * noise + 0.3, length)
    if seed % 4 == 1:
        values = np.round(values * 8) / 8
    return values, (start, last)


@lru_cache(maxsize=1)
def _simulated(settings: NormalSettings) -> Labelled:
    faults = [simulated_series(seed) for seed in range(SIMULATED_SERIES)]
    return [(Intervals.of([fault]), series_scores(values, settings)) for values, fault in faults]


def _event_f1(labelled: Labelled, rule: EventRule, *, as_it_goes: bool) -> float:
    """Pooled event F1."""
    return score_nasa(
        (
            labels,
            Intervals.of(
                [(int(a), int(b)) for a, b in score_events(score, rule, as_it_goes=as_it_goes)]
            ),
        )
        for labels, score in labelled
    ).f1


def data_sets(folder: Path) -> dict[str, Callable[[Candidate], float]]:
    """How each data set that is there scores a candidate, 0 to 1, by name.

    What stands behind a colon is another score of the data set before it.
    """

    @lru_cache(maxsize=1)
    def recorded(settings: NormalSettings) -> Labelled:
        found = evaluate_nasa(folder / "nasa_smap", settings=settings)
        return [(labels, found.scores[name]) for name, labels in found.labels.items()]

    def smap(one: Candidate, *, as_it_goes: bool = False) -> float:
        return _event_f1(recorded(one.settings), one.rule, as_it_goes=as_it_goes)

    def simulated(one: Candidate, *, as_it_goes: bool = False) -> float:
        return _event_f1(_simulated(one.settings), one.rule, as_it_goes=as_it_goes)

    def nab(one: Candidate) -> float:
        return (
            evaluate_nab(folder / "nab", settings=one.settings).scores["standard"].normalised / 100
        )

    def skab(one: Candidate) -> float:
        runs = evaluate_skab(folder / "skab", settings=one.settings).runs.values()
        label = np.concatenate([r.label[TRAINING_ROWS:] for r in runs])
        level = np.concatenate([r.score[TRAINING_ROWS:] for r in runs])
        return score_skab(label, level >= one.rule.threshold).f1

    known: dict[str, Callable[[Candidate], float]] = {
        "nasa_smap": smap,
        "nasa_smap: as it goes": partial(smap, as_it_goes=True),
        "nab": nab,
        "skab": skab,
    }
    present = {n: score for n, score in known.items() if (folder / _data(n)).is_dir()}
    return present | {
        "simulated": simulated,
        "simulated: as it goes": partial(simulated, as_it_goes=True),
    }


def _data(name: str) -> str:
    return name.partition(":")[0]


# --- the choice -----------------------------------------------------------------------------------


def left_out_choices(scores: Mapping[str, Mapping[str, float]]) -> list[dict[str, Any]]:
    """What the choice on all other data sets scores on each.

    Args:
        scores: by data set and candidate.

    A candidate's worth on the others is the mean of its scores there, each as a share of the best
    score of that set, so that no set counts more for being easier. Other scores of the data that is
    left out are left out too.

    >>> scores = {"a": {"x": 0.8, "y": 0.6}, "b": {"x": 0.5, "y": 0.9}, "c": {"x": 0.9, "y": 0.9}}
    >>> [(c["left_out"], c["chosen"], c["fall"]) for c in left_out_choices(scores)]
    [('a', 'y', 0.2), ('b', 'x', 0.4), ('c', 'y', 0.0)]
    """
    rows: list[dict[str, Any]] = []
    for left_out, own in scores.items():
        worth = {
            name: float(
                np.mean(
                    [
                        s[name] / max(s.values())
                        for one, s in scores.items()
                        if _data(one) != _data(left_out)
                    ]
                )
            )
            for name in own
        }
        chosen, best = max(worth, key=lambda n: worth[n]), max(own, key=lambda n: own[n])
        rows.append(
            {
                "left_out": left_out,
                "chosen": chosen,
                "score": round(own[chosen], 4),
                "default": round(own.get(DEFAULT, float("nan")), 4),
                "best": best,
                "best_score": round(own[best], 4),
                "fall": round(own[best] - own[chosen], 4),
            }
        )
    return rows


def one_default(folder: Path, *, progress: Callable[[str], None], only: str = "") -> dict[str, Any]:
    """Scores of candidates on all data sets, and the choices that leave one out.

    Args:
        folder: of the data sets.
        progress: called with the scores of each candidate.
        only: besides the default, candidates whose name holds this.
    """
    sets = data_sets(folder)
    tried = {name: one for name, one in candidates().items() if name == DEFAULT or only in name}
    scores: dict[str, dict[str, float]] = {name: {} for name in sets}
    for name, candidate in tried.items():
        for one, score in sets.items():
            scores[one][name] = score(candidate)
        progress(f"{name}: " + ", ".join(f"{one} {scores[one][name]:.4f}" for one in sets))
    return {
        "scores": {one: {n: round(v, 4) for n, v in s.items()} for one, s in scores.items()},
        "choices": left_out_choices(scores),
    }


def choice_lines(found: Mapping[str, Any]) -> list[str]:
    """The choices as lines for a terminal."""
    lines = ["left out               score   default  best    fall   chosen on the others / best"]
    for c in found["choices"]:
        lines.append(
            f"{c['left_out']:<21}  {c['score']:.4f}  {c['default']:.4f}   {c['best_score']:.4f}  "
            f"{c['fall']:.4f}  {c['chosen']} / {c['best']}"
        )
    return lines
