"""Configurations that are read from c.toml, flags and an environment of the test's own."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from pipeline.config import ConfigError, Loaded, load

HOME = {"HOME": "/home/me"}


def read(
    text: str = "", flags: Mapping[str, Any] | None = None, environ: Mapping[str, str] | None = None
) -> Loaded:
    Path("c.toml").write_text(text)
    return load(Path("c.toml"), flags=flags, environ={**HOME, **(environ or {})})


def refused(
    text: str = "", flags: Mapping[str, Any] | None = None, environ: Mapping[str, str] | None = None
) -> list[str]:
    with pytest.raises(ConfigError) as error:
        read(text, flags, environ)
    return str(error.value).splitlines()
