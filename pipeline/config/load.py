"""Where a configuration comes from: flags over environment over file over defaults."""

from __future__ import annotations

import json
import os
import re
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from pipeline.config.keys import dotted, is_text, meant, path_of, siblings
from pipeline.config.lines import KeyPath, lines_of
from pipeline.config.model import Config
from pipeline.config.signals import PACKAGED, MachineLearning

PREFIX = "BOT4_"
NOT_KEYS = frozenset({"BOT4_CONFIG", "BOT4_REQUIRE_TOOLS"})
"""Variables that say something else than the value of a key."""

_LONGEST = 60  # characters of a wrong value that a message shows
_REMEDIES = {
    "model_type": "must be a table",
    "dict_type": "must be a table",
    "tuple_type": "must be an array of tables",
}


class ConfigError(Exception):
    """A configuration cannot be used; the message has a line for each thing that is wrong."""


@dataclass(frozen=True, slots=True)
class Origin:
    """Where a value was given: "config.toml:12", "$BOT4_NAME", "--set", "--name" or "default"."""

    place: str
    line: int | None = None

    def __str__(self) -> str:
        return self.place if self.line is None else f"{self.place}:{self.line}"


DEFAULT = Origin("default")


@dataclass(frozen=True, slots=True)
class Loaded:
    """A valid configuration and where each of its values was given.

    Attributes:
        config: The values.
        file: The file that was read, if any.
        origins: Of every key, table and entry that was given.
    """

    config: Config
    file: Path | None
    origins: Mapping[KeyPath, Origin]

    def resolved(self) -> dict[str, Any]:
        """Return `Config.resolved()`, with paths made absolute.

        Relative ones are of the folder of the file that names them, else of the current one.
        """
        config = self.config.resolved()
        ml = config["ml"]
        if ml["model"] not in ("", PACKAGED):
            ml["model"] = self._absolute(("ml", "model"), ml["model"])
        file, colon, name = ml["strategy"].rpartition(":")
        if colon and file.endswith(".py"):
            ml["strategy"] = f"{self._absolute(('ml', 'strategy'), file)}:{name}"
        command = config["notify"]["command"]
        if command and "/" in command[0]:
            command[0] = self._absolute(("notify", "command"), command[0])
        return config

    def _absolute(self, key: KeyPath, path: str) -> str:
        is_of_file = self.file is not None and self.origins.get(key, DEFAULT).line is not None
        folder = self.file.parent if is_of_file and self.file is not None else Path()
        return os.path.abspath(folder / Path(path).expanduser())

    def values(self, host: str | None = None) -> dict[str, tuple[object, Origin]]:
        """Return each key's value and origin, CPUs as they are on a host (default: this one)."""
        found = dict(_leaves(self.config.resolved(), ()))
        found.update({path: cpus for _, cpus, path in self.config.affinity_sources(host)})
        return {
            dotted(path): (value, self.origins.get(path, DEFAULT)) for path, value in found.items()
        }


def load(
    path: Path | None = None,
    *,
    flags: Mapping[str, Any] | None = None,
    environ: Mapping[str, str] = os.environ,
) -> Loaded:
    """Read the file, put the environment over it and the flags over both, and check everything.

    The file is `path`, else $BOT4_CONFIG, else ./config.toml; without any of them all defaults
    hold, which are those that the packaged `default.toml` shows.

    Args:
        path: The file, if the user has named it.
        flags: Dotted key -> value. Text is read as a TOML value or, if it is none, taken as it is.
        environ: Environment; BOT4_RISK__POSITION_BP is the key risk.position_bp, read like a flag.

    Raises:
        ConfigError: the file cannot be read or is not TOML, or something is wrong (all is named).
    """
    named = path or (Path(environ["BOT4_CONFIG"]) if environ.get("BOT4_CONFIG") else None)
    given = _Given()
    file = _read(named, given)
    for variable in sorted(environ):
        if variable.startswith(PREFIX) and variable not in NOT_KEYS:
            key = path_of(variable[len(PREFIX) :].lower().split("__"))
            given.put(key, environ[variable], Origin(f"${variable}"))
    for flag, value in (flags or {}).items():
        origin = Origin("--name" if flag == "name" else "--set")
        given.put(_flag_path(flag, origin), value, origin)
    try:
        config = Config.model_validate(given.data, context={"environ": environ})
    except ValidationError as error:
        raise ConfigError("\n".join(_messages(error, given, file))) from None
    return Loaded(config, file, given.origins)


