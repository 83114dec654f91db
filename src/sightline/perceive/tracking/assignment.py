"""Who is who: the cheapest assignment of rows to columns, as many pairs as can be.

Things far apart cannot be confused, so the matrix falls into small blocks, each solved on its own
by the Hungarian method with potentials (Kuhn 1955; Jonker & Volgenant 1987 for the shortest
augmenting path). ``scipy.optimize.linear_sum_assignment`` on the whole matrix is the specification.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from numba import types

from sightline.perceive.compiled import inner_loop, kernel
from sightline.records.windows import FloatArray, IntArray

IMPOSSIBLE = 1e9
"""Stands for an impossible pair inside: far above any cost, so that more pairs win over cheaper."""

BoolArray = npt.NDArray[np.bool_]

_M = types.Array(types.float64, 2, "C", readonly=True)
_B = types.Array(types.boolean, 1, "C", readonly=True)


@inner_loop
def _root(parent: IntArray, i: int) -> int:
    while parent[i] != i:
        parent[i] = parent[parent[i]]
        i = parent[i]
    return i


@inner_loop
def _solve(
    cost: FloatArray, rows: IntArray, columns: IntArray, is_flipped: bool, match: IntArray
) -> None:
    """Assign the block of ``cost`` with these rows and columns, at most as many rows as columns.

    Flipped, rows and columns have changed places: ``rows`` are columns of ``cost``.
    """
    n, m = len(rows), len(columns)
    u = np.zeros(n + 1)
    v = np.zeros(m + 1)
    owner = np.zeros(m + 1, np.int64)  # row (from 1) of each column (from 1)
    way = np.zeros(m + 1, np.int64)
    for i in range(1, n + 1):
        owner[0] = i
        j0 = 0
        least = np.full(m + 1, np.inf)
        used = np.zeros(m + 1, np.bool_)
        while True:
            used[j0] = True
            i0 = owner[j0]
            delta = np.inf
            j1 = 0
            for j in range(1, m + 1):
                if used[j]:
                    continue
                row, column = rows[i0 - 1], columns[j - 1]
                c = cost[column, row] if is_flipped else cost[row, column]
                if not c < IMPOSSIBLE:
                    c = IMPOSSIBLE
                reduced = c - u[i0] - v[j]
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
    for j in range(1, m + 1):
        if owner[j] > 0:
            row, column = rows[owner[j] - 1], columns[j - 1]
            if is_flipped:
                row, column = column, row
            if cost[row, column] < IMPOSSIBLE:
                match[row] = column


@inner_loop
def _assign(cost: FloatArray) -> IntArray:
    n, m = cost.shape
    match = np.full(n, -1, np.int64)
    if n == 0 or m == 0:
        return match
    parent = np.arange(n + m)
    for i in range(n):
        for j in range(m):
            if cost[i, j] < IMPOSSIBLE:
                a, b = _root(parent, i), _root(parent, n + j)
                if a != b:
                    parent[max(a, b)] = min(a, b)
    roots = np.empty(n + m, np.int64)
    for k in range(n + m):
        roots[k] = _root(parent, k)
    order = np.argsort(roots, kind="mergesort")
    begin = 0
    while begin < n + m:
        end = begin
        while end < n + m and roots[order[end]] == roots[order[begin]]:
            end += 1
        members = order[begin:end]
        rows = members[members < n]
        columns = members[members >= n] - n
        if len(rows) == 1 and len(columns) == 1:
            match[rows[0]] = columns[0]
        elif len(rows) and len(columns):
            if len(rows) <= len(columns):
                _solve(cost, rows, columns, False, match)
            else:
                _solve(cost, columns, rows, True, match)
        begin = end
    return match


@kernel(_M)
def assign(cost: FloatArray) -> IntArray:
    """int64[n], the column of each row of ``cost`` (float64[n, m]), -1 for none.

    As many finite pairs as possible, at the least total cost. Costs must stay below 1e9 / n.
    """
    found: IntArray = _assign(cost)
    return found


@kernel(_M, _B, _B)
def assign_in_rounds(cost: FloatArray, is_confirmed: BoolArray, is_high: BoolArray) -> IntArray:
    """int64[m], the row (track) of each column (detection), -1 for none.

    Three rounds, each with what the ones before left over: confirmed tracks with high scores,
    confirmed tracks with low ones, tracks to be confirmed with high ones.
    """
    n, m = cost.shape
    found = np.full(m, -1, np.int64)
    taken = np.zeros(n, np.bool_)
    for stage in range(3):
        rows = np.empty(n, np.int64)
        columns = np.empty(m, np.int64)
        many_rows = many_columns = 0
        for i in range(n):
            if not taken[i] and is_confirmed[i] == (stage < 2):
                rows[many_rows] = i
                many_rows += 1
        for j in range(m):
            if found[j] < 0 and is_high[j] == (stage != 1):
                columns[many_columns] = j
                many_columns += 1
        if many_rows == 0 or many_columns == 0:
            continue
        part = np.empty((many_rows, many_columns))
        for i in range(many_rows):
            for j in range(many_columns):
                part[i, j] = cost[rows[i], columns[j]]
        match = _assign(part)
        for i in range(many_rows):
            if match[i] >= 0:
                found[columns[match[i]]] = rows[i]
                taken[rows[i]] = True
    return found
