"""Who is who: the cheapest assignment of tracks to detections, as many pairs as can be.

Things far apart cannot be confused, so what may belong together falls into small blocks, each
solved on its own by the Hungarian method with potentials (Kuhn 1955; Jonker & Volgenant 1987 for
the shortest augmenting path). ``reference_kalman.assign_in_rounds``, which is
``scipy.optimize.linear_sum_assignment`` on the whole matrix, is the specification.
"""

from __future__ import annotations

import numpy as np
from numba import types

from sightline.perceive.compiled import inner_loop, kernel
from sightline.records.windows import FloatArray, IntArray

IMPOSSIBLE = 1e9
"""Stands for an impossible pair inside: far above any cost, so that more pairs win over cheaper."""

_V = types.Array(types.float64, 1, "C", readonly=True)
_I = types.Array(types.int64, 1, "C", readonly=True)
_F = types.float64


@inner_loop
def _root(parent: IntArray, i: int) -> int:
    while parent[i] != i:
        parent[i] = parent[parent[i]]
        i = parent[i]
    return i


@inner_loop
def _solve(cost: FloatArray) -> IntArray:
    """The row of each column of ``cost`` (at most as many rows as columns), -1 for none."""
    n, m = cost.shape
    u = np.zeros(n + 1)
    v = np.zeros(m + 1)
    owner = np.zeros(m + 1, np.int64)  # row (from 1) of each column (from 1)
    way = np.zeros(m + 1, np.int64)
    least = np.empty(m + 1)
    used = np.empty(m + 1, np.bool_)
    for i in range(1, n + 1):
        owner[0] = i
        j0 = 0
        least[:] = np.inf
        used[:] = False
        while True:
            used[j0] = True
            i0 = owner[j0]
            delta = np.inf
            j1 = 0
            for j in range(1, m + 1):
                if used[j]:
                    continue
                reduced = cost[i0 - 1, j - 1] - u[i0] - v[j]
                if reduced < least[j]:
                    least[j] = reduced
                    way[j] = j0
                if least[j] < delta:
                    delta = least[j]
                    j1 = j
            for j in range(m + 1):
                if used[j]:
                    u[owner[j]] += delta
                    v[j] -= delta
                else:
                    least[j] -= delta
            j0 = j1
            if owner[j0] == 0:
                break
        while j0 != 0:
            j1 = way[j0]
            owner[j0] = owner[j1]
            j0 = j1
    row = np.full(m, -1, np.int64)
    for j in range(m):
        i = owner[j + 1] - 1
        if i >= 0 and cost[i, j] < IMPOSSIBLE:
            row[j] = i
    return row


@inner_loop
def _grouped(label: IntArray, groups: int) -> tuple[IntArray, IntArray]:
    """Where each group begins, and the members of the groups one after the other, ascending.

    ``label`` is int64[n], the group of each, -1 for none.
    """
    begins = np.zeros(groups + 1, np.int64)
    for group in label:
        if group >= 0:
            begins[group + 1] += 1
    for group in range(groups):
        begins[group + 1] += begins[group]
    members = np.empty(begins[groups], np.int64)
    filled = begins.copy()
    for i in range(len(label)):
        if label[i] >= 0:
            members[filled[label[i]]] = i
            filled[label[i]] += 1
    return begins, members


@inner_loop
def _assign(n: int, m: int, row: IntArray, column: IntArray, cost: FloatArray) -> IntArray:
    """int64[m], the row of each column; pairs that are not listed are impossible."""
    found = np.full(m, -1, np.int64)
    parent = np.arange(n + m)
    for k in range(len(row)):
        a, b = _root(parent, row[k]), _root(parent, n + column[k])
        if a != b:
            parent[max(a, b)] = min(a, b)
    # A block with anything to assign has a row as its root: the lowest of its members.
    for i in range(n + m):
        parent[i] = _root(parent, i)
    for i in range(n + m):
        if parent[i] >= n:
            parent[i] = -1
    begins, members = _grouped(parent, n)
    pair_block = np.empty(len(row), np.int64)
    for k in range(len(row)):
        pair_block[k] = parent[row[k]]
    pair_begins, pairs = _grouped(pair_block, n)
    place = np.empty(n + m, np.int64)  # of each member among the rows or columns of its block
    for block in range(n):
        many = begins[block + 1] - begins[block]
        first = pair_begins[block]
        if many == 2:
            found[column[pairs[first]]] = row[pairs[first]]
        if many <= 2:
            continue
        block_members = members[begins[block] : begins[block + 1]]
        rows = 0
        for k in range(many):
            if block_members[k] < n:
                place[block_members[k]] = k
                rows += 1
            else:
                place[block_members[k]] = k - rows
        columns = many - rows
        is_flipped = rows > columns
        part = np.full((min(rows, columns), max(rows, columns)), IMPOSSIBLE)
        for k in range(first, pair_begins[block + 1]):
            i, j = place[row[pairs[k]]], place[n + column[pairs[k]]]
            if is_flipped:
                i, j = j, i
            part[i, j] = cost[pairs[k]]
        solved = _solve(part)
        for j in range(len(solved)):
            i = solved[j]
            if i >= 0 and is_flipped:
                found[block_members[rows + i] - n] = block_members[j]
            elif i >= 0:
                found[block_members[rows + j] - n] = block_members[i]
    return found


@kernel(_I, _I, _V, _I, _V, _F)
def assign_in_rounds(  # noqa: PLR0917 - compiled functions take no keywords
    track: IntArray,
    detection: IntArray,
    cost: FloatArray,
    track_id: IntArray,
    score: FloatArray,
    high_score: float,
) -> IntArray:
    """int64[m], the track of each detection, -1 for none.

    As many pairs as possible, at the least total cost, in three rounds, each with what the ones
    before left over: confirmed tracks (with an id) with high scores, confirmed tracks with low
    ones, tracks to be confirmed with all.

    Args:
        track: int64[k], of each pair that is possible, each pair once.
        detection: int64[k] of them.
        cost: float64[k] of them, below 1e9 / n.
        track_id: int64[n], 0 until confirmed.
        score: float64[m].
        high_score: the least that is high.
    """
    n, m = len(track_id), len(score)
    found = np.full(m, -1, np.int64)
    taken = np.zeros(n, np.bool_)
    row = np.empty(len(track), np.int64)
    column = np.empty(len(track), np.int64)
    pair_cost = np.empty(len(track))
    for stage in range(3):
        pairs = 0
        for k in range(len(track)):
            i, j = track[k], detection[k]
            if (
                not taken[i]
                and found[j] < 0
                and (track_id[i] > 0) == (stage < 2)
                and (stage == 2 or (score[j] >= high_score) == (stage == 0))
            ):
                row[pairs], column[pairs], pair_cost[pairs] = i, j, cost[k]
                pairs += 1
        if pairs == 0:
            continue
        match = _assign(n, m, row[:pairs], column[:pairs], pair_cost[:pairs])
        for j in range(m):
            if match[j] >= 0:
                found[j] = match[j]
                taken[match[j]] = True
    return found
