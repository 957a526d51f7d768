"""What a configuration consists of: each key with its unit, its range and its default.

`config.toml` shows the same defaults with what they mean; a test keeps the two alike.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator, Mapping
from decimal import Decimal
from pathlib import Path
from typing import Annotated, Any

from pydantic import (
    BeforeValidator,
    ConfigDict,
    Field,
    ValidationInfo,
    field_validator,
    model_validator,
)

from pipeline.config.breakers import Breakers
from pipeline.config.lines import KeyPath
from pipeline.config.notify import Notify
from pipeline.config.risk import Risk
from pipeline.config.signals import MachineLearning, TechnicalAnalysis
from pipeline.config.table import Problem, Table, refuse
from pipeline.config.values import (
    Amount,
    Capacity,
    Cpus,
    Currency,
    ProcessCpus,
    Rate,
    Seconds,
    decimal_from,
    pattern,
)
from pipeline.instruments import SIMULATOR, converters, money_to_text, to_e8
from pipeline.markets import stream


class InstrumentConfig(Table):
    """One market of one venue; decimals are text, so that they stay exact."""

    symbol: Annotated[
        str, pattern(r"[A-Z0-9][A-Z0-9/:._-]{0,31}", "1 to 32 of A-Z 0-9 / : . _ -")
    ] = Field(description="the venue's name of the market")
    venue: Annotated[str, pattern(r"[a-z][a-z0-9_-]{0,31}", "1 to 32 of a-z 0-9 _ -")] = Field(
        description='where it is traded; "sim" is simulated'
    )
    base: Currency = Field(description="currency of quantities")
    quote: Currency = Field(description="currency of prices")
    tick: Amount = Field(description="smallest step of a price, in the quote currency")
    lot: Amount = Field(description="smallest step of a quantity, in the base currency")
    min_notional: Annotated[Decimal, BeforeValidator(decimal_from), Field(ge=0)] = Field(
        description="smallest value of an order, in the quote currency"
    )
    min_quantity: Annotated[Decimal, BeforeValidator(decimal_from), Field(ge=0)] = Field(
        default=Decimal(0), description="smallest quantity of an order; 0: one lot"
    )
    max_quantity: Annotated[Decimal, BeforeValidator(decimal_from), Field(ge=0)] = Field(
        default=Decimal(0), description="largest quantity of an order; 0: none"
    )
    maker_fee: Rate = Field(description="rate on an order that rested; below 0 is a rebate")
    taker_fee: Rate = Field(description="rate on an order that took")
    price: Annotated[
        Decimal | None,
        BeforeValidator(lambda value: None if value is None else decimal_from(value)),
    ] = Field(default=None, description="where the simulated market begins, in the quote currency")

    @field_validator("quote")
    @classmethod
    def _differs_from_base(cls, quote: str, info: ValidationInfo) -> str:
        if quote == info.data.get("base"):
            raise ValueError("must be another currency than base")
        return quote

    @field_validator("min_quantity", "max_quantity")
    @classmethod
    def _is_in_lots(cls, quantity: Decimal, info: ValidationInfo) -> Decimal:
        lot, least = info.data.get("lot"), info.data.get("min_quantity")
        if lot and to_e8(quantity) % to_e8(lot):
            raise ValueError(f"must be a multiple of the lot, {money_to_text(to_e8(lot))}")
        if least is not None and 0 < quantity < least:  # this is the largest
            raise ValueError(f"must be 0 or at least min_quantity, {money_to_text(to_e8(least))}")
        return quantity

    @field_validator("price")
    @classmethod
    def _belongs_to_a_simulated_market(
        cls, price: Decimal | None, info: ValidationInfo
    ) -> Decimal | None:
        tick, venue = info.data.get("tick"), info.data.get("venue")
        if price is None:
            if venue == SIMULATOR:
                raise ValueError(f"must be given for venue {SIMULATOR!r}: its market begins there")
        elif venue not in (SIMULATOR, None):
            raise ValueError(f"must be left out: {venue!r} has prices of its own")
        elif price <= 0:
            raise ValueError("must be greater than 0")
        elif tick and to_e8(price) % to_e8(tick):
            raise ValueError(f"must be a multiple of the tick, {money_to_text(to_e8(tick))}")
        return price


def _simulated(base: str, lot: str, price: str) -> InstrumentConfig:
    return InstrumentConfig.model_validate(
        {
            "symbol": f"{base}USDT",
            "venue": SIMULATOR,
            "base": base,
            "quote": "USDT",
            "tick": "0.01",
            "lot": lot,
            "min_notional": "5",
            "maker_fee": "0.001",
            "taker_fee": "0.001",
            "price": price,
        }
    )


class Exchange(Table):
    """The simulated exchange."""

    host: str = Field(default="127.0.0.1", min_length=1, description="address it listens at")
    seed: int = Field(default=1, ge=0, lt=1 << 63, description="of its market: same seed, same run")
    rate: int = Field(default=2000, ge=1, le=1_000_000, description="market events a second")
    volatility_bp: int = Field(default=2, ge=0, le=1000, description="std of a price step, bp")


Balance = Annotated[Decimal, BeforeValidator(decimal_from), Field(ge=0)]

WebSocketAddress = Annotated[str, pattern(r"wss?://[^\s?#]+", "an address wss://host or ws://host")]
RestAddress = Annotated[
    str, pattern(r"https?://[^\s?#]+", "an address https://host or http://host")
]


class Venue(Table):
    """Where a venue is to be had, and over how many connections."""

    url: WebSocketAddress = Field(description="of its WebSockets")
    rest_url: RestAddress = Field(description="of its REST")
    links: int = Field(default=1, ge=1, le=2, description="connections at once, each with it all")


class CcxtVenue(Table):
    """Where a venue that is read through ccxt is to be had, if not where ccxt looks for it."""

    url: WebSocketAddress | None = Field(default=None, description="of its WebSockets")
    rest_url: RestAddress | None = Field(default=None, description="of its REST")


class Venues(Table):
    """The venues whose market data is read natively; others, by ccxt's names, may be added."""

    model_config = ConfigDict(extra="allow")
    __pydantic_extra__: dict[str, CcxtVenue] = Field(init=False)

    binance: Venue = Venue(url="wss://stream.binance.com:9443", rest_url="https://api.binance.com")
    kraken: Venue = Venue(url="wss://ws.kraken.com/v2", rest_url="https://api.kraken.com")
    coinbase: Venue = Venue(
        url="wss://advanced-trade-ws.coinbase.com", rest_url="https://api.coinbase.com"
    )

    @model_validator(mode="after")
    def _are_known(self) -> Venues:
        native = tuple(type(self).model_fields)
        refuse(
            [
                Problem(("venues", name), name, stream.remedy(name, native))
                for name in self.model_extra or ()
                if name not in stream.names()
            ]
        )
        return self


