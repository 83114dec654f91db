"""The health of one camera: frozen, black, over-exposed, blurred, covered, moved, shifted."""

from __future__ import annotations

import math
from collections.abc import Mapping

import cv2
import numpy as np
import numpy.typing as npt

from sightline.records.frames import Frame, Image
from sightline.records.signals import NS_PER_S
from sightline.sense.contract_form import to_ns
from sightline.sense.frames.frame_contract import FrameContract, FrozenCheck
from sightline.sense.frames.health_signal import FrameHealth, HealthSignal
from sightline.sense.frames.persistence import Persistence
from sightline.sense.frames.picture_measures import PictureMeasures, measure_picture
from sightline.sense.frames.reasons import FrameReason
from sightline.sense.frames.usual_view import UsualView

_FROZEN, _BLACK, _OVER_EXPOSED, _BLURRED, _COVERED, _MOVED, _SHIFTED = range(7)
_REASONS = (
    FrameReason.FROZEN,
    FrameReason.BLACK,
    FrameReason.OVER_EXPOSED,
    FrameReason.BLURRED,
    FrameReason.COVERED,
    FrameReason.MOVED,
    FrameReason.SHIFTED,
)
_FALLS_BELOW = np.array([False, False, False, True, False, True, False])
_COVERED_UNKNOWN = 1.0
"""Share of flat blocks that means a covered lens while the usual level is not known."""
_BLIND_SHARES = (0.98, 0.5)
"""Dark and clipped shares beyond which nothing else can be told, where the contract has none."""
_NO_TIME_NS = -1

Arrays = Mapping[str, npt.NDArray[np.generic]]


