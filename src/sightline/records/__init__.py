"""The values that flow through the rooms: plain, immutable, arrays inside.

Nothing in this room knows which room will read it.
"""

from sightline.records.accounts import Accounts
from sightline.records.decision import Decision
from sightline.records.detections import Detections
from sightline.records.entry import Entry, EntryKind
from sightline.records.frames import Frame
from sightline.records.signals import Signals
from sightline.records.tracks import Tracks, Unconfirmed

__all__ = [
    "Accounts",
    "Decision",
    "Detections",
    "Entry",
    "EntryKind",
    "Frame",
    "Signals",
    "Tracks",
    "Unconfirmed",
]
