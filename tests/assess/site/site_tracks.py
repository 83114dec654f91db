"""Tracks as tests need them: given positions and velocities, and how sure they are."""

import numpy as np

from sightline.records import Tracks

CLASSES = ("person", "vehicle")
S = 1_000_000_000


def tracks(
    capture_ns=0,
    at=(),
    *,
    ids=None,
    velocity=None,
    classes=None,
    unseen_s=None,
    position_std_m=0.0,
    velocity_std_m_s=0.0,
    box_px=None,
    first_foot_px=None,
):
    """One row for each point of ``at``; ids count from 1, everybody is a person who stands."""
    ground = np.asarray(at, float).reshape(-1, 2)
    n = len(ground)
    spread = np.diag([position_std_m**2] * 2 + [velocity_std_m_s**2] * 2)
    return Tracks(
        stream="yard",
        capture_ns=capture_ns,
        track_id=np.arange(1, n + 1) if ids is None else np.asarray(ids, np.int64),
        box_px=np.tile([0.0, 0.0, 1.0, 1.0], (n, 1)) if box_px is None else np.asarray(box_px),
        score=np.ones(n),
        class_id=np.asarray([0] * n if classes is None else classes, np.int32),
        class_names=CLASSES,
        unseen_s=np.zeros(n) if unseen_s is None else np.asarray(unseen_s, float),
        age_s=np.ones(n),
        ground_m=ground,
        velocity_m_s=np.zeros((n, 2)) if velocity is None else np.asarray(velocity, float),
        ground_covariance=np.tile(spread, (n, 1, 1)),
        first_foot_px=np.full((n, 2), np.nan) if first_foot_px is None else first_foot_px,
        first_ground_m=np.full((n, 2), np.nan),
    )


def person_and_vehicle(person, vehicle=(0.0, 0.0), *, walks=(0.0, 0.0), drives=(5.0, 0.0), **rest):
    """A person (id 1) and a vehicle (id 2)."""
    return tracks(at=[person, vehicle], velocity=[walks, drives], classes=[0, 1], **rest)
