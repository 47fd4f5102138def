"""A figure held to a bound, and the sentence that says so without rounding into a contradiction."""

from __future__ import annotations

from ml_tasks.evaluation.bootstrap import Estimate
from ml_tasks.records import RuleResult, Verdict


def bounded(
    rule: str, name: str, found: Estimate, bound: float, patients: int | None, most: bool = False
) -> RuleResult:
    """Holds a figure in 0..1 to the least (or the `most`) that it may be.

    A figure without an interval may be anything from 0 to 1. `patients` are those that it was
    measured on, where the sentence should say so.
    """
    low, high = _interval(found)
    right, wrong = (high <= bound, low > bound) if most else (low >= bound, high < bound)
    reaches, misses = ("stays within", "exceeds") if most else ("reaches", "is below")
    figure = f"{name} {_shown(found, bound)}"
    limit = f"{bound:.2f}" if float(f"{bound:.2f}") == bound else repr(bound)
    if right:
        verdict, sentence = Verdict.PASS, f"{figure} {reaches} {limit}"
    elif wrong:
        verdict, sentence = Verdict.FAIL, f"{figure} {misses} {limit}"
    else:
        verdict = Verdict.INCONCLUSIVE
        of = "" if patients is None else f" from {patients} test patients"
        sentence = f"{figure}: whether it {reaches} {limit} cannot be told{of}"
    return RuleResult(
        rule=rule,
        value=found.value,
        low=found.low,
        high=found.high,
        bound=bound,
        verdict=verdict,
        sentence=sentence,
    )


def signed(found: Estimate, bound: float) -> str:
    """A difference with its interval, e.g. `+0.012 [-0.020, +0.044]`."""
    return _shown(found, bound, "+")


def _interval(found: Estimate) -> tuple[float, float]:
    if found.low is None or found.high is None:
        return 0.0, 1.0
    return found.low, found.high


def _shown(found: Estimate, bound: float, sign: str = "") -> str:
    value = _number(found.value, bound, sign)
    if found.low is None or found.high is None:
        return f"{value} (no interval)"
    if found.low == found.high == found.value:  # the number itself is judged
        return value
    return f"{value} [{_number(found.low, bound, sign)}, {_number(found.high, bound, sign)}]"


def _number(value: float | None, bound: float, sign: str) -> str:
    """Three decimals, or all of them where three would put it on the bound's other side."""
    assert value is not None  # checked by whoever judges the figure
    shown = f"{value:{sign}.3f}"
    if (float(shown) >= bound) is (value >= bound) and (float(shown) > bound) is (value > bound):
        return shown
    return f"{'+' if sign and value > 0 else ''}{value!r}"
