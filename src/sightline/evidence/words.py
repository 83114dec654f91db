"""Times, numbers and reasons as an operator reads them."""

from __future__ import annotations

import math
from collections.abc import Iterable
from datetime import UTC, datetime

from sightline.records.decision import Reason
from sightline.records.signals import NS_PER_S

_LATEST_NS = 253402300800 * NS_PER_S
_SHOWN = 4


def moment(time_ns: int) -> str:
    """Date and time in UTC; parts of a second only where there are any.

    >>> moment(0), moment(1_500_000_000)
    ('1970-01-01 00:00:00Z', '1970-01-01 00:00:01.500Z')
    """
    if not 0 <= time_ns < _LATEST_NS:
        return "-"
    seconds, rest_ns = divmod(time_ns, NS_PER_S)
    text = datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%d %H:%M:%S")
    return f"{text}.{rest_ns // 1_000_000:03d}Z" if rest_ns else f"{text}Z"


def span(start_ns: int, end_ns: int) -> str:
    """From when to when; the date once if it is the same.

    >>> span(0, 60 * 10**9)
    '1970-01-01 00:00:00Z to 00:01:00Z'
    """
    start, end = moment(start_ns), moment(end_ns)
    return f"{start} to {end[11:] if end[:10] == start[:10] else end}"


def figure(value: float, unit: str = "") -> str:
    """Four significant digits, and the unit unless it is 1; ``-`` for what is unknown.

    >>> figure(61.23456, "degC"), figure(12345.6), figure(float("nan")), figure(0.5, "1")
    ('61.23 degC', '12346', '-', '0.5')
    """
    if not math.isfinite(value):
        return "-"
    text = f"{value:.0f}" if 1000 <= abs(value) < 1e7 else f"{value:.4g}"
    return text if unit in ("", "1") else f"{text} {unit}"


def quantity(value: float, unit: str) -> str:
    """A measured number with its unit; what was not measured is said to be.

    >>> quantity(0.25, "1"), quantity(float("nan"), "m")
    ('0.25', 'unknown')
    """
    return "unknown" if math.isnan(value) else figure(value, unit)


def reason_words(reason: Reason) -> str:
    """Code, measure, value, threshold and unit on one line; no threshold where there is none.

    >>> reason_words(Reason(code="DWELL", measure="dwell", value=9.04, threshold=5.0, unit="s",
    ...                     version="1"))
    'DWELL: dwell 9.04 s, threshold 5 s'
    """
    text = f"{reason.code}: {reason.measure} {quantity(reason.value, reason.unit)}"
    if math.isfinite(reason.threshold):
        text += f", threshold {figure(reason.threshold, reason.unit)}"
    return text


def counts_words(counts: Iterable[tuple[str, int]], *, most: int = _SHOWN) -> str:
    """Names with how often each occurs; the first few, and how many more there are.

    >>> counts_words([("LATE", 3), ("RANGE", 1)])
    'LATE 3, RANGE 1'
    """
    every = list(counts)
    text = ", ".join(f"{name or '-'} {n:,}" for name, n in every[:most])
    return text + (f" and {len(every) - most} more" if len(every) > most else "")


def number(value: float) -> float | None:
    """NaN and infinity become null, as JSON has neither.

    >>> number(1.5), number(float("nan"))
    (1.5, None)
    """
    return float(value) if math.isfinite(value) else None
