"""What is no track yet and lies where a machine would have to stop for it: a reason to be slow."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from sightline.assess.site.assessment import NOBODY, RiskCode, SiteAssessment
from sightline.assess.site.machines.heading import Headings
from sightline.assess.site.machines.machine import MachineRule
from sightline.assess.site.machines.pair_risk import pair_risk
from sightline.assess.site.zones import of_classes, seen_in_two_frames
from sightline.records import Tracks, Unconfirmed
from sightline.records.detections import BoolArray

_ASKS_FOR_STOP = (RiskCode.TOO_CLOSE, RiskCode.IN_STOPPING_PATH, RiskCode.COLLISION_COURSE)


def unconfirmed_risk(
    things: Unconfirmed,
    tracks: Tracks,
    rule: MachineRule,
    *,
    event_ns: int,
    headings: Headings | None = None,
) -> SiteAssessment:
    """UNCONFIRMED_NEAR_MACHINE, once for each machine that something may be in front of.

    How something moves that was seen once or twice nobody knows, so each is taken to stand where it
    was seen last. What lies where ``pair_risk`` would ask the machine to stop for somebody who
    stands there, at this moment alone, is told of if it was seen in two frames, as one thing or as
    several. Of things without a position on the ground nothing is said.

    Args:
        things: what is no track yet, of the stream of ``tracks``.
        tracks: of the frame; those of persons do not matter.
        rule: of the kind of machine.
        event_ns: time of the decision, not before the capture.
        headings: of the tracks; None: as their velocities show.

    Raises:
        UsageError: as ``pair_risk``.
    """
    none = SiteAssessment.none(tracks.stream, tracks.capture_ns)
    is_machine = of_classes(tracks, (rule.machine_class,))
    may_be = of_classes(things, rule.person_classes) & np.isfinite(things.ground_m).all(axis=1)
    n = int(may_be.sum())
    if not n or not is_machine.any():
        return none
    machines = tracks.only(is_machine)
    shown = Headings.of_velocity(tracks) if headings is None else headings
    first_id = int(machines.track_id.max()) + 1
    risk = pair_risk(
        _with_standing(machines, things, may_be, first_id=first_id),
        rule,
        event_ns=event_ns,
        headings=replace(
            shown,
            heading_rad=np.append(shown.heading_rad[is_machine], np.full(n, np.nan)),
            std_rad=np.append(shown.std_rad[is_machine], np.full(n, np.nan)),
            driven_s=None
            if shown.driven_s is None
            else np.append(shown.driven_s[is_machine], np.zeros(n)),
        ),
    )
    risk = risk.only(risk.has(*_ASKS_FOR_STOP))
    said = []
    for machine in np.unique(risk.other):
        near = np.zeros(len(things), np.bool_)
        near[np.flatnonzero(may_be)[risk.subject[risk.other == machine] - first_id]] = True
        if seen_in_two_frames(things, near):
            said.append(
                SiteAssessment.of_code(
                    RiskCode.UNCONFIRMED_NEAR_MACHINE,
                    stream=tracks.stream,
                    capture_ns=tracks.capture_ns,
                    subject=[NOBODY],
                    other=machine,
                    value=things.evidence[near].max(),
                    threshold=1.0,
                )
            )
    return SiteAssessment.joined(tracks.stream, tracks.capture_ns, said)


def _with_standing(
    machines: Tracks, things: Unconfirmed, may_be: BoolArray, *, first_id: int
) -> Tracks:
    """The machines, then the things as tracks of who stands there, with ids from ``first_id``."""
    n = int(may_be.sum())
    spread = np.zeros((n, 4, 4))
    spread[:, :2, :2] = things.ground_covariance[may_be]
    nowhere, still = np.full((n, 2), np.nan), np.zeros((n, 2))
    rows = {
        "track_id": first_id + np.arange(n),
        "box_px": things.box_px[may_be],
        "score": things.evidence[may_be],
        "class_id": things.class_id[may_be],
        "unseen_s": np.zeros(n),
        "age_s": np.zeros(n),
        "ground_m": things.ground_m[may_be],
        "velocity_m_s": still,
        "ground_covariance": spread,
        "first_foot_px": nowhere,
        "first_ground_m": nowhere,
    }
    columns: dict[str, Any] = {
        name: np.concatenate([getattr(machines, name), column]) for name, column in rows.items()
    }
    return replace(machines, **columns)
