"""How the state of a run looks on a terminal, or in a line of a log."""

from __future__ import annotations

import dataclasses
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from rich.console import Console, ConsoleOptions, RenderResult
from rich.table import Table
from rich.text import Text

from pipeline import topology
from pipeline.breakers.explain import readable
from pipeline.breakers.health import Distance
from pipeline.instruments import instruments_from, money_to_text
from pipeline.supervisor.account import PERIODS, Account, Balance
from pipeline.supervisor.snapshot import Answers, Snapshot, percentile_us
from pipeline.vocabulary import Mode
from shm import Histogram

WIDTH = 110
"""Columns of a table that does not go to a terminal."""

_GAP = 2

_CODES = 3
"""So many of the codes of denials are shown, the most frequent ones."""

BOOK_NAMES = {"ta": "TA only", "ml": "ML only", "blend": "blend"}
"""The ways to score, as people read them."""

STYLES: Mapping[str, str] = {
    "closed": "green",
    "degraded": "yellow",
    "half_open": "yellow",
    "open": "bold red",
    "forced_open": "bold red",
    "uninit": "bold red",
    "invalid": "bold red",
    "unknown": "bold red",
    "disabled": "magenta",
    "metrics_only": "magenta",
}
"""How the name of a state is shown where there are colours."""


def console(*, stderr: bool = False) -> Console:
    """Return a console that is wide enough for the tables, wherever it goes."""
    made = Console(stderr=stderr)
    return made if made.is_terminal else Console(stderr=stderr, width=WIDTH)


def styled(state: str) -> Text:
    """Return the name of a state in its colour."""
    return Text(readable(state), STYLES.get(state, ""))


def rate(now: Snapshot, before: Snapshot | None, name: str) -> float | None:
    """Return the records a second that a process took between two snapshots."""
    if before is None or now.time_ns == before.time_ns:
        return None
    records = now.processes[name].records_in - before.processes[name].records_in
    return records * 1e9 / (now.time_ns - before.time_ns)


def as_line(
    now: Snapshot, before: Snapshot | None, seconds: float, config: Mapping[str, Any]
) -> str:
    """Return one line: what comes in, what goes out, how fast, and what it has earned."""
    market = rate(now, before, "feed")
    restarts = sum(state.restarts for state in now.processes.values())
    return (
        f"{seconds:7.1f} s  {now.processes['feed'].records_out:,} records"
        + ("" if market is None else f" ({market:,.0f}/s)")
        + f", {now.orders:,} orders, {now.fills:,} fills, {now.denied:,} denied, tick to order "
        f"p50 {_us(now.tick_to_order, 50)} p99 {_us(now.tick_to_order, 99)} us, "
        f"pnl {_money(now.pnl_e8)} {config['currency']}, {_books(now)}"
        + (f", {restarts} restarts" if restarts else "")
        + ("" if now.mode is Mode.NORMAL else f", mode {now.mode.label}")
        + ("" if _are_closed(now) else f", breakers: {_breakers(now).plain}")
    )


