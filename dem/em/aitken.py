"""How much of the objective is still to be gained, by Aitken's estimate.

Close to its end EM converges linearly: each change of the objective is the same share of the change before it. So the
changes that are still to come are a geometric series, and its sum is the distance to the limit (McLachlan and Krishnan
2008, "The EM Algorithm and Extensions", section 4.9; Boehning et al. 1994).

It is an estimate. Far from the limit the share still grows, and then more is to be gained than the estimate says.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

ROUNDINGS = 16
"""Changes of the objective below this number of its roundings are nothing."""


def remaining_gain(objectives: Sequence[float]) -> float | None:
    """Return an estimate of what is still to be gained after the last objective, in its unit (nats a row).

    Parameters
    ----------
    objectives : sequence of float
        The objectives of successive passes, all in the same arithmetic. The last three are used.

    Returns
    -------
    float or None
        0 if the last change is rounding. None if nothing can be said: there are fewer than three objectives, the
        objective has fallen, or its last change was not smaller than the one before it.
    """
    if len(objectives) < 2:
        return None
    last = objectives[-1] - objectives[-2]
    rounding = ROUNDINGS * math.ulp(max(1.0, abs(objectives[-1])))
    if abs(last) <= rounding:
        return 0.0
    if len(objectives) < 3:
        return None
    before = objectives[-2] - objectives[-3]
    return rest_of_series(last, last / before) if before > 0 else None


def remaining_gain_of_step(change: float, expected: float, rounding: float = 0.0) -> float | None:
    """Return the same estimate from one change of the objective and the gain that its M-step promised.

    Close to the limit the M-step gains 0.5 s' J s, where s is the step and J the information of the complete data. The
    objective gains 0.5 s' (J + L) s, where L is the lost information. So their ratio minus 1 is the share by which the
    steps become shorter, and its square is the share by which the changes of the objective do.

    Parameters
    ----------
    change : float
        The change of the objective over one iteration, in nats a row.
    expected : float
        The bound after its M-step minus the objective before it. It is not more than `change`, but for rounding.
    rounding : float
        The rounding of both.
    """
    if max(abs(change), abs(expected)) <= rounding:
        return 0.0
    if not 0 < expected <= change + rounding:
        return None
    return rest_of_series(change, (max(change, expected) / expected - 1.0) ** 2)


def rest_of_series(last: float, share: float) -> float | None:
    """Return the sum of all changes after `last`, if each is this share of the one before it; None if there is none."""
    if not (0 < last < math.inf and 0 <= share < 1):
        return None
    return last * share / (1.0 - share)
