"""A small network that says of each row of numbers how much it looks like a defect.

Two hidden layers of rectified units over what is known of a cell (:mod:`.cell_head`) or of a
difference (:mod:`.golden_template`), learnt by AdamW (Loshchilov and Hutter, Decoupled Weight
Decay Regularization, ICLR 2019) on cross-entropy.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np

from sightline.perceive.inspection.floats import Floats

_RATE, _FIRST, _SECOND = 3e-3, 0.9, 0.999
_WARM_SHARE = 0.2


@dataclass(frozen=True, slots=True, kw_only=True)
class DefectHead:
    """What was learnt.

    Attributes:
        mean, scale: float32[d] of what goes in.
        weights: float32[d, h1], [h1, h2], [h2, k], of k kinds of defect.
        biases: float32[h1], [h2], [k].
    """

    mean: Floats
    scale: Floats
    weights: tuple[Floats, ...]
    biases: tuple[Floats, ...]

    def as_arrays(self) -> dict[str, Floats]:
        """All of it as arrays by name."""
        return {
            "head_mean": self.mean,
            "head_scale": self.scale,
            **{f"head_weight_{i}": w for i, w in enumerate(self.weights)},
            **{f"head_bias_{i}": b for i, b in enumerate(self.biases)},
        }

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, Any]) -> DefectHead:
        """Inverse of :meth:`as_arrays`.

        Raises:
            KeyError: an array is missing.
        """
        return cls(
            mean=arrays["head_mean"],
            scale=arrays["head_scale"],
            weights=tuple(arrays[f"head_weight_{i}"] for i in range(3)),
            biases=tuple(arrays[f"head_bias_{i}"] for i in range(3)),
        )

    def of_rows(self, seen: Floats) -> Floats:
        """float32[n, k]: log-odds of each kind for rows [n, d]."""
        first = self.weights[0] / self.scale[:, None]  # rows are many; scale weights
        weights = (first, *self.weights[1:])
        biases = (self.biases[0] - self.mean @ first, *self.biases[1:])
        last = seen
        for weight, bias in zip(weights[:-1], biases[:-1], strict=True):
            last = last @ weight
            last += bias
            np.maximum(last, 0.0, out=last)
        return np.asarray(last @ weights[-1] + biases[-1])


def learn_head(
    seen: Floats,
    is_defect: Floats,
    *,
    hidden: tuple[int, int],
    rounds: int,
    batch: int,
    seed: int,
    decay: float = 1e-2,
) -> DefectHead:
    """Learn from cells.

    Args:
        seen: float32[n, d], what is known of each.
        is_defect: float32[n], 0 to 1; float32[n, k] for k kinds.
        hidden: units of the two hidden layers.
        rounds: times that every row is looked at.
        batch: rows that are looked at together.
        seed: of the first weights and the order.
        decay: of weights, in a step of rate 1.
    """
    random = np.random.default_rng(seed)
    mean = seen.mean(axis=0, dtype=np.float64).astype(np.float32)
    scale = seen.std(axis=0, dtype=np.float64).astype(np.float32) + np.float32(1e-3)
    wanted = is_defect.reshape(len(seen), -1)
    sizes = (seen.shape[1], *hidden, wanted.shape[1])
    weights = [
        (random.normal(size=(a, b)) * np.sqrt(2 / a)).astype(np.float32) for a, b in pairwise(sizes)
    ]
    parameters = [*weights, *(np.zeros(b, np.float32) for b in sizes[1:])]
    first = [np.zeros_like(p) for p in parameters]
    second = [np.zeros_like(p) for p in parameters]
    each = max(len(seen) // batch, 1)
    step, steps = 0, rounds * each
    for _ in range(rounds):
        order = random.permutation(len(seen))
        for k in range(each):
            chosen = order[k * batch : (k + 1) * batch]
            step += 1
            rate = _rate_at(step, steps)
            rows = (seen[chosen] - mean) / scale
            for i, gradient in enumerate(_gradients(rows, wanted[chosen], parameters)):
                first[i] += (1 - _FIRST) * (gradient - first[i])
                second[i] += (1 - _SECOND) * (gradient * gradient - second[i])
                root = np.sqrt(second[i] / (1 - _SECOND**step)) + 1e-8
                if parameters[i].ndim == 2:
                    parameters[i] *= np.float32(1 - rate * decay)
                parameters[i] -= np.float32(rate) * (first[i] / (1 - _FIRST**step) / root)
    return DefectHead(
        mean=mean, scale=scale, weights=tuple(parameters[:3]), biases=tuple(parameters[3:])
    )


def _rate_at(step: int, steps: int) -> float:
    """Rises to its greatest over the first fifth, then falls as a cosine to nothing."""
    warm = _WARM_SHARE * steps
    if step < warm:
        return _RATE * step / warm
    return _RATE * 0.5 * (1 + float(np.cos(np.pi * (step - warm) / (steps - warm))))


def _gradients(rows: Floats, is_defect: Floats, parameters: list[Floats]) -> list[Floats]:
    """Of the mean cross-entropy, by each of three weights and three biases."""
    w1, w2, w3, b1, b2, b3 = parameters
    one = np.maximum(rows @ w1 + b1, 0.0)
    two = np.maximum(one @ w2 + b2, 0.0)
    odds = two @ w3 + b3
    share = 1 / (1 + np.exp(-np.clip(odds, -30, 30)))
    back = ((share - is_defect) / np.float32(len(rows))).astype(np.float32)
    back_two = (back @ w3.T) * (two > 0)
    back_one = (back_two @ w2.T) * (one > 0)
    return [
        rows.T @ back_one,
        one.T @ back_two,
        two.T @ back,
        back_one.sum(axis=0),
        back_two.sum(axis=0),
        back.sum(axis=0),
    ]
