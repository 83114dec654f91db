"""What was told of a channel, and from when to when it stood."""

from __future__ import annotations

from dataclasses import dataclass

SAME_S = 3600.0
"""What is told of a channel so soon after an alert of it ended is the same alert."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Telling:
    """What was told of a channel, when it was told.

    Attributes:
        row: at which it was told.
        score: statistic over its level; 1 or more.
        test: name of the test.
        reason: which test, on what, and how much.
        measured, expected: mean over the rows that the test looked at, in the channel's unit; NaN
            where there is none.
        usual: usual size of their difference, in the channel's unit; NaN where there is none.
    """

    row: int
    score: float
    test: str
    reason: str
    measured: float
    expected: float
    usual: float


@dataclass(slots=True, kw_only=True)
class ChannelAlert:
    """One alert of one channel.

    Attributes:
        channel: column.
        begin: row from which the evidence comes.
        told: row at which it was told.
        end: last row; grows while it stands.
        score: statistic over its level, at the greatest; 1 or more.
        reason: which test, on what, and how much.
        raised: each time that it began to stand: what comes back within ``SAME_S`` is the same
            alert, raised again.
        cleared: rows at which it was known to be over.
        is_open: whether it stands.
        is_settled: whether its evidence is remembered, as it has passed.
    """

    channel: int
    begin: int
    told: int
    end: int
    score: float
    reason: str
    raised: tuple[Telling, ...] = ()
    cleared: tuple[int, ...] = ()
    family: int = 0
    test: int = 0
    base: float = 0.0
    moved: float = 0.0
    is_open: bool = True
    is_settled: bool = False

    def go_on(self, other: ChannelAlert) -> None:
        """Take what another alert of the channel, soon after this one, says: it is the same."""
        self.end, self.score = other.end, max(self.score, other.score)
        self.family, self.test = other.family, other.test
        self.base, self.moved = other.base, other.moved
        self.raised += other.raised
        self.is_open, self.is_settled = True, False

    def changes(self) -> list[tuple[int, Telling | None]]:
        """Rows at which it was raised (with what was told) and cleared (None), ascending.

        Where it was raised again before it was known to be over, it went on.
        """
        found: list[tuple[int, Telling | None]] = []
        over = iter(self.cleared)
        for telling in self.raised:
            if found and found[-1][0] >= telling.row:
                found.pop()
            else:
                found.append((telling.row, telling))
            if (row := next(over, None)) is not None:
                found.append((row, None))
        return found