@dataclass(frozen=True, slots=True)
class StateTable:
    """The live table: a row per process, and what is held and earned below.

    On a terminal that is too narrow for all columns, some are left out, and none is cut off.
    """

    now: Snapshot
    before: Snapshot | None
    title: str
    config: Mapping[str, Any]

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        """Render it for a console's width."""
        rows = [self._row(name) for name in topology.SHOWN if name in self.now.processes]
        left_out: set[str] = set()
        for column in ("", "pid", "out", "in", "restarts", "waiting", "cpu"):
            left_out.add(column)
            if _width(rows, left_out) <= options.max_width:
                break
        table = Table(
            title=Text(self.title),
            title_justify="left",
            box=None,
            padding=(0, _GAP, 0, 0),
            pad_edge=False,
            header_style="bold underline",
        )
        shown = [column for column in rows[0] if column not in left_out]
        for column in shown:
            table.add_column(column, justify="left" if column == "stage" else "right", no_wrap=True)
        for row in rows:
            table.add_row(*(row[column] for column in shown))
        yield table
        yield Text.assemble("breakers: ", _breakers(self.now), _nearest(self.now))
        yield from map(Text, self._lines())

    def _row(self, name: str) -> dict[str, str]:
        now = self.now
        state = now.processes[name]
        consumed = [edge for edge in topology.edges(self.config) if edge.consumer == name]
        # A ring that wakes nobody is read when something else does: its hop says nothing.
        hop = Histogram.merged(now.rings[edge.ring].hop for edge in consumed if edge.wakes)
        speed = rate(now, self.before, name)
        return {
            "stage": name,
            "pid": str(state.pid or "-"),
            "cpu": ",".join(map(str, state.cpus)),
            "restarts": str(state.restarts),
            **({} if self.before is None else {"in/s": "-" if speed is None else f"{speed:,.0f}"}),
            "in": f"{state.records_in:,}",
            "out": f"{state.records_out:,}",
            "waiting": f"{sum(now.rings[edge.ring].depth for edge in consumed):,}",
            "hop p50": _us(hop, 50),
            "p99": _us(hop, 99),
            "through p50": _us(state.through, 50),
            "p99 ": _us(state.through, 99),
        }

    def _lines(self) -> Iterator[str]:
        now, currency = self.now, self.config["currency"]
        lots = {each.symbol: each for each in instruments_from(self.config)}
        held = ", ".join(
            f"{lots[symbol].lots_to_quantity(position)} {symbol}"
            for symbol, position in now.positions.items()
            if position
        )
        yield "hop: published to taken; through: input published to output published; us"
        yield (
            f"tick to order p50 {_us(now.tick_to_order, 50)}, p99 {_us(now.tick_to_order, 99)}, "
            f"p99.9 {_us(now.tick_to_order, 99.9)} us over {now.tick_to_order.count:,} orders"
        )
        said = ("trades", "quotes", "connects", "gaps", "resyncs", "malformed")
        yield "feed: " + ", ".join(f"{now.feed[name]:,} {name}" for name in said)
        bars = now.bars
        yield (
            f"bars: {bars['closed']:,} closed, {bars['late_trades']:,} trades too late for one, "
            f"{bars['restarts']:,} restarts of the indicators"
        )
        yield f"{now.orders:,} orders, {now.fills:,} fills, {now.denied:,} intents denied"
        yield f"equity {_money(now.equity_e8)} {currency}, pnl {_money(now.pnl_e8)} {currency}"
        if now.account.balances:
            yield "balances: " + ", ".join(
                _balance(name, each, currency) for name, each in now.account.balances.items()
            )
        yield f"held: {held or 'nothing'}"
        yield from _account(now.account, now.mode)
        yield f"model: {_model(now.model)}"
        yield f"at closes, net of costs: {_books(now)}"
        if now.notices is not None:
            yield "notices: " + ", ".join(f"{count} {name}" for name, count in now.notices.items())


def _books(now: Snapshot) -> str:
    return ", ".join(
        f"{BOOK_NAMES[name]} {book.result_bp + book.open_bp:+,.1f} bp ({book.trades:,} trades)"
        for name, book in now.total().items()
    )


def _model(model: Answers) -> str:
    if not model.asked:
        return "none has been asked"
    answered = model.asked - model.missing - model.stale
    without = [
        f"{count:,} {what}"
        for count, what in (
            (model.missing, "without an answer"),
            (model.stale, "for which too old"),
        )
        if count
    ]
    asked = [
        f"{count:,} {what}"
        for count, what in (
            (model.late, "late"),
            (model.refused, "refused"),
            (model.unasked, "not asked for"),
            (model.ignored, "ignored"),
        )
        if count
    ]
    own = f" (its process: {', '.join(asked)})" if asked else ""
    return f"{model.word}, {answered:,} answers" + "".join(f", {each}" for each in without) + own


def _balance(name: str, balance: Balance, currency: str) -> str:
    """Return what there is of a currency, its positions included, and what that is worth."""
    total = f"{money_to_text(balance.cash_e8 + balance.value_e8)} {name}"
    if name == currency:
        return total
    worth = f"{_money(balance.worth_e8)} {currency}" if balance.is_known else "no rate yet"
    return f"{total} ({worth})"


