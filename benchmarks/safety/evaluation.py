"""How often the stop comes in time, and how often for nothing: counts with exact bounds."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from functools import partial
from multiprocessing import get_context
from typing import Any

import numpy as np

from benchmarks.safety.scene import Scene
from benchmarks.safety.scene_drawing import SceneConfig, draw_clear, draw_conflict
from benchmarks.safety.trial import Deployment, Trial, run_trial
from sightline.errors import UsageError
from sightline.evidence.bounds import binomial_upper

TUNING_SEEDS = range(100_000)
"""Seeds that settings may be chosen by, and that tests run."""
EVALUATION_SEEDS = range(1_000_000, 1_100_000)
"""Seeds that figures are reported on; nothing is ever chosen by them."""
MISS_BOUND, FALSE_STOP_BOUND = 0.003, 0.01
"""What the upper bounds of the two rates must not exceed."""
_CONFIDENCE = 0.95
_TELL_EVERY = 100
_CHUNK = 10

Progress = Callable[[str], None]


def upper_bound(failures: int, runs: int) -> float:
    """One-sided 95 % upper bound of a rate, exact (Clopper & Pearson, 1934).

    >>> round(upper_bound(0, 1000), 5), round(upper_bound(4, 1000), 5), upper_bound(2, 2)
    (0.00299, 0.00913, 1.0)
    """
    return binomial_upper(failures, runs, confidence=_CONFIDENCE)


def evaluate_safety(
    *,
    runs: int,
    first_seed: int = EVALUATION_SEEDS.start,
    config: SceneConfig | None = None,
    deployment: Deployment | None = None,
    workers: int = 1,
    progress: Progress = lambda _: None,
) -> dict[str, Any]:
    """Run scenes with and without conflict, as many of each; the figures as JSON-ready mapping.

    A conflict counts as stopped in time when a STOP is commanded after the person has become
    visible and while the declared brakes still suffice, and the vehicle hits nobody until the end
    of the scene, also not after it was let go again. A run without conflict counts as falsely
    stopped when any STOP is commanded after the vehicle was first let go, for whatever reason,
    loss of sight among them. ``doubt_share`` is that of the time without a STOP in which a machine
    would be slow for what is no track yet, though nobody is near.

    Args:
        runs: scenes of each kind.
        first_seed: of both kinds; they draw from different random numbers.
        config: what scenes are drawn from.
        deployment: what decides.
        workers: processes; the figures do not depend on their number. More than one only with
            the default deployment.
        progress: told now and then.
    """
    if workers > 1 and deployment is not None:
        raise UsageError(
            expected="one worker, or the default deployment, which workers make themselves",
            got=f"{workers} workers and a deployment",
            where="evaluate_safety",
            action="leave one out: rules do not travel between processes",
        )
    config = config or SceneConfig()
    seeds = range(first_seed, first_seed + runs)
    begun_s = time.perf_counter()
    with _mapped(workers) as mapped:
        conflicts = []
        for trial in mapped(partial(_run, draw_conflict, config, deployment), seeds):
            conflicts.append(trial)
            _tell(progress, "conflict", len(conflicts), runs)
        between_s = time.perf_counter()
        clear = []
        for trial in mapped(partial(_run, draw_clear, config, deployment), seeds):
            clear.append(trial)
            _tell(progress, "clear", len(clear), runs)
    ended_s = time.perf_counter()
    lost = [trial for trial in conflicts if not trial.is_in_time]
    false = [trial for trial in clear if trial.stops]
    # A vehicle that never got going would never stop falsely: it is a failure of its own.
    idle = [trial for trial in (*conflicts, *clear) if not trial.is_complete]
    miss_bound, false_bound = upper_bound(len(lost), runs), upper_bound(len(false), runs)
    return {
        "seeds": {
            "first": seeds.start,
            "last": seeds.stop - 1,
            "are_for_evaluation": seeds.start in EVALUATION_SEEDS,
        },
        "conflict": {
            "runs": runs,
            "stopped_in_time": runs - len(lost),
            "missed": len(lost),
            "hits": sum(trial.hit_m_s > 0 for trial in conflicts),
            "miss_rate_upper_95": miss_bound,
            "miss_rate_allowed": MISS_BOUND,
            "spare_s": _percentiles([trial.spare_s for trial in conflicts]),
            "least_distance_m": _percentiles([trial.least_moving_m for trial in conflicts]),
            "first_reasons": _first_reasons(conflicts),
            "missed_seeds": [trial.seed for trial in lost],
            "wall_s": between_s - begun_s,
        },
        "clear": {
            "runs": runs,
            "false_stops": len(false),
            "false_stop_rate_upper_95": false_bound,
            "false_stop_rate_allowed": FALSE_STOP_BOUND,
            "hits": sum(trial.hit_m_s > 0 for trial in clear),
            "first_reasons": _first_reasons(false),
            "false_stop_seeds": [trial.seed for trial in false],
            "doubt_share": sum(t.doubt_s for t in clear) / max(sum(t.free_s for t in clear), 1e-9),
            "wall_s": ended_s - between_s,
        },
        "never_in_service": [trial.seed for trial in idle],
        "passed": miss_bound <= MISS_BOUND and false_bound <= FALSE_STOP_BOUND and not idle,
    }


def _run(
    draw: Callable[[SceneConfig, int], Scene],
    config: SceneConfig,
    deployment: Deployment | None,
    seed: int,
) -> Trial:
    return run_trial(draw(config, seed), deployment or Deployment())


@contextmanager
def _mapped(workers: int) -> Iterator[Callable[..., Iterator[Trial]]]:
    """A ``map`` that keeps the order: in this process, or over several."""
    if workers == 1:
        yield map
        return
    with ProcessPoolExecutor(workers, mp_context=get_context("spawn")) as pool:
        yield partial(pool.map, chunksize=_CHUNK)


def _tell(progress: Progress, kind: str, done: int, runs: int) -> None:
    if done % _TELL_EVERY == 0:
        progress(f"{kind}: {done} of {runs}")


def _percentiles(values: list[float]) -> dict[str, float | None]:
    """By nearest rank, so that runs without a number (-inf) stay what they are; None for inf."""
    found = np.percentile(values, [0, 1, 5, 50], method="inverted_cdf")
    return {
        name: float(value) if np.isfinite(value) else None
        for name, value in zip(("least", "p1", "p5", "p50"), found, strict=True)
    }


def _first_reasons(trials: list[Trial]) -> dict[str, int]:
    """How often each code was the most important reason of the first STOP."""
    counts = Counter(trial.stops[0].reasons[0] if trial.stops else "NONE" for trial in trials)
    return dict(sorted(counts.items()))
