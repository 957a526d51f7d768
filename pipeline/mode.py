"""How much may still be done: what the modes and the halt word leave open to an order.

| | new risk | what reduces | flagged reduce-only as well | risk closes positions |
|---|---|---|---|---|
| NORMAL | yes | yes | yes | no |
| PAUSED | 202 | yes | yes | no |
| REDUCED | 203 | yes | yes | all but `risk.reduced_bp` |
| EMERGENCY | 201 | 201 | yes | yes |
| halted, in any mode | 201 | 201 | 201 | no |

A mode is a word of the run (`topology.RUN_WORDS`), which each context carries. What happens by
itself only raises it; an operator lowers it, with a reason. The slow, obvious form of
`native/mode.hpp`, for the reference kernels.
"""

from __future__ import annotations

from typing import Final

import numpy as np

from pipeline.vocabulary import Denial, Mode

LABELS: Final = tuple(mode.label for mode in Mode)


def mode_of(word: int) -> Mode:
    """Return the mode that a word says; one that nobody knows counts as the last."""
    return Mode(min(word, Mode.EMERGENCY))


def refusals(context: np.void, *, reducing: bool, flagged: bool) -> dict[Denial, bool]:
    """Return which codes refuse an order; `flagged`: as reduce-only."""
    mode = mode_of(int(context["mode"]))
    closing_only = mode is Mode.EMERGENCY and not (reducing and flagged)
    return {
        Denial.KILLED: context["halted"] != 0 or closing_only,
        Denial.MODE_PAUSED: mode is Mode.PAUSED and not reducing,
        Denial.MODE_REDUCE_ONLY: mode >= Mode.REDUCED and not reducing,
    }


def closes_positions(context: np.void) -> bool:
    """Whether risk closes what is held."""
    return mode_of(int(context["mode"])) >= Mode.REDUCED
