"""The one log of a partition, its recovery and verification, and the checkpoints beside it."""

from sightline.recorder.checkpoint import (
    Checkpoint,
    read_newest_checkpoint,
    write_checkpoint,
)
from sightline.recorder.log import PartitionLog, read_entries
from sightline.recorder.retention import prune_log
from sightline.recorder.storage import DirectoryStorage, Storage
from sightline.recorder.walk import verify_log

__all__ = [
    "Checkpoint",
    "DirectoryStorage",
    "PartitionLog",
    "Storage",
    "prune_log",
    "read_entries",
    "read_newest_checkpoint",
    "verify_log",
    "write_checkpoint",
]
