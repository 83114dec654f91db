"""Reason codes for frames. They are part of the public interface."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from types import MappingProxyType


class FrameReason(StrEnum):
    """What is wrong with a frame, or with the stream it comes from."""

    # the stream or file as a whole
    UNREADABLE = "UNREADABLE"
    """The file, or an image of a directory, is empty, damaged or in no format we read."""
    TOO_LARGE = "TOO_LARGE"
    """More bytes or pixels than the bounds allow. It is not decoded."""
    TRUNCATED = "TRUNCATED"
    """The file ends before the frames that it announces."""
    NO_CONNECTION = "NO_CONNECTION"
    """A live camera could not be reached, or its stream ended."""
    FURTHER_STREAMS = "FURTHER_STREAMS"
    """The file holds more than one video stream; the others are not read. No frame is lost by
    it."""
    NOT_TURNED = "NOT_TURNED"
    """The file asks for a turning that is by no quarter turns: the picture stays as it is. No frame
    is lost by it."""
    CLOCK_CHANGED = "CLOCK_CHANGED"
    """The clock of a recording was set back: its time goes on from the frame before, at its pace.
    No frame is lost by it."""
    RESOLUTION_CHANGED = "RESOLUTION_CHANGED"
    """The size or colour of the picture changed within the stream, which goes on. No frame is
    lost by it."""
    # one frame
    PACKET_CORRUPT = "PACKET_CORRUPT"
    """A packet that the decoder could not turn into a whole picture."""
    REFERENCE_DAMAGED = "REFERENCE_DAMAGED"
    """A picture computed from a damaged one: what follows a corrupt packet until a key frame."""
    TIME_MISSING = "TIME_MISSING"
    """Nothing says when the frame was taken."""
    TIME_BACKWARDS = "TIME_BACKWARDS"
    """Not taken after the frame before it; of a recording, by less than a second and alone."""
    # against the contract
    SIZE = "SIZE"
    """Another width or height than the contract states."""
    CHANNELS = "CHANNELS"
    """Grey where the contract states colour, or the other way round."""
    STALE = "STALE"
    """Older than the contract allows when it reached us."""
    RATE_LOW = "RATE_LOW"
    """Fewer frames per second than the contract states."""
    # health of the picture
    FROZEN = "FROZEN"
    """The picture has not changed at all for too long."""
    BLACK = "BLACK"
    """Nearly everything is dark."""
    OVER_EXPOSED = "OVER_EXPOSED"
    """A large part is clipped to white."""
    BLURRED = "BLURRED"
    """Fine detail is gone: out of focus, dirt, fog, water."""
    COVERED = "COVERED"
    """A large part of the picture has become uniform: something is on or before the lens."""
    MOVED = "MOVED"
    """The edges of the scene are not where they were: the camera was turned or shifted."""
    SHIFTED = "SHIFTED"
    """The same scene, a little aside: the camera was nudged, and its calibration is off."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MeasureNote:
    """What is measured behind a reason code.

    Attributes:
        measure: name of the measured quantity, as in ``records.decision.Reason``.
        unit: of the measure and of its threshold.
        rule: when the condition holds, and where the threshold comes from.
        source: where the method is from.
    """

    measure: str
    unit: str
    rule: str
    source: str


MEASURES: Mapping[FrameReason, MeasureNote] = MappingProxyType(
    {
        FrameReason.SIZE: MeasureNote(
            measure="picture_px",
            unit="px",
            rule="width * height, or its sides, differ from the contract's",
            source="contract: width_px, height_px",
        ),
        FrameReason.CHANNELS: MeasureNote(
            measure="channels",
            unit="1",
            rule="differs from the contract's number",
            source="contract: channels",
        ),
        FrameReason.STALE: MeasureNote(
            measure="age",
            unit="s",
            rule="above max_age_s, from capture to receipt (or to now, for the newest frame)",
            source="contract: max_age_s",
        ),
        FrameReason.RATE_LOW: MeasureNote(
            measure="frame_rate",
            unit="1/s",
            rule="below half of rate_hz: every other frame is missing. One over the mean interval "
            "between capture times, weighted exponentially over ten intervals",
            source="contract: rate_hz",
        ),
        FrameReason.FROZEN: MeasureNote(
            measure="unchanged_for",
            unit="s",
            rule="at least after_s of capture time in which no pixel differs by more than "
            "tolerance_levels from the first picture of the still period. The noise of a live "
            "sensor exceeds one level somewhere in every picture",
            source="near-equality of the shrunk picture",
        ),
        FrameReason.BLACK: MeasureNote(
            measure="dark_share",
            unit="1",
            rule="at least 0.98 of the pixels are at or below 0.10 of full scale",
            source="FFmpeg filter blackdetect, its defaults",
        ),
        FrameReason.OVER_EXPOSED: MeasureNote(
            measure="clipped_share",
            unit="1",
            rule="at least 0.5 of the pixels are at or above 0.98 of full scale: half of the "
            "picture tells nothing",
            source="clipping of the histogram",
        ),
        FrameReason.BLURRED: MeasureNote(
            measure="sharpness_ratio",
            unit="1",
            rule="below 0.25: half of the usual amplitude of fine detail. Variance of the "
            "Laplacian over squared brightness per block, divided by the block's own recent "
            "level; upper quartile over the sharper half of the blocks that usually have texture",
            source="Pech-Pacheco et al., ICPR 2000 (variance of the Laplacian)",
        ),
        FrameReason.COVERED: MeasureNote(
            measure="flat_share",
            unit="1",
            rule="at least 0.75 of the blocks that usually have texture have lost it: contrast "
            "(standard deviation over brightness) below 0.05 or below a quarter of the recent "
            "level. Until the camera's level is known: all blocks below 0.05",
            source="low local variance; 0.05 is the contrast threshold of WMO-No. 8, 9.1",
        ),
        FrameReason.MOVED: MeasureNote(
            measure="edge_agreement",
            unit="1",
            rule="below half of the usual level, midway between what is usual and the 0 of chance. "
            "Mean cosine between the directions of the gradient now and in the reference, over "
            "the reference's lasting edges",
            source="Fitch et al., Orientation Correlation, BMVC 2002",
        ),
        FrameReason.SHIFTED: MeasureNote(
            measure="shift_share",
            unit="1",
            rule="at least 0.015 of the picture's longer side, which is more than one pixel of the "
            "shrunk picture at any size. Length of the shift at which the directions of the "
            "gradient agree best with the reference, where they agree better than at no shift by "
            "a tenth of the usual agreement",
            source="Fitch et al., Orientation Correlation, BMVC 2002",
        ),
    }
)
"""What stands behind each reason that compares a number with a threshold."""
