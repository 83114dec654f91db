"""Settings of the tracker, in units of the world, each with the rule it was chosen by."""

from __future__ import annotations

import math
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class TrackerSettings:
    """One setting for all scenes: lengths are metres and times seconds, never pixels or frames.

    Without a camera model a metre is what a box of ``assumed_height_m`` makes of it, so the same
    numbers hold for a person near the camera and far from it.

    >>> TrackerSettings(max_unseen_s=5.0).max_unseen_s
    5.0
    """

    # how things move
    acceleration_m_s2: float = 0.7
    """Spread of the acceleration, as white noise of this much per square root of a second: someone
    who walks changes speed by half of it within a second, and stops or turns within two."""
    acceleration_share: float = 0.3
    """Spread of the acceleration of what is faster than 4 m/s, as a share of what its speed is
    above that, per square root of a second: a car or a ball may brake, turn and speed up hard.
    What drives among people at up to 4 m/s is as steady as they are: were it taken for less, where
    it will be in two seconds would be so unsure that it is stopped for people who are far away."""
    start_speed_m_s: float = 1.5
    """Spread of the speed of something new, as long as it was seen once: walking speed. From the
    second sighting on it is what the two sightings show, whatever moves."""
    most_leaps: int = 3
    """Sightings of the frames before that a sighting which fits no track may also be the next of,
    however far away: the nearest. The third sighting tells which it was."""
    assumed_height_m: float = 1.7
    """Height of a thing where no camera model tells metres: a person's."""

    # how well detectors see
    foot_sd: float = 0.08
    """Standard deviation of the lower edge of a box, in box heights. A common detector measured
    0.06 to 0.075 against two sets of truth; with a margin."""
    side_sd: float = 0.05
    """Standard deviation of the middle of a box, in box heights; measured 0.043 to 0.052."""
    size_sd: float = 0.15
    """Standard deviation of the logarithm of width and height; measured 0.10 to 0.20."""
    size_drift: float = 0.2
    """How much that logarithm changes, per square root of a second: limbs move, things turn."""

    # which detections count
    high_score: float = 0.6
    """Detections at or above it are matched first (Zhang et al., ByteTrack, ECCV 2022). None is
    ignored: which ones count is for the detector to say."""
    sure_score: float = 0.7
    """A detection at or above it is a whole piece of evidence of a thing."""
    weak_evidence: tuple[float, float] = (0.2, 0.62)
    """Evidence of a detection of score 0 and of one just below ``sure_score``; between them in
    proportion. A detector that is sure of most things is wrong about most of those it is not."""

    # what belongs together
    gate: float = 25.0
    """Largest squared Mahalanobis distance: five standard deviations, because the errors of
    detectors have heavier tails than a normal distribution."""
    new_density: float = 0.005
    """New and false detections per frame in a square of one box height: one in two hundred such
    squares. A track must explain a detection better than that (Reid, "An algorithm for tracking
    multiple targets", 1979), so one that was lost long ago, and could be anywhere, explains none.
    """
    size_gate: float = 4.0
    """Largest difference in log height, in standard deviations."""
    overlap_weight: float = 2.0
    """Cost of two boxes that do not overlap at all, beside the squared distance."""

    # how the camera moves, where there is no camera model
    camera_memory_s: float = 1.0
    """Time over which is learned how much it shakes or turns; 0: it stands still."""

    # how long
    confirm_evidence: float = 3.0
    """Evidence until a track is reported and gets its id: three sure detections, five of
    score 0.65, fourteen of the weakest."""
    miss_share: float = 0.75
    """What a frame without a detection takes from a track that is not confirmed, as a share of the
    evidence of the last; without any left it ends. So something that flickers needs longer."""
    kept_share: float = 0.3
    """Share of all its evidence that is not taken so: who is seen surely in one frame of five is
    there. Of unsure detections it is less by as much as each says less."""
    fade_share: float = 0.05
    """What each frame without a detection takes of what is left then, as a share of the evidence of
    the last. So sure detections in one frame of six begin a track, in one of seven never."""
    max_unseen_s: float = 3.0
    """A track that was not seen for longer ends: time to walk past an obstacle four metres wide."""
    report_unseen_s: float = 0.1
    """A track is still reported, propagated, when it was last seen this long ago: one missed frame
    at 10 Hz is no reason to lose sight."""

    # bounds
    max_tracks: int = 2000
    """Tracks held at once. At the bound nothing new begins, which is counted."""

    @property
    def new_cost(self) -> float:
        """Squared distance plus :attr:`new_density` as cost: at more, a detection is a new thing.

        Twice the negative logarithm of a track's density where the detection is, over that of new
        things, both in units of the detector's own error.
        """
        return -2 * math.log(2 * math.pi * self.new_density * self.side_sd * self.foot_sd)
