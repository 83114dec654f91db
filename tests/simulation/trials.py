"""Trials: one seed, one world, one schedule of faults, and everything that must hold after it.

A failing seed can be run alone:
``SIGHTLINE_SEED=123 pytest tests/runtime/engine/test_fault_schedules.py``.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from sightline.apps.gateway import PIPELINE, simulate, watched_scene
from sightline.runtime import Plan, load_plan, make_plan
from simulation.engine import FaultyAnswers, SimulatedEngine, SimulatedResult, differences
from simulation.schedules import EngineFaults, arrive, draw_arrival, draw_engine_faults
from simulation.small_world import (
    ALLOWANCE_S,
    COLUMNS,
    DURATION_S,
    OUT_OF_ORDER_S,
    SENSORS,
    mask,
    small_plan,
    small_rows,
)

SCHEDULES_PER_WORLD = 4
"""Seeds that share their rows and differ in what befalls the engine; saves undisturbed runs."""


@dataclass(frozen=True, slots=True, kw_only=True)
class World:
    """An engine over its rows, and its undisturbed run."""

    engine: SimulatedEngine
    undisturbed: SimulatedResult


@lru_cache(maxsize=1)
def small_world(seed: int) -> World:
    """The small pipeline over the rows of ``seed``; checks what must hold without any crash."""
    arrival = draw_arrival(
        seed,
        keys=SENSORS,
        duration_s=DURATION_S,
        out_of_order_s=OUT_OF_ORDER_S,
        allowance_s=ALLOWANCE_S,
    )
    rows = small_rows(seed)
    plan = small_plan()
    rng = np.random.default_rng([seed, 17])
    fault_share = float(rng.choice([0.0, 0.3, 0.8]))
    guard = FaultyAnswers(plan, seed, fault_share)
    masks = [mask(str(rng.choice(SENSORS)))] if rng.random() < 0.3 else []
    engine = SimulatedEngine(
        plan, {"t": arrive(rows, arrival, COLUMNS)}, guard=guard, controls=masks
    )
    world = World(engine=engine, undisturbed=engine.run_through())
    assert_all_accounted(world.undisturbed, engine)
    verdict = world.undisturbed.replay(engine.sources)
    assert verdict, str(verdict.difference)
    if fault_share == 0.0:  # another arrival asks a scorer other questions
        ordered = SimulatedEngine(
            plan, {"t": arrive(rows, arrival.in_order(), COLUMNS)}, controls=masks
        )
        wanted = ordered.run_through()
        assert_all_accounted(wanted, ordered)
        changes = "\n".join(differences(wanted, world.undisturbed))
        assert world.undisturbed.final_digest == wanted.final_digest, f"arrival shows:\n{changes}"
    return world


def small_trial(seed: int) -> None:
    """Run the small pipeline through the faults of ``seed``."""
    try_faults(small_world(seed // SCHEDULES_PER_WORLD), draw_engine_faults(seed))


def gateway_plan(*, partitions: int = 2, tick_s: float = 30.0) -> Plan:
    """The gateway pipeline with a coarse tick: few epochs, every stage."""
    plan = load_plan(PIPELINE)
    form = plan.pipeline.model_copy(update={"partitions": partitions, "tick_s": tick_s})
    return make_plan(form, plan.contracts)


def gateway_trial(seed: int) -> None:
    """Run the gateway pipeline over a short constellation through the faults of ``seed``."""
    made = simulate(watched_scene(seed=seed, n_satellites=10, duration_s=300))
    plan = gateway_plan()
    engine = SimulatedEngine(
        plan,
        {"telemetry": made.telemetry, "logs": made.logs},
        guard=FaultyAnswers(plan, seed, 0.3 * (seed % 2)),
    )
    undisturbed = engine.run_through()
    assert_all_accounted(undisturbed, engine)
    try_faults(World(engine=engine, undisturbed=undisturbed), draw_engine_faults(seed))


def try_faults(world: World, faults: EngineFaults) -> SimulatedResult:
    """Run ``world`` through ``faults`` and check that none of them shows."""
    found = world.engine.run_through(faults, like=world.undisturbed)
    assert_all_accounted(found, world.engine)
    assert found.accounts == world.undisturbed.accounts
    lost = found.published - found.logged
    assert not lost, f"published and then lost: {sorted(lost)[:3]}"
    changes = "\n".join(differences(world.undisturbed, found))
    assert found.digest == world.undisturbed.digest, f"faults show:\n{changes}"
    verdict = found.replay(world.engine.sources) if faults.seed % SCHEDULES_PER_WORLD == 0 else True
    assert verdict, f"replay differs: {verdict}"
    return found


def assert_all_accounted(result: SimulatedResult, engine: SimulatedEngine) -> None:
    """Every row and frame given was received, and none is still under way."""
    assert result.accounts.is_balanced
    assert result.accounts.received == engine.rows + engine.frames
    assert result.accounts.in_flight == 0


def try_seeds(trial: Callable[[int], object], chunk: range) -> None:
    """Run ``trial`` for the seeds of ``chunk``, or for the one that SIGHTLINE_SEED names."""
    for seed in _chosen(chunk):
        try:
            trial(seed)
        except Exception as error:
            raise AssertionError(f"seed {seed} (alone: SIGHTLINE_SEED={seed} pytest …)") from error


def _chosen(chunk: range) -> Iterator[int]:
    alone = os.environ.get("SIGHTLINE_SEED")
    if alone is None:
        yield from chunk
    elif int(alone) in chunk:
        yield int(alone)