class CameraHealth:
    """Watches the frames of one camera; a function of the frames so far and of nothing else.

    What cannot be told is not measured (NaN), and leaves its signal as it was: nothing else about
    a picture that is black or clipped, no blur or movement under a cover, no movement in a blur.
    While any condition holds, nothing is learnt, so a moved camera never becomes usual by itself:
    it must be put back, or a person calls :meth:`accept_view`.

    Costs about a millisecond for 640 x 480; the state is some 250 kB.

    Args:
        contract: its ``health``.

    >>> from sightline.sense.frames.simulated_camera import SimulatedCamera
    >>> from sightline.sense.frames.simulated_scene import SimulatedScene
    >>> scene = SimulatedScene(width_px=320, height_px=240, things=(), seed=1)
    >>> health = CameraHealth(FrameContract(width_px=320, height_px=240, rate_hz=1, max_age_s=1))
    >>> [health.update(f).raised for f in SimulatedCamera("yard", scene, rate_hz=1, frames=2)]
    [(), ()]
    """

    def __init__(self, contract: FrameContract) -> None:
        checks = contract.health
        self._frozen = checks.frozen or FrozenCheck()
        self._thresholds = np.full(len(_REASONS), np.nan)
        if checks.frozen is not None:
            self._thresholds[_FROZEN] = checks.frozen.after_s
        if checks.black is not None:
            self._thresholds[_BLACK] = checks.black.dark_share
        if checks.over_exposed is not None:
            self._thresholds[_OVER_EXPOSED] = checks.over_exposed.clipped_share
        if checks.blurred is not None:
            self._thresholds[_BLURRED] = checks.blurred.sharpness_ratio
        if checks.covered is not None:
            self._thresholds[_COVERED] = checks.covered.flat_share
        if checks.moved is not None:
            self._thresholds[_MOVED] = checks.moved.agreement_ratio
        if checks.shifted is not None:
            self._thresholds[_SHIFTED] = checks.shifted.shift_share
        exposure = self._thresholds[[_BLACK, _OVER_EXPOSED]]
        self._blind_shares = np.where(np.isnan(exposure), _BLIND_SHARES, exposure)
        hold_ns = np.full(len(_REASONS), to_ns(checks.confirm_s), np.int64)
        hold_ns[_FROZEN] = 0  # its measure is a time already
        self._persistence = Persistence(hold_ns)
        self._view = UsualView(
            level_s=checks.level_s,
            reference_s=checks.reference_s,
            learn_s=checks.learn_s,
        )
        self._anchor: Image = np.zeros((0, 0), np.uint8)
        self._still_since_ns = self._last_ns = _NO_TIME_NS

    def update(self, frame: Frame) -> FrameHealth:
        """Judge the next frame. Capture times do not fall.

        A picture of another size than the one before makes the camera begin to learn anew.
        """
        seen = measure_picture(frame.pixels)
        values = np.full(len(_REASONS), np.nan)
        thresholds = self._thresholds.copy()
        if seen is not None:
            if seen.fine.shape != self._anchor.shape:
                self._begin(seen, frame.capture_ns)
            self._measure(seen, frame.capture_ns, values, thresholds)
        is_measured = ~(np.isnan(values) | np.isnan(thresholds))
        holds = is_measured & np.where(_FALLS_BELOW, values < thresholds, values >= thresholds)
        if seen is not None and not holds.any():
            passed_ns = 0 if self._last_ns == _NO_TIME_NS else frame.capture_ns - self._last_ns
            self._view.learn(seen, agreement=values[_MOVED], passed_s=passed_ns / NS_PER_S)
        self._last_ns = frame.capture_ns
        is_raised = self._persistence.update(holds, is_measured, frame.capture_ns)
        return FrameHealth(
            stream=frame.stream,
            index=frame.index,
            capture_ns=frame.capture_ns,
            signals=tuple(
                HealthSignal(reason=reason, value=value, threshold=threshold, is_raised=raised)
                for reason, value, threshold, raised, wanted in zip(
                    _REASONS,
                    values.tolist(),
                    thresholds.tolist(),
                    is_raised.tolist(),
                    self._thresholds.tolist(),
                    strict=True,
                )
                if not np.isnan(wanted)
            ),
        )

    def accept_view(self) -> None:
        """Take what is seen from now on as usual, and clear what stands: a person has looked."""
        self._view.forget()
        self._persistence.clear()

    def snapshot(self) -> dict[str, npt.NDArray[np.generic]]:
        """State as arrays: uint8, bool, int64, float32 and float64."""
        return {
            "times_ns": np.array([self._still_since_ns, self._last_ns], np.int64),
            "anchor": self._anchor.copy(),
            **self._persistence.snapshot(),
            **self._view.snapshot(),
        }

    def restore(self, arrays: Arrays) -> None:
        """Inverse of :meth:`snapshot`, under the same contract."""
        self._still_since_ns, self._last_ns = arrays["times_ns"].astype(np.int64).tolist()
        self._anchor = arrays["anchor"].astype(np.uint8)
        self._persistence.restore(arrays)
        self._view.restore(arrays)

    def _begin(self, seen: PictureMeasures, at_ns: int) -> None:
        self._view.forget()
        self._anchor, self._still_since_ns = seen.fine, at_ns

    def _measure(
        self,
        seen: PictureMeasures,
        at_ns: int,
        values: npt.NDArray[np.float64],
        thresholds: npt.NDArray[np.float64],
    ) -> None:
        """Fill in what can be told; adapt the thresholds that depend on what is usual."""
        values[_FROZEN] = self._unchanged_s(seen.fine, at_ns)
        values[_BLACK], values[_OVER_EXPOSED] = seen.dark_share, seen.clipped_share
        is_blind = np.any(values[[_BLACK, _OVER_EXPOSED]] >= self._blind_shares)
        if not self._view.is_learnt:
            thresholds[[_BLURRED, _MOVED]] = np.nan
            thresholds[_COVERED] = max(thresholds[_COVERED], _COVERED_UNKNOWN)
        thresholds[_MOVED] *= self._view.usual_agreement
        if is_blind:
            return
        values[_COVERED] = self._view.flat_share(seen)
        if values[_COVERED] >= thresholds[_COVERED]:
            return
        values[_BLURRED] = self._view.sharpness_ratio(seen)
        if values[_BLURRED] < thresholds[_BLURRED]:
            return
        values[_MOVED], values[_SHIFTED] = self._view.edges_in_place(seen)

    def _unchanged_s(self, fine: Image, at_ns: int) -> float:
        """How long the picture has been the same as the first one: a slow drift is a change."""
        change = cv2.absdiff(fine, self._anchor)
        for left, top, right, bottom in self._frozen.overlays:
            height, width = fine.shape
            rows = slice(math.floor(top * height), math.ceil(bottom * height))
            change[rows, math.floor(left * width) : math.ceil(right * width)] = 0
        if int(change.max()) > self._frozen.tolerance_levels:
            self._anchor, self._still_since_ns = fine, at_ns
        return (at_ns - self._still_since_ns) / NS_PER_S
