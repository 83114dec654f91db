"""Reason codes for rows that are refused. They are part of the public interface."""

from __future__ import annotations

from enum import StrEnum


class RefusalReason(StrEnum):
    """Why a row (or a line, or a file) went to quarantine."""

    # the file or line
    FILE_UNREADABLE = "FILE_UNREADABLE"  # truncated, corrupt, wrong format, no permission
    FILE_EMPTY = "FILE_EMPTY"  # no bytes, or a header without a single row
    FILE_TOO_LARGE = "FILE_TOO_LARGE"  # beyond the limit for formats that cannot be streamed
    LINE_UNREADABLE = "LINE_UNREADABLE"  # not JSON, wrong number of fields
    LINE_TOO_LONG = "LINE_TOO_LONG"
    ENCODING = "ENCODING"  # not UTF-8
    # the row
    SCHEMA = "SCHEMA"  # field missing, null where forbidden, or of another type
    UNIT = "UNIT"  # another unit than the contract states
    NOT_FINITE = "NOT_FINITE"  # NaN or ±inf where the contract forbids it
    RANGE = "RANGE"  # outside the valid range
    UNKNOWN_KEY = "UNKNOWN_KEY"  # not in the contract's list
    UNKNOWN_VALUE = "UNKNOWN_VALUE"  # not in the list of allowed values
    KEY_LIMIT = "KEY_LIMIT"  # one key more than the partition may hold
    # time
    TIME_UNREADABLE = "TIME_UNREADABLE"  # no time could be read
    TIME_ZONE = "TIME_ZONE"  # no zone given where the contract demands one
    TIME_RANGE = "TIME_RANGE"  # before or after the contract's absolute range
    CLOCK_SKEW = "CLOCK_SKEW"  # ahead of the receipt time by more than the limit
    LATE_BEYOND_ALLOWANCE = "LATE_BEYOND_ALLOWANCE"  # behind the group's own watermark
    LATE_BEYOND_BACKLOG = "LATE_BEYOND_BACKLOG"  # older than max_backlog_s
    SEQUENCE = "SEQUENCE"  # negative or beyond 63 bits
