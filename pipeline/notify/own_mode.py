"""Notices of risk's own mode: a limit was reached, or the time is over for which it paused."""

from __future__ import annotations

import numpy as np

from pipeline.mode import mode_of
from pipeline.notify.notice import Notice
from pipeline.vocabulary import Denial, Mode


class OwnMode:
    """Looks at the account of risk, again and again."""

    def __init__(self, account: np.void, before: Mode) -> None:
        """`account` is as of now; `before` is the mode that the run begins in, if it is new."""
        self._mode = mode_of(int(account["mode"])) if account["begun"] else before
        self._request = int(account["request"])

    def look(self, account: np.void) -> Notice | None:
        """Return what is to be told."""
        if not account["begun"]:
            return None
        before, self._mode = self._mode, mode_of(int(account["mode"]))
        was_asked = int(account["request"]) != self._request
        self._request = int(account["request"])
        if self._mode is before or self._mode is Mode.EMERGENCY:
            return None  # a kill is told by whoever does what follows
        change = f"risk: mode {before.label} -> {self._mode.label}"
        if self._mode > before:
            code = Denial(int(account["mode_code"]))
            return Notice("mode", "warning", f"{change} ({code.value} {code.name})", code.name)
        if was_asked:
            return None  # the operator's command tells it
        return Notice("mode", "info", f"{change}, by itself")
