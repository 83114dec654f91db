"""Trials: one seed, one world, one schedule of faults, and what of it shows that must not.

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
    """An engine over its rows, its undisturbed run, and what is wrong with that already."""

    engine: SimulatedEngine
    undisturbed: SimulatedResult
    wrong: tuple[str, ...] = ()


@lru_cache(maxsize=1)
def small_world(seed: int) -> World:
    """The small pipeline over the rows of ``seed``, run without any crash."""
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
    found = engine.run_through()
    wrong = [*unaccounted(found, engine), *differs_when_replayed(found, engine)]
    if fault_share == 0.0:  # another arrival asks a scorer other questions
        ordered = SimulatedEngine(
            plan, {"t": arrive(rows, arrival.in_order(), COLUMNS)}, controls=masks
        )
        wanted = ordered.run_through()
        wrong += unaccounted(wanted, ordered)
        if found.final_digest != wanted.final_digest:
            wrong.append("\n".join(["arrival shows:", *differences(wanted, found)]))
    return World(engine=engine, undisturbed=found, wrong=tuple(wrong))


def small_trial(seed: int) -> list[str]:
    """Run the small pipeline through the faults of ``seed``; what of them shows."""
    return try_faults(small_world(seed // SCHEDULES_PER_WORLD), draw_engine_faults(seed))


def gateway_plan(*, partitions: int = 2, tick_s: float = 30.0) -> Plan:
    """The gateway pipeline with a coarse tick: few epochs, every stage."""
    plan = load_plan(PIPELINE)
    form = plan.pipeline.model_copy(update={"partitions": partitions, "tick_s": tick_s})
    return make_plan(form, plan.contracts)


def gateway_trial(seed: int) -> list[str]:
    """The same of the gateway pipeline over a short constellation."""
    made = simulate(watched_scene(seed=seed, n_satellites=10, duration_s=300))
    plan = gateway_plan()
    engine = SimulatedEngine(
        plan,
        {"telemetry": made.telemetry, "logs": made.logs},
        guard=FaultyAnswers(plan, seed, 0.3 * (seed % 2)),
    )
    undisturbed = engine.run_through()
    wrong = tuple(unaccounted(undisturbed, engine))
    world = World(engine=engine, undisturbed=undisturbed, wrong=wrong)
    return try_faults(world, draw_engine_faults(seed))


def try_faults(world: World, faults: EngineFaults) -> list[str]:
    """Run ``world`` through ``faults``; what of them shows, and what was wrong before."""
    found = world.engine.run_through(faults, like=world.undisturbed)
    wrong = [*world.wrong, *unaccounted(found, world.engine)]
    if found.accounts != world.undisturbed.accounts:
        wrong.append(f"other accounts: {found.accounts}, not {world.undisturbed.accounts}")
    if lost := found.published - found.logged:
        wrong.append(f"published and then lost: {sorted(lost)[:3]}")
    if found.digest != world.undisturbed.digest:
        wrong.append("\n".join(["faults show:", *differences(world.undisturbed, found)]))
    if faults.seed % SCHEDULES_PER_WORLD == 0:
        wrong += differs_when_replayed(found, world.engine)
    return wrong


def differs_when_replayed(result: SimulatedResult, engine: SimulatedEngine) -> list[str]:
    """Where a replay of the logs comes to something else; [] where it does not."""
    verdict = result.replay(engine.sources)
    return [] if verdict else [f"replay differs: {verdict.difference}"]


def unaccounted(result: SimulatedResult, engine: SimulatedEngine) -> list[str]:
    """What is wrong if not every row and frame given was received and is no longer under way."""
    accounts, given = result.accounts, engine.rows + engine.frames
    wrong = [] if accounts.is_balanced else [f"the accounts do not add up: {accounts}"]
    if accounts.received != given:
        wrong.append(f"{accounts.received} of {given} rows and frames received")
    if accounts.in_flight:
        wrong.append(f"{accounts.in_flight} rows and frames still under way")
    return wrong


def try_seeds(trial: Callable[[int], list[str]], chunk: range) -> dict[int, list[str]]:
    """What is wrong, by seed of ``chunk`` or of the one that SIGHTLINE_SEED names; {}: nothing."""
    return {seed: wrong for seed in _chosen(chunk) if (wrong := _tried(trial, seed))}


def _tried(trial: Callable[[int], list[str]], seed: int) -> list[str]:
    try:
        return trial(seed)
    except Exception as error:
        error.add_note(f"seed {seed} (alone: SIGHTLINE_SEED={seed} pytest …)")
        raise


def _chosen(chunk: range) -> Iterator[int]:
    alone = os.environ.get("SIGHTLINE_SEED")
    if alone is None:
        yield from chunk
    elif int(alone) in chunk:
        yield int(alone)