def changed(resolved: Mapping[str, Any], values: Mapping[str, Any], place: str) -> Loaded:
    """Return a resolved configuration with other values, checked as a whole.

    Args:
        resolved: As `Loaded.resolved` returns it, or as a run has it: what that adds is left out,
            and so is what it does not trade.
        values: Dotted key -> value; text is read as in a flag.
        place: Where they are given, for messages.

    Raises:
        ConfigError: something is wrong (all is named).
    """
    given = _Given({key: resolved[key] for key in Config.model_fields if key in resolved})
    given.data = json.loads(json.dumps(given.data))
    given.data["ml"] = {
        key: value for key, value in given.data["ml"].items() if key in MachineLearning.model_fields
    }
    symbols = {each["symbol"] for each in given.data["instruments"]}
    risk = given.data["risk"]
    risk["instruments"] = {key: own for key, own in risk["instruments"].items() if key in symbols}
    for own in risk["strategies"].values():
        own["instruments"] = [symbol for symbol in own["instruments"] if symbol in symbols]
    origin = Origin(place)
    for key, value in values.items():
        given.put(_flag_path(key, origin), value, origin)
    try:
        config = Config.model_validate(given.data)
    except ValidationError as error:
        raise ConfigError("\n".join(_messages(error, given, None))) from None
    return Loaded(config, None, given.origins)


def leaves(table: Mapping[str, Any]) -> Iterator[tuple[str, object]]:
    """Yield the keys of a resolved table that have a value, dotted, with it; lists are whole."""
    for key, value in table.items():
        if isinstance(value, dict):
            for inner, entry in leaves(value):
                yield f"{key}.{inner}", entry
        elif value is not None:
            yield key, value


@dataclass(slots=True)
class _Given:
    """What has been given so far, the later over the earlier."""

    data: dict[str, Any] = field(default_factory=dict)
    origins: dict[KeyPath, Origin] = field(default_factory=dict)

    def put(self, path: KeyPath, value: Any, origin: Origin) -> None:
        """Set one value, and make the tables above it."""
        if path[0] == "instruments" and len(path) > 1:
            default = [entry.model_dump(exclude_none=True) for entry in Config().instruments]
            self.data.setdefault("instruments", default)
        value = _from_text(value, path) if isinstance(value, str) else value
        node: Any = self.data
        for depth, part in enumerate(path):
            if isinstance(node, list) and not (isinstance(part, int) and part < len(node)):
                raise ConfigError(
                    f"{origin}: {dotted(path)} does not exist; "
                    f"{dotted(path[:depth])} has {len(node)} entries, the first is 0"
                )
            if depth < len(path) - 1:
                node = _below(node, part)
        node[path[-1]] = value
        for replaced in [known for known in self.origins if known[: len(path)] == path]:
            del self.origins[replaced]
        for inner in (path, *_inside(value, path)):
            self.origins[inner] = origin

    def inside(self, path: KeyPath) -> Iterator[Origin]:
        """Yield the origins of a key and of what is in it."""
        return (origin for known, origin in self.origins.items() if known[: len(path)] == path)

    def where(self, path: KeyPath) -> Origin | None:
        """Return the origin of a key, or of what is in it, or of the nearest table above it."""
        for origin in self.inside(path):
            return origin
        for length in range(len(path) - 1, 0, -1):
            if path[:length] in self.origins:
                return self.origins[path[:length]]
        return None


def _below(node: Any, part: Any) -> Any:
    """Return the table or array in another; it replaces whatever else is there."""
    found = node[part] if isinstance(node, list) else node.setdefault(part, {})
    if not isinstance(found, dict | list):
        found = node[part] = {}
    return found


def _read(named: Path | None, given: _Given) -> Path | None:
    file = named or Path("config.toml")
    try:
        text = file.read_bytes().decode().replace("\r\n", "\n")
        given.data = tomllib.loads(text)
    except FileNotFoundError:
        if named is None:
            return None
        raise ConfigError(f"{file} does not exist; name one that does, or none") from None
    except UnicodeDecodeError as error:
        line = error.object[: error.start].count(b"\n") + 1
        raise ConfigError(f"{file}:{line}: is not UTF-8; save it as UTF-8") from None
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(_syntax(file, text, str(error))) from None
    except OSError as error:
        raise ConfigError(f"{file} cannot be read: {error.strerror}") from None
    lines = lines_of(text)
    given.origins = {path: Origin(str(file), line) for path, line in lines.items()}
    return file


