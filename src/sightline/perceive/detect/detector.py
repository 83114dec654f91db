"""What every detector is: something that looks at frames and says what it sees."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from sightline.errors import SightlineError
from sightline.records.detections import Detections
from sightline.records.frames import Frame

DIGEST_BYTES = 16


class Detector(Protocol):
    """Looks at frames of one camera (or of many, where it keeps no state).

    What ``detect`` returns is finite, lies in the image and has scores from 0 to 1. A detector
    that cannot answer raises :class:`DetectorFailed`; it never guesses.
    """

    @property
    def name(self) -> str:
        """What it is, for people: ``motion``, ``onnx``, ``replayed``."""

    @property
    def version(self) -> str:
        """32 hex digits over all that decides its answers: settings, weights, program."""

    def detect(self, frame: Frame) -> Detections:
        """What is seen in ``frame``."""

    def detect_batch(self, frames: Sequence[Frame]) -> list[Detections]:
        """The same for several frames, in their order; one failure fails them all."""


class DetectorFailed(SightlineError):
    """A detector ran and has no answer that may be used."""

    exit_code = 70


class NotFiniteOutput(DetectorFailed):
    """A model put out NaN or infinity."""


def version_digest(parts: Mapping[str, Any]) -> str:
    """32 hex digits over a JSON-ready mapping; the order of keys does not matter.

    >>> version_digest({"a": 1, "b": 2}) == version_digest({"b": 2, "a": 1})
    True
    """
    text = json.dumps(parts, sort_keys=True, separators=(",", ":"), allow_nan=False)
    return hashlib.blake2b(text.encode(), digest_size=DIGEST_BYTES).hexdigest()