def _account(account: Account, mode: Mode) -> Iterator[str]:
    """Yield how near the account is to its limits, and what was denied."""
    why = f" ({account.why})" if account.why else ""
    yield (
        f"mode {mode.label}{why}, drawdown {account.drawdown_e6 / 1e4:.2f} "
        f"(at most {account.max_drawdown_e6 / 1e4:.2f}) of {account.drawdown_limit_bp / 100:g} %"
    )
    yield "result: " + ", ".join(
        f"{name} {_of(_money(account.results_e8[name]), -account.result_limits_e8[name])}"
        for name in PERIODS
    )
    orders = f"{account.open_orders:,} of {account.open_orders_limit:,} orders open"
    most = f" of {account.positions_limit:,}" if account.positions_limit else ""
    gross = _of(_money(account.gross_e8), account.gross_limit_e8)
    yield f"gross {gross}, {orders}, {account.positions:,}{most} instruments"
    if account.denied:
        shown = list(account.denied.items())[:_CODES]
        others = sum(account.denied.values()) - sum(count for _, count in shown)
        rest = [f"others {others:,}"] if others else []
        yield "denied: " + ", ".join([*(f"{code.name} {count:,}" for code, count in shown), *rest])


def _of(value: str, limit_e8: int) -> str:
    return f"{value} of {_money(limit_e8).removesuffix('.00')}" if limit_e8 else value


def _nearest(now: Snapshot) -> str:
    """Return what is nearest to the limit of its breaker."""
    if now.nearest is None:
        return ""
    component, distance = now.nearest
    what, value, limit, unit = quantity(distance)
    return f"; nearest to its limit: {component}, {what} {value} of {limit} {unit}"


def quantity(distance: Distance) -> tuple[str, str, str, str]:
    """Return a quantity's name, value, limit and unit as people read them."""
    scale, unit = (100, "%") if distance.unit == "bp" else (1, distance.unit)
    value = "-" if distance.value is None else f"{distance.value / scale:.0f}"
    name = distance.name.removesuffix("_ms").removesuffix("_bp")
    return name, value, f"{distance.limit / scale:g}", unit


def _are_closed(now: Snapshot) -> bool:
    return {now.global_breaker, *now.breakers.values()} == {"closed"}


def _breakers(now: Snapshot) -> Text:
    """Return each breaker that is not closed, and the global state if that is not."""
    states = {**now.breakers, "global": now.global_breaker}
    others = [(name, state) for name, state in states.items() if state != "closed"]
    if not others:
        return styled("closed")
    said = (Text.assemble(f"{name} ", styled(state)) for name, state in others)
    return Text(", ").join(said)


def _width(rows: Sequence[Mapping[str, str]], left_out: Collection[str]) -> int:
    columns = [column for column in rows[0] if column not in left_out]
    widths = (max(len(column), *(len(row[column]) for row in rows)) for column in columns)
    return sum(widths) + _GAP * len(columns)


def as_json(now: Snapshot, config: Mapping[str, Any]) -> dict[str, Any]:
    """Return the figures that `run --json` and `status --json` have in common."""
    return {
        "stages": now.stages(),
        "feed": dict(now.feed),
        "bars": dict(now.bars),
        "tick_to_order": now.latency(),
        "orders": now.orders,
        "fills": now.fills,
        "denied": now.denied,
        "queues": {
            ring: {
                "depth": state.depth,
                "high_water": state.high_water,
                "p50_us": percentile_us(state.hop, 50),
                "p99_us": percentile_us(state.hop, 99),
            }
            for ring, state in now.rings.items()
        },
        "model": {"state": now.model.word, **dataclasses.asdict(now.model)},
        "books": {
            **{name: book.as_json() for name, book in now.total().items()},
            "instruments": {
                symbol: {name: book.as_json() for name, book in books.items()}
                for symbol, books in now.books.items()
            },
        },
        "global_breaker": now.global_breaker,
        "breakers": dict(now.breakers),
        "breaker_nearest": None
        if now.nearest is None
        else {"component": now.nearest[0], **dataclasses.asdict(now.nearest[1])},
        "mode": now.mode.label,
        **({} if now.notices is None else {"notices": dict(now.notices)}),
        "account": now.account.as_json(config["currency"]),
        **now.money(config["currency"]),
    }


def _us(histogram: Histogram | None, percent: float) -> str:
    value = percentile_us(histogram, percent)
    return "-" if value is None else f"{value:,.1f}"


def _money(e8: int) -> str:
    # To the cent for people; the exact figure is in the JSON.
    return f"{float(money_to_text(e8)):,.2f}"
