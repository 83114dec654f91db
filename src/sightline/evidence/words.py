"""Times, numbers and reasons as an operator reads them."""

from __future__ import annotations

import math
from collections.abc import Iterable
from datetime import UTC, datetime

from sightline.records.decision import Reason
from sightline.records.signals import NS_PER_S

_FIRST_DATE_NS = 365 * 86_400 * NS_PER_S
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


def is_dated(time_ns: int) -> bool:
    """Whether a time has a date that means anything: recordings without one begin in 1970.

    >>> is_dated(0), is_dated(1_767_225_600 * 10**9)
    (False, True)
    """
    return time_ns >= _FIRST_DATE_NS


def when(time_ns: int) -> str:
    """Date and time in UTC; of recordings without a date the seconds into them.

    >>> when(1_767_225_600 * 10**9), when(4_200_000_000)
    ('2026-01-01 00:00:00Z', '4.20 s')
    """
    return moment(time_ns) if is_dated(time_ns) else f"{time_ns / NS_PER_S:,.2f} s"


def time_labels(start_ns: int, end_ns: int, *, count: int = 5) -> list[tuple[int, str, str]]:
    """Labels of a time axis: (UTC ns, time of day, date); the date where it changes.

    >>> day_ns = 86_400 * 10**9
    >>> [label[1:] for label in time_labels(20454 * day_ns, 20455 * day_ns, count=3)]
    [('00:00:00', '2026-01-01'), ('12:00:00', ''), ('00:00:00', '2026-01-02')]
    >>> [label[1:] for label in time_labels(0, 3 * 10**9, count=3)]
    [('0.00 s', ''), ('1.50 s', ''), ('3.00 s', '')]
    """
    found: list[tuple[int, str, str]] = []
    before = ""
    for step in range(count):
        at_ns = start_ns + (end_ns - start_ns) * step // (count - 1)
        if not is_dated(start_ns):
            found.append((at_ns, when(at_ns), ""))
            continue
        day, clock = moment(at_ns // NS_PER_S * NS_PER_S).rstrip("Z").split(" ")
        found.append((at_ns, clock, "" if day == before else day))
        before = day
    return found


def span(start_ns: int, end_ns: int) -> str:
    """From when to when; the date once if it is the same.

    >>> span(0, 60 * 10**9)
    '1970-01-01 00:00:00Z to 00:01:00Z'
    """
    start, end = moment(start_ns), moment(end_ns)
    return f"{start} to {end[11:] if end[:10] == start[:10] else end}"


def lasted(time_ns: int) -> str:
    """How long, in the two largest units of days, hours, minutes and seconds.

    >>> lasted(61 * 10**9), lasted(1_500_000_000), lasted(200_000 * 10**9), lasted(120 * 10**9)
    ('1 min 1 s', '1.5 s', '2 d 7 h', '2 min')
    """
    seconds = time_ns / NS_PER_S
    if seconds < 60:
        return f"{seconds:.3g} s"
    whole = int(seconds)
    parts: list[str] = []
    for unit, each in (("d", 86_400), ("h", 3600), ("min", 60), ("s", 1)):
        if whole >= each or parts:
            parts.append(f"{whole // each} {unit}")
            whole %= each
    return " ".join(part for part in parts[:2] if not part.startswith("0 "))


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
