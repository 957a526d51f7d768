"""The configuration file: read, checked as a whole, and resolved for this host."""

from __future__ import annotations

import os
import socket
import tomllib
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, PlainValidator, ValidationError

Cpus = Literal["auto"] | list[int]


def _check_cpus(value: Any) -> Cpus:
    if value == "auto":
        return "auto"
    if isinstance(value, list) and value and all(type(cpu) is int and cpu >= 0 for cpu in value):
        return value
    raise ValueError('must be "auto" or a list of CPUs, e.g. [0, 1]')


class ConfigError(Exception):
    """The file cannot be used; the message lists everything that is wrong with it."""


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


class Host(_Strict):
    """What is different from host to host."""

    affinity: dict[str, Annotated[Cpus, PlainValidator(_check_cpus)]] = Field(default_factory=dict)


class Config(_Strict):
    """The whole file."""

    name: str = Field(default="paper", pattern=r"^[a-z0-9][a-z0-9_-]{0,63}$")
    hosts: dict[str, Host] = Field(default_factory=dict)

    def affinity(self, host: str | None = None) -> dict[str, Cpus]:
        """Return each process's CPUs on a host (default: this one), over those of every host."""
        default = self.hosts.get("default", Host()).affinity
        own = self.hosts.get(host or socket.gethostname(), Host()).affinity
        return {**default, **own}


def load(path: Path | None = None) -> Config:
    """Read `path`, else $BOT4_CONFIG, else ./config.toml; without any of them, the defaults.

    Raises:
        ConfigError: it cannot be read, is not TOML, or has wrong entries (all are named).
    """
    named = path or (Path(os.environ["BOT4_CONFIG"]) if os.environ.get("BOT4_CONFIG") else None)
    file = named or Path("config.toml")
    try:
        return Config.model_validate(tomllib.loads(file.read_text(encoding="utf-8")))
    except FileNotFoundError:
        if named is None:
            return Config()
        raise ConfigError(f"{file} does not exist; name one that does, or none") from None
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise ConfigError(f"{file}: {error}") from error
    except ValidationError as error:
        problems = [
            f"{file}: {'.'.join(str(part) for part in problem['loc'])} was "
            f"{problem['input']!r}: {problem['msg']}"
            for problem in error.errors()
        ]
        raise ConfigError("\n".join(problems)) from error
