"""Simulated walkers: they move exactly as a velocity model says."""

from __future__ import annotations

import numpy as np

from benchmarks.prediction import VelocityModel
from benchmarks.prediction.trajectories import TrackHistory

STEP_S = 0.4
PAST_S = np.arange(-7, 1) * STEP_S
AHEAD_S = np.array([0.8, 2.0, 4.8])


def history_of(position_m, time_s=PAST_S):
    """A history of n tracks, float[n, h, 2], that share their times."""
    position_m = np.asarray(position_m, float)
    return TrackHistory(time_s=np.broadcast_to(time_s, position_m.shape[:2]), position_m=position_m)


def straight(velocity_m_s, start_m=(0.0, 0.0), time_s=PAST_S):
    """One person at constant velocity who is at ``start_m`` now."""
    return np.asarray(start_m) + time_s[:, None] * np.asarray(velocity_m_s)


def random_walkers(model: VelocityModel, *, n, seed, spread_factor=1.0):
    """History and float[n, 3, 2] truth at ``AHEAD_S`` of walkers drawn from ``model``.

    Args:
        model: whose law they follow.
        n: how many.
        seed: of the draws.
        spread_factor: standard deviations of what moves them, times this.
    """
    draws = np.random.default_rng(seed)
    times_s = np.concatenate([PAST_S, AHEAD_S])
    state = np.zeros((n, 3, 2))
    state[:, 1] = draws.normal(0, model.cruise_sd_m_s, (n, 2))
    state[:, 2] = draws.normal(0, spread_factor * model.sway_sd_m_s, (n, 2))
    places = [state[:, 0]]
    for step_s in np.diff(times_s):
        transition, noise = model.transition(np.array(step_s)), model.noise(np.array(step_s))
        root = np.linalg.cholesky(noise + 1e-15 * np.eye(3))
        pushed = np.einsum("ij,njc->nic", root, draws.normal(0, 1, (n, 3, 2)))
        state = np.einsum("ij,njc->nic", transition, state) + spread_factor * pushed
        places.append(state[:, 0])
    position = np.stack(places, axis=1)
    seen = position[:, : len(PAST_S)]
    seen = seen + draws.normal(0, model.position_sd_m, seen.shape)
    return history_of(seen), position[:, len(PAST_S) :]
