"""Risks of pairs of a person and a machine: too close, in its way, on collision course."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
from scipy.special import ndtri

from sightline.assess.site.assessment import RiskCode, SiteAssessment
from sightline.assess.site.gaussian import probability_above
from sightline.assess.site.machines.confirmation import (
    AHEAD_S,
    TRACKER_LAG_S,
    Likelihoods,
    SuspectedPairs,
    is_steady,
)
from sightline.assess.site.machines.heading import Drive, Headings
from sightline.assess.site.machines.machine import MachineRule
from sightline.assess.site.machines.relative_motion import RelativeMotion, conflict_probability
from sightline.errors import UsageError
from sightline.records import Tracks
from sightline.records.detections import BoolArray
from sightline.records.signals import NS_PER_S
from sightline.records.windows import FloatArray, IntArray

MAX_PAIRS = 100_000
"""Pairs of a person and a machine in one frame; more is a UsageError."""
WALKS_IN_S = 0.7
"""Time for which a person walks on, in the question whether it will be in the stopping path."""
LEAVES_BELOW = 0.2
"""Share of the rule's probability below which a conflict is so unlikely that a person in the way of
the machine will have left it."""
_TINY = 1e-9


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Pairs:
    """n pairs: who, how they move, and what the machine needs to stop."""

    person_id: IntArray
    machine_id: IntArray
    is_seen: BoolArray
    motion: RelativeMotion
    is_disc: BoolArray
    walk_m_s: FloatArray
    stopping_m: FloatArray
    horizon_s: FloatArray
    steady_stopping_m: FloatArray
    steady_horizon_s: FloatArray
    surely_m: FloatArray
    heading_std_rad: FloatArray


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Measured:
    """What was measured of n pairs, float64[n] each: see :func:`pair_risk`."""

    pairs: _Pairs
    separation_m: FloatArray
    lower_m: FloatArray
    limit_m: FloatArray
    likely: Likelihoods
    later: FloatArray


def look_at_pairs(
    state: SuspectedPairs,
    tracks: Tracks,
    rule: MachineRule,
    *,
    event_ns: int,
    headings: Headings | None = None,
) -> tuple[SuspectedPairs, SiteAssessment]:
    """Take in a new frame: :func:`pair_risk` with the memory of the frames before.

    The arguments and errors are those of :func:`pair_risk`.

    Returns:
        The suspicions after this frame, for the next one and for ``pair_risk`` until then; and
        the risks.
    """
    found = _measured(tracks, rule, event_ns=event_ns, headings=headings)
    if found is None:
        return SuspectedPairs.start(), SiteAssessment.none(tracks.stream, tracks.capture_ns)
    pairs = found.pairs
    state = state.after(
        pairs.person_id,
        pairs.machine_id,
        found.likely,
        pairs.is_seen,
        probability=rule.probability,
        event_ns=event_ns,
    )
    return state, _said(found, tracks, rule, state, event_ns=event_ns)


def pair_risk(
    tracks: Tracks,
    rule: MachineRule,
    *,
    event_ns: int,
    headings: Headings | None = None,
    suspected: SuspectedPairs | None = None,
) -> SiteAssessment:
    """The risks of every person from every machine of one kind in one frame.

    The sensing latency, the age of the frame, is made up for by carrying all tracks on to the
    time of the decision. With S the stopping distance from there, at the machine's speed (two
    standard deviations higher, not below its restart speed, and sped up since the frame as its
    braking says) and after one more decision step, a risk is said when its probability reaches
    that of the rule:

    - TOO_CLOSE: the footprints are nearer than ``clearance_m``;
    - IN_STOPPING_PATH: the person is where the machine will be, or within the clearance of it,
      when it stops as late as it can: if the person stays there, it must stop now;
    - COLLISION_COURSE: if both go on, the footprints come nearer than the clearance before they
      have used up S and what the person walks towards the machine until it stands: if it does
      not stop now, it stands too late;
    - APPROACHING: the same for ``warn_ahead_s`` more.

    With ``suspected``, the memory of the frames before, the two in the middle are said when they
    are sure enough or have lasted: see ``confirmation``. For who is in the way of the machine and
    will have left it before it comes, S counts no speed above its top speed: should they halt, it
    stops before them all the same, if nothing is in hand then against other errors.

    A machine whose heading is not known may set off anywhere: its footprint is the disc around
    its box, and the clearance is longer by S. UNLOCATED is said of pairs without a position.
    Tracks that coast are assessed where they are thought to be. Nothing is said of machines that
    are not among the tracks: whoever commands one must see to it that it is.

    Args:
        tracks: of the frame.
        rule: of the kind of machine.
        event_ns: time of the decision, not before the capture.
        headings: of the tracks, from ``follow_headings`` or from the machines themselves; None:
            as their velocities show. A machine is taken to drive where it heads.
        suspected: after this frame, from :func:`look_at_pairs`; None: this moment alone decides.

    Raises:
        UsageError: a decision before its frame, or more than MAX_PAIRS pairs.
    """
    found = _measured(tracks, rule, event_ns=event_ns, headings=headings)
    if found is None:
        return SiteAssessment.none(tracks.stream, tracks.capture_ns)
    return _said(found, tracks, rule, suspected, event_ns=event_ns)


def _measured(
    tracks: Tracks, rule: MachineRule, *, event_ns: int, headings: Headings | None
) -> _Measured | None:
    """All pairs of a frame; None where there are none."""
    if event_ns < tracks.capture_ns:
        raise UsageError(
            expected=f"a decision at or after the capture at {tracks.capture_ns}",
            got=str(event_ns),
            where=f"pair_risk of stream {tracks.stream}",
            action="synchronise the clocks of camera and decision",
        )
    names = np.array(tracks.class_names)
    person = np.flatnonzero(np.isin(names, rule.person_classes)[tracks.class_id])
    machine = np.flatnonzero((names == rule.machine_class)[tracks.class_id])
    if len(person) * len(machine) > MAX_PAIRS:
        raise UsageError(
            expected=f"at most {MAX_PAIRS} pairs of a person and a machine",
            got=f"{len(person)} persons and {len(machine)} machines",
            where=f"pair_risk of stream {tracks.stream}",
            action="restrict the classes, or find out why there are so many tracks",
        )
    if len(person) == 0 or len(machine) == 0:
        return None
    age_s = (event_ns - tracks.capture_ns) / NS_PER_S
    pairs = _pairs(_carried_on(tracks, age_s), person, machine, rule, headings, age_s=age_s)
    motion, is_disc = pairs.motion, pairs.is_disc

    separation_m, separation_std_m = motion.separation_m()
    lower_m = separation_m + np.nan_to_num(separation_std_m) * float(ndtri(rule.probability))
    limit_m = rule.clearance_m + np.where(is_disc, pairs.stopping_m, 0.0)
    reach_s = np.stack(
        [
            pairs.horizon_s,
            pairs.steady_horizon_s,
            pairs.horizon_s + AHEAD_S,
            pairs.horizon_s + rule.warn_ahead_s,
        ]
    )
    soon, surely_soon, ahead, later = conflict_probability(
        motion, limit_m=np.full(len(motion), rule.clearance_m), horizon_s=reach_s
    )
    half_width_m = motion.half_size_m[:, 1] + motion.radius_m + rule.clearance_m
    is_in_the_way = np.abs(motion.position_m[:, 1]) <= half_width_m
    leaves = is_in_the_way & (soon < LEAVES_BELOW * rule.probability)
    return _Measured(
        pairs=pairs,
        separation_m=separation_m,
        lower_m=lower_m,
        limit_m=limit_m,
        likely=Likelihoods(
            course=soon,
            steady_course=surely_soon,
            course_ahead=ahead,
            path=_path_probability(pairs, rule, pairs.stopping_m),
            steady_path=_path_probability(
                pairs, rule, np.where(leaves, pairs.surely_m, pairs.steady_stopping_m)
            ),
            path_ahead=_path_probability(pairs, rule, pairs.stopping_m, walks_s=WALKS_IN_S),
        ),
        later=later,
    )


def _said(
    found: _Measured,
    tracks: Tracks,
    rule: MachineRule,
    suspected: SuspectedPairs | None,
    *,
    event_ns: int,
) -> SiteAssessment:
    """The codes of what was measured."""
    pairs, later, at_least = found.pairs, found.later, rule.probability
    motion = pairs.motion
    course, needed = found.likely.course, np.full(len(motion), at_least)
    path = found.likely.path
    if suspected is not None:
        held_s = suspected.held_s(pairs.person_id, pairs.machine_id, event_ns=event_ns)
        course, needed = found.likely.decisive_course(held_s, probability=at_least)
        path = found.likely.decisive_path(held_s)
    is_unlocated = np.isnan(found.separation_m)
    is_course = course >= needed
    is_close = found.lower_m <= found.limit_m
    said: list[tuple[RiskCode, BoolArray, FloatArray, float | FloatArray]] = [
        (RiskCode.TOO_CLOSE, is_close, found.lower_m, found.limit_m),
        (RiskCode.IN_STOPPING_PATH, path >= at_least, path, at_least),
        (RiskCode.COLLISION_COURSE, is_course, course, needed),
        (RiskCode.APPROACHING, (later >= at_least) & ~is_course, later, at_least),
        (RiskCode.UNLOCATED, is_unlocated, found.separation_m, rule.clearance_m),
    ]
    if not any(holds.any() for _, holds, _, _ in said):
        return SiteAssessment.none(tracks.stream, tracks.capture_ns)
    contact_s, _ = motion.time_to_distance(np.zeros(len(motion)))
    parts = [
        SiteAssessment.of_code(
            code,
            stream=tracks.stream,
            capture_ns=tracks.capture_ns,
            subject=pairs.person_id[holds],
            other=pairs.machine_id[holds],
            value=value[holds],
            threshold=np.broadcast_to(threshold, holds.shape)[holds],
            contact_s=contact_s[holds],
        )
        for code, holds, value, threshold in said
        if holds.any()
    ]
    return SiteAssessment.joined(tracks.stream, tracks.capture_ns, parts)


def _path_probability(
    pairs: _Pairs, rule: MachineRule, stopping_m: FloatArray, *, walks_s: float = 0.0
) -> FloatArray:
    """float64[n]: probability of being in the machine's box, longer ahead by S, and the clearance.

    Along and across as if independent; the corners are square, not round. Across counts also
    where the machine will get to, since its heading is no better known than its velocity. With
    ``walks_s`` it is where the person will be after walking on for so long, in what the machine
    has not passed by then; that is as unsure as the relative velocity. 0 for a disc.
    """
    motion = pairs.motion
    reach = motion.radius_m + rule.clearance_m
    x, y = (motion.position_m + walks_s * pairs.walk_m_s).T
    half_length, half_width = motion.half_size_m.T
    axes = np.arange(2)
    variance = motion.covariance[:, axes, axes] + walks_s * (
        2 * motion.covariance[:, axes, axes + 2]
        + walks_s * motion.covariance[:, axes + 2, axes + 2]
    )
    variance[:, 1] += (x * pairs.heading_std_rad) ** 2
    std_x, std_y = np.sqrt(np.maximum(variance, 0.0)).T
    passed_m = walks_s * (pairs.walk_m_s - motion.velocity_m_s)[:, 0]
    ahead = probability_above(x, std_x, passed_m - half_length - reach) - probability_above(
        x, std_x, half_length + stopping_m + reach
    )
    beside = probability_above(y, std_y, -half_width - reach) - probability_above(
        y, std_y, half_width + reach
    )
    return np.where(pairs.is_disc, 0.0, ahead * beside)


def _carried_on(tracks: Tracks, age_s: float) -> Tracks:
    """The tracks where they are by now if they went on as in the frame."""
    move = np.eye(4)
    move[0, 2] = move[1, 3] = age_s
    return replace(
        tracks,
        ground_m=tracks.ground_m + age_s * tracks.velocity_m_s,
        ground_covariance=move @ tracks.ground_covariance @ move.T,
    )


def _pairs(
    tracks: Tracks,
    person: npt.NDArray[np.intp],
    machine: npt.NDArray[np.intp],
    rule: MachineRule,
    headings: Headings | None,
    *,
    age_s: float,
) -> _Pairs:
    """All pairs of the persons and machines at these rows of the tracks."""
    shown = headings or Headings.of_velocity(tracks)
    heading = shown.heading_rad[machine]
    known = Headings(heading_rad=heading, std_rad=shown.std_rad[machine])
    is_disc = np.isnan(heading)
    is_machine = np.isin(np.arange(len(tracks)), machine)
    drive = Drive.of(tracks.only(is_machine), known, least_m_s=rule.restart_speed_m_s)
    steadily = is_steady(
        None if shown.driven_s is None else shown.driven_s[machine],
        drive.fastest_m_s,
        acceleration_m_s2=rule.braking.acceleration_m_s2,
    )
    lag_s = 0.0 if shown.driven_s is None else np.where(steadily, 0.0, TRACKER_LAG_S)
    fastest_m_s = rule.braking.sped_up_m_s(drive.fastest_m_s, age_s + lag_s)
    stopping_m = rule.braking.stopping_distance_m(
        fastest_m_s, sensing_latency_s=rule.decision_step_s
    )
    stopping_s = rule.braking.stopping_time_s(fastest_m_s, sensing_latency_s=rule.decision_step_s)
    # What it needs if it does not speed up: until that is used up, there is time to look again.
    steady = replace(rule.braking, acceleration_m_s2=0.0)
    steady_m, steady_s = (
        need(drive.fastest_m_s, sensing_latency_s=rule.decision_step_s)
        for need in (steady.stopping_distance_m, steady.stopping_time_s)
    )
    # No error of its speed makes a machine faster than it can be, unless it is seen to be.
    possible_m_s = np.minimum(
        drive.fastest_m_s, np.maximum(drive.assumed_m_s, rule.braking.top_speed_m_s)
    )
    surely_m = steady.stopping_distance_m(possible_m_s, sensing_latency_s=rule.decision_step_s)
    surely_m = np.where(steadily, surely_m, stopping_m)
    steady_m = np.where(steadily, steady_m, stopping_m)
    steady_s = np.where(steadily, steady_s, stopping_s)

    p = np.repeat(np.arange(len(person)), len(machine))
    m = np.tile(np.arange(len(machine)), len(person))
    to_machine = _rotation(np.where(is_disc, 0.0, heading))[m]
    both = np.zeros((len(m), 4, 4))
    both[:, :2, :2] = both[:, 2:, 2:] = to_machine
    covariance = tracks.ground_covariance[person[p]] + drive.covariance[m]
    half_size = np.array([rule.length_m, rule.width_m]) / 2
    walk_m_s = np.einsum("nij,nj->ni", to_machine, tracks.velocity_m_s[person[p]])
    motion = RelativeMotion(
        position_m=np.einsum(
            "nij,nj->ni", to_machine, tracks.ground_m[person[p]] - tracks.ground_m[machine[m]]
        ),
        velocity_m_s=walk_m_s - np.einsum("nij,nj->ni", to_machine, drive.velocity_m_s[m]),
        covariance=both @ covariance @ both.transpose(0, 2, 1),
        half_size_m=np.where(is_disc[m, None], 0.0, half_size),
        radius_m=rule.person_radius_m + np.where(is_disc[m], np.hypot(*half_size), 0.0),
    )
    return _Pairs(
        person_id=tracks.track_id[person[p]],
        machine_id=tracks.track_id[machine[m]],
        is_seen=tracks.unseen_s[person[p]] == 0,
        motion=motion,
        is_disc=is_disc[m],
        walk_m_s=walk_m_s,
        stopping_m=stopping_m[m],
        horizon_s=_horizon_s(
            motion,
            walk_m_s,
            is_disc=is_disc[m],
            speed_m_s=drive.assumed_m_s[m],
            stopping_m=stopping_m[m],
            stopping_s=stopping_s[m],
        ),
        steady_stopping_m=steady_m[m],
        surely_m=surely_m[m],
        steady_horizon_s=_horizon_s(
            motion,
            walk_m_s,
            is_disc=is_disc[m],
            speed_m_s=drive.assumed_m_s[m],
            stopping_m=steady_m[m],
            stopping_s=steady_s[m],
        ),
        heading_std_rad=np.where(is_disc, 0.0, known.std_rad)[m],
    )


def _horizon_s(
    motion: RelativeMotion,
    walk_m_s: FloatArray,
    *,
    is_disc: BoolArray,
    speed_m_s: FloatArray,
    stopping_m: FloatArray,
    stopping_s: FloatArray,
) -> FloatArray:
    """float64[n]: time in which both, going on as now, use up the distance needed to stop.

    Until the machine stands, after T, it drives S and a person who comes towards it with u walks
    u T. At their present speeds that distance is used up after (S + u T) / (v + u). It is the
    protective separation of ISO/TS 15066:2016, 5.5.4, as a time.
    """
    away_m = np.maximum(np.hypot(*motion.position_m.T), _TINY)
    towards = -np.einsum("nc,nc->n", walk_m_s, motion.position_m) / away_m
    closing_m_s = np.maximum(np.where(is_disc, towards, -walk_m_s[:, 0]), 0.0)
    horizon = (stopping_m + closing_m_s * stopping_s) / (speed_m_s + closing_m_s)
    return np.nan_to_num(horizon, nan=0.0)


def _rotation(angle_rad: FloatArray) -> FloatArray:
    """float64[n, 2, 2]: from site coordinates into those of machines that head that way."""
    cos, sin = np.cos(angle_rad), np.sin(angle_rad)
    return np.stack([np.stack([cos, sin], axis=1), np.stack([-sin, cos], axis=1)], axis=1)
