"""Exact one-sided bounds: of a rate from counted events, of a probability from counted trials.

Sources: F. Garwood, Fiducial limits for the Poisson distribution, Biometrika 28 (1936) 437-442;
C. J. Clopper and E. S. Pearson, The use of confidence or fiducial limits illustrated in the case of
the binomial, Biometrika 26 (1934) 404-413. Both cover with at least the stated confidence.
"""

from __future__ import annotations

import math

from scipy.stats import beta, chi2

from sightline.errors import UsageError

CONFIDENCE = 0.95
"""One-sided, unless another is asked for."""


def poisson_upper(events: int, exposure: float, *, confidence: float = CONFIDENCE) -> float:
    """Upper bound of a rate after ``events`` in ``exposure``, in events per unit of exposure.

    Args:
        events: counted, 0 or more.
        exposure: time watched, in any unit, above 0 and finite.
        confidence: one-sided, above 0 and below 1.

    Raises:
        UsageError: an argument out of its range.

    >>> f"{poisson_upper(4, 10_000):.3e}", f"{poisson_upper(0, 1_000):.6f}"
    ('9.154e-04', '0.002996')
    """
    _check_events(events, exposure, confidence)
    return float(chi2.ppf(confidence, 2 * (events + 1))) / 2 / exposure


def poisson_lower(events: int, exposure: float, *, confidence: float = CONFIDENCE) -> float:
    """Lower bound of a rate; 0 without events. Arguments as of :func:`poisson_upper`.

    >>> poisson_lower(0, 10), round(poisson_lower(4, 10_000), 6)
    (0.0, 0.000137)
    """
    _check_events(events, exposure, confidence)
    if events == 0:
        return 0.0
    return float(chi2.ppf(1 - confidence, 2 * events)) / 2 / exposure


def binomial_upper(hits: int, trials: int, *, confidence: float = CONFIDENCE) -> float:
    """Upper bound of a probability after ``hits`` in ``trials``; 1 without trials.

    Raises:
        UsageError: not 0 <= hits <= trials, or a confidence out of its range.

    >>> round(binomial_upper(0, 1000), 5), round(binomial_upper(4, 1000), 5), binomial_upper(2, 2)
    (0.00299, 0.00913, 1.0)
    """
    _check_trials(hits, trials, confidence)
    if hits == trials:
        return 1.0
    return float(beta.ppf(confidence, hits + 1, trials - hits))


def binomial_lower(hits: int, trials: int, *, confidence: float = CONFIDENCE) -> float:
    """Lower bound of a probability; 0 without hits. Arguments as of :func:`binomial_upper`.

    >>> binomial_lower(0, 0), round(binomial_lower(29, 29), 4), round(binomial_lower(58, 59), 4)
    (0.0, 0.9019, 0.9221)
    """
    _check_trials(hits, trials, confidence)
    if hits == 0:
        return 0.0
    return float(beta.ppf(1 - confidence, hits, trials - hits + 1))


def _check_events(events: int, exposure: float, confidence: float) -> None:
    if events < 0 or not (math.isfinite(exposure) and exposure > 0):
        raise UsageError(
            expected="0 or more events in a finite exposure above 0",
            got=f"{events} in {exposure}",
            where="bound of a rate",
            action="without exposure there is no rate to bound",
        )
    _check_confidence(confidence)


def _check_trials(hits: int, trials: int, confidence: float) -> None:
    if not 0 <= hits <= trials:
        raise UsageError(
            expected="0 <= hits <= trials",
            got=f"{hits} of {trials}",
            where="bound of a probability",
            action="count both over the same trials",
        )
    _check_confidence(confidence)


def _check_confidence(confidence: float) -> None:
    if not 0 < confidence < 1:
        raise UsageError(
            expected="a one-sided confidence above 0 and below 1",
            got=f"{confidence}",
            where="bound",
            action="0.95 is usual",
        )
