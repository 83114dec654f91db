"""Boards against golden templates: folds over the pairs to learn from, then those kept apart.

Settings are chosen by the folds alone. The pairs kept apart are drawn by the seed and looked at by
``--kept`` only.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from sightline.evidence.inspection.boards import evaluate_boards, load_boards, train_boards
from sightline.perceive.inspection.golden_template import BoardSettings
from sightline.sense.frames.board_pairs import BoardPair, find_board_pairs

Progress = Callable[[str], None]
KEPT_APART = 60
FOLDS = 5


def bench_boards(
    folder: Path, *, kept: bool, seed: int = 2026, progress: Progress = lambda text: None
) -> dict[str, Any]:
    """F at IoU 0.33 over the folds, and on the pairs kept apart where ``kept`` asks for it.

    Args:
        folder: of DeepPCB.
        kept: also learn from all pairs but those kept apart, and look at these.
        seed: of the draw.
        progress: told what is being done.
    """
    pairs = find_board_pairs(folder)
    order = np.random.default_rng(seed).permutation(len(pairs)).tolist()
    learnt_from = [pairs[i] for i in order[KEPT_APART:]]
    found: dict[str, Any] = {"pairs": len(learnt_from)}
    total = np.zeros(3, np.int64)
    without_kinds = 0.0
    for fold in range(FOLDS):
        progress(f"fold {fold + 1} of {FOLDS}")
        rest = [one for i, one in enumerate(learnt_from) if i % FOLDS != fold]
        told = _figures(rest, learnt_from[fold::FOLDS])
        counts = np.array([told["right"], told["found"], told["defects"]])
        total += counts
        without_kinds += told["f_at_iou_0.33_without_kinds"]["value"] * counts[1:].sum()
    found["folds_f"] = round(float(2 * total[0] / total[1:].sum()), 4)
    found["folds_f_without_kinds"] = round(float(without_kinds / total[1:].sum()), 4)
    if kept:
        progress(f"{KEPT_APART} pairs kept apart")
        found["kept_apart"] = _figures(learnt_from, [pairs[i] for i in order[:KEPT_APART]])
    return found


def _figures(learnt_from: Sequence[BoardPair], others: Sequence[BoardPair]) -> dict[str, Any]:
    with tempfile.TemporaryDirectory() as name:
        out = Path(name) / "model"
        train_boards(learnt_from, out, settings=BoardSettings())
        return evaluate_boards(load_boards(out), others)
