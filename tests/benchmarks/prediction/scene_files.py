"""Folders of recorded scenes as ETH and Hotel are published, with simulated walkers in them."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np

DATA = Path(os.environ.get("SIGHTLINE_DATA", Path(__file__).parents[4] / "shared" / "data"))
ETH_UCY = DATA / "eth_ucy"
PETS = DATA / "pets2009_s2l1"
STEP_S = 0.4


def wanderers(
    *, people, seed, samples=24, frames_per_step=10, drift_m2_s3=0.02, gap_samples=0, fewer=0
):
    """float64[r, 4]: frame, person, x, y of people of whom one in four loiters and the rest walk.

    Args:
        people: how many; each is seen for ``samples`` from a frame of their own.
        seed: of the draws.
        samples: per person, 0.4 s apart.
        frames_per_step: frames between two of them.
        drift_m2_s3: how much the velocities of those who walk change.
        gap_samples: skipped after the tenth sample of everybody.
        fewer: samples that every second person lacks at the end.
    """
    draws = np.random.default_rng(seed)
    count = np.arange(samples)
    frame = frames_per_step * (count + np.where(count >= 10, gap_samples, 0))
    rows = []
    for person in range(people):
        path = _loiter(draws, samples) if person % 4 == 0 else _walk(draws, samples, drift_m2_s3)
        place = draws.uniform(-5, 5, 2) + path + draws.normal(0, 0.03, path.shape)
        started = frame + frames_per_step * person
        seen = np.column_stack([started, np.full(samples, person + 1), place])
        rows.append(seen[: samples - fewer * (person % 2)])
    return np.concatenate(rows)


def _walk(draws, samples, drift_m2_s3):
    """1.3 m/s to begin with, in any direction."""
    angle = draws.uniform(-np.pi, np.pi)
    change = draws.normal(0, np.sqrt(drift_m2_s3 * STEP_S), (samples, 2))
    velocity = 1.3 * np.array([np.cos(angle), np.sin(angle)]) + np.cumsum(change, axis=0)
    return np.cumsum(velocity * STEP_S, axis=0)


def _loiter(draws, samples):
    """To and fro about a place, 0.2 m, forgotten in about 2 s."""
    keep = np.exp(-STEP_S / 2.0)
    place = [draws.normal(0, 0.2, 2)]
    for _ in range(samples - 1):
        place.append(keep * place[-1] + draws.normal(0, 0.2 * np.sqrt(1 - keep**2), 2))
    return np.array(place)


def save_scene(folder, name, rows):
    """Write float64[r, 4] to ``folder``/seq_``name``/obsmat.txt; its folder."""
    scene = folder / f"seq_{name}"
    scene.mkdir(parents=True)
    zero = np.zeros(len(rows))
    columns = [rows[:, 0], rows[:, 1], rows[:, 2], zero, rows[:, 3], zero, zero, zero]
    np.savetxt(scene / "obsmat.txt", np.column_stack(columns))
    return scene