class Executor(Table):
    """The paper venue."""

    slippage_bp: int = Field(default=0, ge=0, le=1000, description="added to each paper fill, bp")


class Pipeline(Table):
    """The rings and how their readers wait."""

    wait: str = Field(default="auto", description='"auto" (from the CPUs) or a strategy\'s name')
    tick_ms: int = Field(
        default=50, ge=1, le=1000, description="silence after which a stage gets a TICK, ms"
    )
    market_capacity: Capacity = Field(
        default=16_384, description="records in the ring of market data, a power of two"
    )
    capacity: Capacity = Field(
        default=4096, description="records in each other ring, a power of two"
    )

    @field_validator("wait")
    @classmethod
    def _is_a_strategy(cls, wait: str) -> str:
        if wait == "auto":
            return wait
        from shm import STRATEGIES  # here, because it costs numpy

        if wait not in STRATEGIES:
            raise ValueError(f"must be one of auto, {', '.join(STRATEGIES)}")
        return wait


class Supervisor(Table):
    """How processes are watched and restarted; times in seconds."""

    heartbeat_s: float = Field(
        default=2.0,
        ge=2,
        le=3600,
        allow_inf_nan=False,
        description="silence that counts as death; less would take a busy machine for one",
    )
    restart_budget: int = Field(default=5, ge=0, le=1000, description="restarts in the window")
    restart_window_s: Seconds = Field(default=60.0, description="length of the window")
    backoff_s: Seconds = Field(default=0.1, description="pause before a first restart; doubles")
    backoff_max_s: Seconds = Field(default=5.0, description="longest pause before a restart")
    drain_s: Seconds = Field(default=5.0, description="time to finish what is in the rings")

    @field_validator("backoff_max_s")
    @classmethod
    def _is_no_shorter(cls, longest: float, info: ValidationInfo) -> float:
        if (first := info.data.get("backoff_s")) is not None and longest < first:
            raise ValueError(f"must be at least supervisor.backoff_s, {first}")
        return longest


