"""Entries: everything a partition's core ever sees or says, in one numbered sequence."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum


class EntryKind(StrEnum):
    """What an entry holds.

    The first block is what the core *reads*: inputs and every accident of timing. The second is
    what it *said*: written for people, comparison and derived stores, never read back by it.
    """

    ORIGIN = "origin"
    """JSON: whose log this is: run, digest of what it was given, partition. The first entry."""
    CONFIGURATION = "configuration"
    """JSON: pipeline, contracts, limits, library versions."""
    INPUT = "input"
    """Arrow IPC stream: one batch of raw rows of one source."""
    INPUT_REFERENCE = "input_reference"
    """JSON: source, epoch, row count and logical digest of a batch that a durable source keeps."""
    REJECTED = "rejected"
    """Arrow IPC stream: lines or files that could not be read into rows at all."""
    TICK = "tick"
    """JSON: event time has advanced to this point."""
    DROP = "drop"
    """JSON: rows lost or superseded before the core, with cause and count."""
    OUTCOME = "outcome"
    """Outcome of a guarded stage: payload, or TIMEOUT, CRASH, NAN."""
    CONTROL = "control"
    """JSON: operator input (acknowledgement, shelving, mask, contact schedule)."""
    MODEL = "model"
    """JSON: a model version became live in a stage."""
    FRAME = "frame"
    """JSON: a frame without its pixels, and what its contract found."""
    FRAME_FAULT = "frame_fault"
    """JSON: frames that could not be read, or a change of the stream, with the reason."""
    CLOCK = "clock"
    """JSON: the machine's clock was set in a live run, or the run's has come to agree with it."""
    SUMMARY_IN = "summary_in"
    """What a fan-in partition received from a key partition for one epoch."""

    DECISION = "decision"
    """JSON: canonical bytes of one decision."""
    COMMAND = "command"
    """JSON: canonical bytes of one command to a machine."""
    PART = "part"
    """JSON: canonical bytes of a part's record, or of a review of one."""
    ALERTING = "alerting"
    """JSON: what the alert desk said in one epoch, and what became of which alert."""
    QUARANTINE = "quarantine"
    """Arrow IPC stream: refused rows with their reason codes."""
    SUMMARY_OUT = "summary_out"
    """What a key partition hands to the fan-in partition for one epoch."""
    STAGE_DIGEST = "stage_digest"
    """JSON: digest of each stage's output in one step, so that two runs can be compared."""
    MEASUREMENT = "measurement"
    """JSON: latencies and counts; never part of a decision's bytes."""
    IMAGE = "image"
    """JSON, ``foxglove.CompressedImage``: a picture that the policy of the pipeline keeps."""
    VIDEO = "video"
    """JSON, ``foxglove.CompressedVideo``: a packet of a camera's own compression."""
    ANNOTATION = "annotation"
    """JSON, ``foxglove.ImageAnnotations``: what was seen in it, for viewers."""
    HEADS = "heads"
    """JSON: where the logs of the key partitions ended, in every commit of the fan-in."""
    CHECKPOINT = "checkpoint"
    """JSON: sequence and digest of a checkpoint that was written; no other is resumed from."""
    DEADLINE_MISSED = "deadline_missed"
    """JSON: a stage, or the way from receipt to decision, took longer than its budget."""


CORE_INPUTS = frozenset(
    {
        EntryKind.CONFIGURATION,
        EntryKind.INPUT,
        EntryKind.INPUT_REFERENCE,
        EntryKind.REJECTED,
        EntryKind.TICK,
        EntryKind.DROP,
        EntryKind.OUTCOME,
        EntryKind.CONTROL,
        EntryKind.MODEL,
        EntryKind.FRAME,
        EntryKind.FRAME_FAULT,
        EntryKind.CLOCK,
        EntryKind.SUMMARY_IN,
    }
)
"""The kinds a replay feeds to the core; the rest it produces again and compares."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One log entry.

    Attributes:
        sequence: position in the partition's log, from 0, without gaps.
        kind: what the payload holds.
        name: source, stage or channel it belongs to; ``""`` where there is only one.
        time_ns: logged receipt time, UTC ns; for people and retention, never read by the core.
        payload: the bytes, in the format the kind states.
        decoded: what the payload was encoded from, where the shell has just done so: it spares
            the core the decoding. It equals what the payload decodes to; from a log it is None.
    """

    sequence: int
    kind: EntryKind
    name: str
    time_ns: int
    payload: bytes
    decoded: object = field(default=None, compare=False, repr=False)