def _syntax(file: Path, text: str, message: str) -> str:
    """Put the line, which tomllib has in its message, where a reader and an editor look for it."""
    what, _, place = message.rpartition(" (at ")
    if found := re.fullmatch(r"line (\d+), column (\d+)\)", place):
        return f"{file}:{found[1]}: {what} at column {found[2]}"
    return f"{file}:{len(text.splitlines())}: {what} at the end of the file"


def _flag_path(flag: str, origin: Origin) -> KeyPath:
    try:
        node: Any = tomllib.loads(f"{flag} = 0")
    except tomllib.TOMLDecodeError:
        raise ConfigError(
            f"{origin}: key was {flag!r}, must be dotted like risk.position_bp"
        ) from None
    parts: list[str] = []
    while isinstance(node, dict):
        parts.append(next(iter(node)))
        node = node[parts[-1]]
    return path_of(parts)


def _from_text(text: str, path: KeyPath) -> Any:
    try:
        document = tomllib.loads(f"value = {text}")
    except tomllib.TOMLDecodeError:
        return text
    value = document.pop("value")
    # Text needs no quotes here, even if it looks like a number.
    return text if document or (is_text(path) and not isinstance(value, str)) else value


def _inside(value: Any, path: KeyPath) -> Iterator[KeyPath]:
    """Yield the paths of all that is in a value."""
    entries: Any = ()
    if isinstance(value, dict):
        entries = value.items()
    elif isinstance(value, list):
        entries = enumerate(value)
    for key, entry in entries:
        yield (*path, key)
        yield from _inside(entry, (*path, key))


def _leaves(value: Any, path: KeyPath) -> Iterator[tuple[KeyPath, object]]:
    """Yield the keys that have a value."""
    if isinstance(value, dict):
        for key, entry in value.items():
            yield from _leaves(entry, (*path, key))
    elif isinstance(value, list):
        for index, entry in enumerate(value):
            yield from _leaves(entry, (*path, index))
    elif value is not None:
        yield path, value


def _messages(error: ValidationError, given: _Given, file: Path | None) -> list[str]:
    """Return a line for each problem, in the order of the file; those from elsewhere come last."""
    found: list[tuple[float, str]] = []
    for detail in error.errors(include_url=False):
        if detail["type"] == "problems":
            problems = [(p.path, p.value, f"must {p.remedy}") for p in detail["ctx"]["problems"]]
        else:
            # A key that is wrong has no value: pydantic's path goes on with "[key]".
            path_to = tuple(each for each in detail["loc"] if each != "[key]")
            problems = [(path_to, detail["input"], _remedy(detail))]
        for path, value, remedy in problems:
            origin = given.where(path)
            if detail["type"] == "extra_forbidden":
                message = f"unknown key {dotted(path)}; {_suggestion(path, origin)}"
            elif detail["type"] == "missing":
                message = f"{dotted(path)} is missing; add it"
            else:
                default = "" if any(given.inside(path)) else " (default)"
                message = f"{dotted(path)} was {_shown(value)}{default}, {remedy}"
            place = str(origin or file or "")
            line = origin.line if origin and origin.line else float("inf")
            found.append((line, f"{place}: {message}" if place else message))
    return [message for _, message in sorted(found, key=lambda entry: entry[0])]


def _remedy(detail: Any) -> str:
    if detail["type"] in _REMEDIES:
        return _REMEDIES[detail["type"]]
    text = str(detail["msg"]).removeprefix("Value error, ")
    return re.sub(r"^Input should", "must", text)


def _suggestion(path: KeyPath, origin: Origin | None) -> str:
    known = meant(path)
    if known is None:
        return f"the keys there are {', '.join(siblings(path))}"
    if origin and origin.place.startswith("$"):
        return f"did you mean ${PREFIX}{'__'.join(map(str, known)).upper()}?"
    return f"did you mean {known[-1] if known[:-1] == path[:-1] else dotted(known)}?"


def _shown(value: object) -> str:
    text = repr(value)
    return text if len(text) <= _LONGEST else f"{text[: _LONGEST - 3]}..."