class Kill(Table):
    """What the kill switch does besides refusing new risk."""

    flatten: bool = Field(default=True, description="close all positions before the run is halted")
    flatten_s: Seconds = Field(default=10.0, description="time for that; then it is halted anyway")


class Affinity(Table):
    """The CPUs of each process: "auto", or a list."""

    supervisor: ProcessCpus = "auto"
    exchange: ProcessCpus = "auto"
    model: ProcessCpus = "auto"
    feed: ProcessCpus = "auto"
    ta: ProcessCpus = "auto"
    ml: ProcessCpus = "auto"
    risk: ProcessCpus = "auto"
    executor: ProcessCpus = "auto"


class Host(Table):
    """What is different from host to host."""

    affinity: Affinity = Affinity()


class Config(Table):
    """The whole configuration."""

    name: Annotated[
        str,
        pattern(
            r"[a-z0-9][a-z0-9_-]{0,63}",
            "1 to 64 of a-z 0-9 _ - and begin with a letter or a digit",
        ),
    ] = Field(default="paper", description="of the deployment; part of names in /dev/shm")
    state_dir: str = Field(
        default="", description="journal, recordings; empty: $XDG_STATE_HOME/bot4/<name>"
    )
    currency: Currency = Field(default="USDT", description="of the account")
    equity: Amount = Field(default=Decimal(100_000), description="opening equity on paper")
    balances: dict[Currency, Balance] = Field(
        default={}, description="opening balances on paper in other currencies"
    )
    instruments: tuple[InstrumentConfig, ...] = Field(
        default=(
            _simulated("BTC", "0.00001", "60000"),
            _simulated("ETH", "0.0001", "3000"),
            _simulated("SOL", "0.001", "150"),
        ),
        strict=False,  # TOML has arrays, which Python reads as lists
        description="what is traded",
    )
    exchange: Exchange = Exchange()
    venues: Venues = Venues()
    ta: TechnicalAnalysis = TechnicalAnalysis()
    ml: MachineLearning = MachineLearning()
    risk: Risk = Risk()
    executor: Executor = Executor()
    pipeline: Pipeline = Pipeline()
    supervisor: Supervisor = Supervisor()
    kill: Kill = Kill()
    notify: Notify = Notify()
    # Made when it is needed: checking it costs numpy.
    breakers: Breakers = Field(default_factory=Breakers)
    hosts: dict[str, Host] = Field(default={"default": Host()})

    @field_validator("instruments")
    @classmethod
    def _is_something(cls, entries: tuple[InstrumentConfig, ...]) -> tuple[InstrumentConfig, ...]:
        if not entries:
            raise ValueError("must have at least one entry")
        return entries

    @field_validator("state_dir")
    @classmethod
    def _is_absolute(cls, state_dir: str, info: ValidationInfo) -> str:
        """Fill in the default, and the home; the environment comes as context."""
        environ: Mapping[str, str] = (info.context or {}).get("environ", os.environ)
        home = environ.get("HOME") or str(Path.home())
        if not state_dir:
            state_home = environ.get("XDG_STATE_HOME", "")
            # The XDG specification has relative paths ignored.
            root = Path(state_home) if state_home.startswith("/") else Path(home, ".local/state")
            return str(root / "bot4" / info.data.get("name", ""))
        if state_dir.startswith("~/"):
            return str(Path(home, state_dir[2:]))
        if not state_dir.startswith("/"):
            raise ValueError("must be an absolute path, or begin with ~/")
        return str(Path(state_dir))

    @model_validator(mode="after")
    def _agrees(self) -> Config:
        problems: list[Problem] = []
        at_fault: KeyPath
        first: dict[tuple[str, str], int] = {}
        markets = [(entry.base, entry.quote) for entry in self.instruments]
        convertible = converters(self.currency, markets).keys() | {self.currency}
        for name in self.balances:
            if name == self.currency:
                remedy = "be left out: that of the account's own currency is equity"
                problems.append(Problem(("balances", name), name, remedy))
            elif name not in convertible:
                remedy = f"be left out, or be converted: {self._add_a_market(name)}"
                problems.append(Problem(("balances", name), name, remedy))
        for index, entry in enumerate(self.instruments):
            at = ("instruments", index)
            if entry.quote not in convertible:
                remedy = (
                    f"be {self.currency}, the account's, or be converted for {entry.symbol}: "
                    f"{self._add_a_market(entry.quote)}"
                )
                problems.append(Problem((*at, "quote"), entry.quote, remedy))
            other = first.setdefault((entry.venue, entry.symbol), index)
            if other != index:
                remedy = f"differ from instruments.{other}.symbol: venue {entry.venue} has it once"
                problems.append(Problem((*at, "symbol"), entry.symbol, remedy))
            if entry.venue == SIMULATOR and "/" in entry.symbol:
                remedy = 'be without "/", which separates the streams of its address'
                problems.append(Problem((*at, "symbol"), entry.symbol, remedy))
        own = [entry for entry in self.instruments if entry.quote == self.currency]
        least = max((entry.min_notional for entry in own), default=Decimal(0))
        if self.ml.order_notional < least:
            remedy = f"be at least {least}, the largest min_notional of the instruments"
            problems.append(Problem(("ml", "order_notional"), str(self.ml.order_notional), remedy))
        for entry in own:
            entries = self.ml.instruments.get(entry.symbol)
            if entries is not None and entries.order_notional < entry.min_notional:
                at_fault = ("ml", "instruments", entry.symbol, "order_notional")
                remedy = f"be at least {entry.min_notional}, its min_notional"
                problems.append(Problem(at_fault, str(entries.order_notional), remedy))
        symbols = sorted({entry.symbol for entry in self.instruments})
        named: list[tuple[KeyPath, str]]
        named = [(("risk", "instruments"), symbol) for symbol in self.risk.instruments]
        named += [(("ml", "instruments"), symbol) for symbol in self.ml.instruments]
        for number, strategy in self.risk.strategies.items():
            at_fault = ("risk", "strategies", number, "instruments")
            named += [(at_fault, symbol) for symbol in strategy.instruments]
        for path, symbol in named:
            if symbol not in symbols:
                remedy = f"be a symbol of [[instruments]]: {', '.join(symbols)}"
                problems.append(Problem(path, symbol, remedy))
        # Two for each venue, and ta, ml, risk and storage: pipeline.topology.components.
        components = 2 * len({entry.venue for entry in self.instruments}) + 4
        if self.breakers.min_components > components:
            remedy = f"be at most {components}, the number of components"
            at_fault = ("breakers", "min_components")
            problems.append(Problem(at_fault, self.breakers.min_components, remedy))
        refuse(problems)
        return self

    def _add_a_market(self, currency: str) -> str:
        own = self.currency
        return f"add an instrument {currency}/{own} or {own}/{currency}"

    def affinity(self, host: str | None = None) -> dict[str, Cpus]:
        """Return each process's CPUs on a host (default: this one), over those of every host."""
        return {process: cpus for process, cpus, _ in self.affinity_sources(host)}

    def affinity_sources(self, host: str | None = None) -> Iterator[tuple[str, Cpus, KeyPath]]:
        """Yield each process, its CPUs on a host (default: this one), and the key that says so."""
        own_name = host or socket.gethostname()
        own = self.hosts.get(own_name, Host()).affinity
        default = self.hosts.get("default", Host()).affinity
        for process in Affinity.model_fields:
            name, table = (
                (own_name, own) if process in own.model_fields_set else ("default", default)
            )
            yield process, getattr(table, process), ("hosts", name, "affinity", process)

    def resolved(self) -> dict[str, Any]:
        """Return what the stages need, as plain data with sorted keys; decimals are text.

        Equal configurations give equal JSON. The CPUs are left out: they change from host to host
        and are the supervisor's business.
        """
        plain = _plain(self.model_dump(exclude={"hosts"}))
        assert isinstance(plain, dict)
        return plain


def _plain(value: object) -> object:
    if isinstance(value, dict):
        return {key: _plain(value[key]) for key in sorted(value)}
    if isinstance(value, tuple | list):
        return [_plain(entry) for entry in value]
    return money_to_text(to_e8(value)) if isinstance(value, Decimal) else value
