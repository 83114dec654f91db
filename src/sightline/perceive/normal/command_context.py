"""What was commanded of late: counts in windows, and how recently, as inputs of a forecaster."""

from __future__ import annotations

import numpy as np

from sightline.errors import UsageError
from sightline.perceive.normal.window_features import MAX_WIDTH
from sightline.records.windows import FloatArray, IntArray

CONTEXT_WIDTHS = (4, 32)
"""Samples: what answers at once, and what takes its time."""


def command_context(
    commands: FloatArray,
    *,
    widths: tuple[int, ...] = CONTEXT_WIDTHS,
    before: FloatArray | None = None,
) -> FloatArray:
    """How often each command was given in the windows that end at each row, and how recently.

    The context of a row depends on the rows of its windows alone, to the last bit: a stream may be
    cut anywhere if ``before`` has the ``max(widths)`` rows before the cut.

    Args:
        commands: float64[n, c], one column per command; not 0 where it was given.
        widths: w widths in samples, ascending, 1 to ``MAX_WIDTH``.
        before: float64[b, c], the rows before the first; before those nothing was commanded.

    Returns:
        float64[n, c * (w + 1)]: counts in the first width of all commands, then in the next, then
        1 / (1 + rows since it was given), 0 if that is no longer in the widest window.

    Raises:
        UsageError: widths that are not ascending, or rows of another number of commands.

    >>> command_context(np.array([[0.0], [1.0], [0.0], [0.0]]), widths=(2, 3)).tolist()
    [[0.0, 0.0, 0.0], [1.0, 1.0, 1.0], [1.0, 1.0, 0.5], [0.0, 1.0, 0.3333333333333333]]
    """
    is_ascending = list(widths) == sorted(set(widths)) and all(1 <= w <= MAX_WIDTH for w in widths)
    if not widths or not is_ascending or commands.ndim != 2:
        raise UsageError(
            expected=f"commands [rows, columns], ascending widths from 1 to {MAX_WIDTH}",
            got=f"{list(commands.shape)}, {widths}",
            where="command_context",
            action="give one column per command",
        )
    history = np.zeros((0, commands.shape[1])) if before is None else before[-widths[-1] :]
    if history.shape[1:] != commands.shape[1:]:
        raise UsageError(
            expected=f"{commands.shape[1]} commands before the cut, too",
            got=str(list(history.shape)),
            where="command_context",
            action="give the same columns",
        )
    was_given = np.concatenate([history, commands]) != 0
    n, start = len(was_given), len(history)
    row = np.arange(start, n)
    counted = np.concatenate(
        [np.zeros((1, was_given.shape[1]), np.int64), was_given.cumsum(axis=0)]
    )
    parts = [(counted[row + 1] - counted[np.maximum(row + 1 - w, 0)]) for w in widths]
    place = np.arange(n)[:, None]
    last: IntArray = np.maximum.accumulate(np.where(was_given, place, -1), axis=0)[start:]
    since = place[start:] - last
    is_recent = (last >= 0) & (since < widths[-1])
    recency = np.where(is_recent, 1.0 / (1.0 + since), 0.0)
    return np.concatenate([*(part.astype(np.float64) for part in parts), recency], axis=1)
