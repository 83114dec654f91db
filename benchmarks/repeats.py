"""Equal faults that come again and again in made-up series, and events of series with no fault.

How many faults are told, each as an event of its own, and how many events are told beside them;
and how often nothing but noise is an event, by how long the recording is: a short one has too few
rows to learn from for the wide windows.
"""

from __future__ import annotations

import io
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from sightline.perceive.normal import (
    EventRule,
    NormalSettings,
    SeriesDetector,
    learning_rows,
    score_events,
)
from sightline.records.windows import FloatArray

NOISES = ("white", "wave", "wandering", "rounded", "states")
FAULTS = ("dropout", "spike", "step", "ramp", "burst")
ROWS = (600, 1200, 2400, 5000)
SCENES = 150
CALM = 40
"""Series without a fault, of each noise and length."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Repeats:
    """Faults of some scenes and what was told.

    Attributes:
        scenes, faults: how many.
        told: faults that an event touches; own: that have one which touches no other.
        beside: events that touch no fault.
        exact: scenes with one event for each fault and no other.
    """

    scenes: int = 0
    faults: int = 0
    told: int = 0
    own: int = 0
    beside: int = 0
    exact: int = 0

    def __add__(self, other: Repeats) -> Repeats:
        return Repeats(
            scenes=self.scenes + other.scenes,
            faults=self.faults + other.faults,
            told=self.told + other.told,
            own=self.own + other.own,
            beside=self.beside + other.beside,
            exact=self.exact + other.exact,
        )


def made_up(noise: str, rows: int, seed: int) -> FloatArray:
    """float64[rows] in which nothing happens.

    >>> len(made_up("states", 600, 0))
    600
    """
    rng = np.random.default_rng([seed, NOISES.index(noise), rows])
    values = 20.0 + rng.normal(0, 0.9, rows)
    if noise == "wave":
        values = 20.0 + 3 * np.sin(2 * np.pi * np.arange(rows) / 96) + rng.normal(0, 0.4, rows)
    elif noise == "wandering":
        for row in range(1, rows):
            values[row] = 20.0 + 0.9 * (values[row - 1] - 20.0) + rng.normal()
    elif noise == "rounded":
        values = np.round(values)
    elif noise == "states":
        held = np.repeat(rng.choice([1.0, 2.0, 5.0], rows // 25 + 1), 25)[:rows]
        values = held + rng.normal(0, 0.1, rows)
    return values


def repeated(seed: int) -> tuple[str, FloatArray, list[tuple[int, int]]]:
    """Kind of noise, float64[n], and first and last row of 3 to 8 equal faults 150 to 500 apart."""
    rng = np.random.default_rng([seed, 77])
    noise, fault = NOISES[seed % 5], FAULTS[seed // 5 % 5]
    count, apart = int(rng.integers(3, 9)), int(rng.integers(150, 500))
    lasts = 3 if fault == "spike" else int(rng.integers(10, 60))
    rows = int(rng.integers(1000, 3000))
    while rows < (first := learning_rows(rows) + 150) + count * apart + 100:
        rows += 50
    values, faults = made_up(noise, rows, seed), []
    for begin in range(first, first + count * apart, apart):
        part = slice(begin, begin + lasts)
        values[part] = {
            "dropout": np.zeros(lasts),
            "spike": values[part] + 15.0,
            "step": values[part] + 8.0,
            "ramp": values[part] + np.linspace(0, 12, lasts),
            "burst": values[part] + 10 * (-1.0) ** np.arange(lasts),
        }[fault]
        faults.append((begin, begin + lasts - 1))
    return noise, values, faults


def _events(values: FloatArray, settings: NormalSettings) -> list[tuple[int, int]]:
    learnt = learning_rows(len(values))
    score = np.full(len(values), np.nan)
    score[learnt:] = SeriesDetector.learn(values[:learnt], settings).follow(values[learnt:])[0]
    found = score_events(score, replace(EventRule(), least_share=0.0))
    return [(int(first), int(last)) for first, last in found]


def _judged(values: FloatArray, faults: list[tuple[int, int]], settings: NormalSettings) -> Repeats:
    events = _events(values, settings)
    touched = [sum(a <= last and b >= first for first, last in faults) for a, b in events]
    told = sum(any(a <= last and b >= first for a, b in events) for first, last in faults)
    own = touched.count(1)
    return Repeats(
        scenes=1,
        faults=len(faults),
        told=told,
        own=own,
        beside=touched.count(0),
        exact=int(len(events) == len(faults) == told == own),
    )


def bench_repeats(settings: NormalSettings | None = None) -> dict[str, Any]:
    """Repeated faults by kind of noise, and events in each 1,000 followed rows of noise alone."""
    settings = settings or NormalSettings()
    by_noise = dict.fromkeys(NOISES, Repeats())
    for seed in range(SCENES):
        noise, values, faults = repeated(seed)
        by_noise[noise] += _judged(values, faults, settings)
    calm = {
        rows: {
            noise: 1000
            * sum(len(_events(made_up(noise, rows, seed), settings)) for seed in range(CALM))
            / (CALM * (rows - learning_rows(rows)))
            for noise in NOISES
        }
        for rows in ROWS
    }
    return {"repeats": by_noise, "calm": calm}


def repeat_lines(found: dict[str, Any]) -> list[str]:
    """Two tables, for people."""
    text = io.StringIO()
    print("noise      scenes faults told  own beside exact", file=text)
    for noise, one in found["repeats"].items():
        print(
            f"{noise:10} {one.scenes:6} {one.faults:6} {one.told:4} {one.own:4} {one.beside:6} "
            f"{one.exact:5}",
            file=text,
        )
    print("\nevents in 1,000 rows without a fault", file=text)
    print("rows  " + " ".join(f"{noise:>9}" for noise in NOISES), file=text)
    for rows, rates in found["calm"].items():
        print(f"{rows:5} " + " ".join(f"{rates[noise]:9.3f}" for noise in NOISES), file=text)
    return text.getvalue().splitlines()
