"""A bank as plain arrays, for a checkpoint."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from sightline.errors import LogError, UsageError
from sightline.perceive.normal.bank.block import STATE, Block
from sightline.perceive.normal.bank.kept_samples import KeptSamples
from sightline.perceive.normal.bank.plan import BankPlan
from sightline.records.windows import FloatArray, IntArray

BANK_FORMAT = 1

AnyArray = npt.NDArray[np.generic]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class StoredBank:
    """A bank of n series, of which m have learnt.

    Attributes:
        learn_rows: int64[n], samples to learn from.
        rows: int64[n], samples taken in.
        since: int64[n], samples since learning, -1 for series that have not learnt.
        kept: int64[n], samples that are kept to learn from.
        samples: float64[sum(kept)], series by series.
        state: the arrays of a block by name, the first axis of each is the m series.
    """

    learn_rows: IntArray
    rows: IntArray
    since: IntArray
    kept: IntArray
    samples: FloatArray
    state: dict[str, AnyArray]


def plain(
    plan: BankPlan,
    per_series: Mapping[str, IntArray],
    learnt: Sequence[dict[str, AnyArray]],
    kept_of: Sequence[tuple[int, KeptSamples]],
) -> dict[str, AnyArray]:
    """The arrays that :func:`checked` takes.

    Args:
        plan: of the bank.
        per_series: learn_rows, rows and since.
        learnt: of each block the state of its series that have learnt.
        kept_of: first series of a block, and what its series keep.
    """
    kept = np.zeros_like(per_series["rows"])
    samples = [np.empty(0)]
    for first, one in kept_of:
        rows = np.flatnonzero(one.kept > 0)
        kept[first + rows] = one.kept[rows]
        samples.extend(one.of(row).copy() for row in rows.tolist())
    found: dict[str, AnyArray] = {
        "format": np.array([BANK_FORMAT], np.int64),
        "settings": np.frombuffer(plan.digest(), np.uint8).copy(),
        **per_series,
        "kept": kept,
        "samples": np.concatenate(samples),
    }
    parts = learnt or [Block.empty(plan)]
    for name in STATE:
        found[f"state_{name}"] = np.concatenate([part[name] for part in parts])
    return found


def checked(plan: BankPlan, arrays: Mapping[str, AnyArray]) -> StoredBank:
    """What was stored.

    Raises:
        LogError: of another format, or damaged.
        UsageError: of other settings.
    """
    try:
        stored_format = int(np.asarray(arrays["format"], np.int64)[0])
        if stored_format != BANK_FORMAT:
            raise _unusable(f"format {stored_format}")
        if bytes(np.asarray(arrays["settings"], np.uint8)) != plan.digest():
            raise UsageError(
                expected="a bank of the same settings",
                got="another digest of them",
                where="DetectorBank.restore",
                action="restore with the settings it was made with, or begin anew",
            )
        found = StoredBank(
            learn_rows=np.array(arrays["learn_rows"], np.int64),
            rows=np.array(arrays["rows"], np.int64),
            since=np.array(arrays["since"], np.int64),
            kept=np.array(arrays["kept"], np.int64),
            samples=np.array(arrays["samples"], np.float64),
            state={name: np.asarray(arrays[f"state_{name}"]) for name in STATE},
        )
    except (KeyError, ValueError, TypeError, IndexError) as error:
        raise _unusable(f"{type(error).__name__}: {error}") from error
    n = len(found.rows)
    learnt = int((found.since >= 0).sum())
    shape = {name: array.shape for name, array in Block.empty(plan).items()}
    is_whole = (
        all(a.shape == (n,) for a in (found.learn_rows, found.rows, found.since, found.kept))
        and bool((found.kept >= 0).all())
        and not (found.kept[found.since >= 0] > 0).any()
        and bool((found.kept <= found.learn_rows).all())
        and found.samples.shape == (int(found.kept.sum()),)
        and all(found.state[name].shape == (learnt, *shape[name][1:]) for name in STATE)
    )
    if not is_whole:
        raise _unusable(f"{n} series and arrays of other shapes")
    return found


def _unusable(got: str) -> LogError:
    return LogError(
        expected=f"the arrays of a bank of detectors, format {BANK_FORMAT}",
        got=got,
        where="DetectorBank.restore",
        action="delete the checkpoint; the series learn again",
    )
