"""The values that flow through the rooms: plain, immutable, arrays inside.

Frames, detections and tracks join here when the first camera application is built; nothing in
this room knows which room will read it.
"""

from sightline.records.accounts import Accounts
from sightline.records.decision import Decision, Mode, Reason, Severity, Status, Transition
from sightline.records.entry import Entry, EntryKind
from sightline.records.refusal import RefusalReason
from sightline.records.signals import Signals
from sightline.records.windows import WindowTable

__all__ = [
    "Accounts",
    "Decision",
    "Entry",
    "EntryKind",
    "Mode",
    "Reason",
    "RefusalReason",
    "Severity",
    "Signals",
    "Status",
    "Transition",
    "WindowTable",
]
