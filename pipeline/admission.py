"""What the circuit breakers leave open to an order, as a step's context tells of them.

```
an order                  may go on unless
that reduces a position   a breaker of its venue is FORCED_OPEN
any other                 that; or the global state is OPEN or UNKNOWN;
                          or a breaker of its venue, of ta or of ml admits probes at most
```

The slow, obvious form of `native/admission.hpp`, for the reference kernels; and which bits of a
context are whose, for both.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np

from pipeline.stage import StageError
from pipeline.topology import components
from shm.breaker_types import GlobalState

_BITS = 64


class BreakerMasks(NamedTuple):
    """Bits of a context's `blocked` and `forced`, by their place in `topology.components`.

    Attributes:
        venue_masks: For each instrument those of its venue: of the feed and of order entry.
        strategy_mask: Those of whoever makes intents: ta and ml.
    """

    venue_masks: tuple[int, ...]
    strategy_mask: int

    @classmethod
    def of(cls, config: Mapping[str, Any]) -> BreakerMasks:
        """Return those of a resolved configuration.

        Raises:
            StageError: it has more components than a context has bits.
        """
        names = components(config)
        if len(names) > _BITS:
            raise StageError(
                f"number of components with a breaker was {len(names)}, must be <= {_BITS}: "
                "trade on fewer venues"
            )

        def mask(*members: str) -> int:
            return sum(1 << names.index(member) for member in members)

        return cls(
            tuple(
                mask(f"feed.{instrument['venue']}", f"orders.{instrument['venue']}")
                for instrument in config["instruments"]
            ),
            mask("ta", "ml"),
        )


def admits(context: np.void, masks: BreakerMasks, instrument: int, *, reducing: bool) -> bool:
    """Whether the breakers let an order of an instrument go on."""
    venue = masks.venue_masks[instrument]
    if int(context["forced"]) & venue:
        return False
    if reducing:
        return True
    if context["global"] not in (GlobalState.CLOSED, GlobalState.DEGRADED):
        return False
    return not int(context["blocked"]) & (venue | masks.strategy_mask)


def blocking(context: np.void, masks: BreakerMasks, instrument: int) -> int:
    """Return the bits of the breakers that are not closed, of those that an order depends on."""
    depends = masks.venue_masks[instrument] | masks.strategy_mask
    return (int(context["blocked"]) | int(context["forced"])) & depends
