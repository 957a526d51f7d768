"""nautilus_trader's risk engine, on orders like those that risk is measured with."""

from __future__ import annotations

import importlib.util
from decimal import Decimal
from time import perf_counter_ns
from typing import Any

import numpy as np

from pipeline.records import Array

NAUTILUS = "nautilus_trader"
REFUSED = 0.2


def is_installed() -> bool:
    """Whether nautilus_trader is there."""
    return importlib.util.find_spec(NAUTILUS) is not None


def nautilus(checks: int, instruments: int, seed: int) -> tuple[Array, float]:
    """Have its engine check limit buys on a cash account; a fifth is refused for its size.

    It has no reservations, exposures, stops or losses to look at: what is left is the smaller part
    of what risk does. Orders and commands are made before.

    Returns:
        How long each took in ns, int64 of shape (checks,), and the share that was refused.
    """
    from nautilus_trader.common.component import LiveClock, MessageBus
    from nautilus_trader.core.uuid import UUID4
    from nautilus_trader.execution.messages import SubmitOrder
    from nautilus_trader.model import currencies, enums, events, identifiers, objects
    from nautilus_trader.risk.config import RiskEngineConfig
    from nautilus_trader.risk.engine import RiskEngine
    from nautilus_trader.test_kit.stubs.component import TestComponentStubs

    trader = identifiers.TraderId("PEER-1")
    clock, cache = LiveClock(), TestComponentStubs.cache()
    bus = MessageBus(trader_id=trader, clock=clock)
    portfolio = _portfolio(bus, cache, clock)
    most = objects.Money(1_000_000_000, currencies.USDT)
    none = objects.Money(0, currencies.USDT)
    account = events.AccountState(
        account_id=identifiers.AccountId("SIM-1"),
        account_type=enums.AccountType.CASH,
        base_currency=None,
        reported=True,
        balances=[objects.AccountBalance(most, none, most)],
        margins=[],
        info={},
        event_id=UUID4(),
        ts_event=0,
        ts_init=0,
    )
    portfolio.update_account(account)
    markets = [_market(number) for number in range(instruments)]
    for market in markets:
        cache.add_instrument(market)
        cache.add_quote_tick(_quote(market))
    passed: list[Any] = []
    refused: list[Any] = []
    bus.register(endpoint="ExecEngine.execute", handler=passed.append)
    bus.register(endpoint="ExecEngine.process", handler=refused.append)
    rate = f"{100 * checks}/00:00:01"
    engine = RiskEngine(
        portfolio=portfolio,
        msgbus=bus,
        cache=cache,
        clock=clock,
        config=RiskEngineConfig(max_order_submit_rate=rate, max_order_modify_rate=rate),
    )
    engine.start()

    strategy = identifiers.StrategyId("PEER-001")
    factory = TestComponentStubs.order_factory()
    choose = np.random.default_rng(seed)
    commands = []
    for _ in range(checks):
        market = markets[choose.integers(instruments)]
        lots = 10**6 if choose.random() < REFUSED else int(choose.integers(10, 1000))
        order = factory.limit(
            market.id,
            enums.OrderSide.BUY,
            market.make_qty(lots / 1000),
            market.make_price(999.9 - int(choose.integers(0, 100)) / 100),
        )
        cache.add_order(order)
        commands.append(SubmitOrder(trader, strategy, order, UUID4(), clock.timestamp_ns()))
    took = np.zeros(checks, np.int64)
    for number, command in enumerate(commands):
        began = perf_counter_ns()
        engine.execute(command)
        took[number] = perf_counter_ns() - began
    assert len(passed) + len(refused) == checks
    return took, len(refused) / checks


def _portfolio(bus: Any, cache: Any, clock: Any) -> Any:
    from nautilus_trader.portfolio.portfolio import Portfolio

    return Portfolio(msgbus=bus, cache=cache, clock=clock)


def _market(number: int) -> Any:
    from nautilus_trader.model.currencies import USDT
    from nautilus_trader.model.enums import CurrencyType
    from nautilus_trader.model.identifiers import InstrumentId, Symbol, Venue
    from nautilus_trader.model.instruments import CurrencyPair
    from nautilus_trader.model.objects import Currency, Money, Price, Quantity

    symbol, fee = Symbol(f"C{number}USDT"), Decimal("0.001")
    return CurrencyPair(
        instrument_id=InstrumentId(symbol, Venue("SIM")),
        raw_symbol=symbol,
        base_currency=Currency(f"C{number}", 8, 0, f"C{number}", CurrencyType.CRYPTO),
        quote_currency=USDT,
        price_precision=2,
        size_precision=3,
        price_increment=Price(0.01, 2),
        size_increment=Quantity(0.001, 3),
        max_quantity=Quantity(100, 3),
        min_quantity=Quantity(0.001, 3),
        min_notional=Money(5, USDT),
        maker_fee=fee,
        taker_fee=fee,
        ts_event=0,
        ts_init=0,
    )


def _quote(market: Any) -> Any:
    from nautilus_trader.model.data import QuoteTick

    bid, ask, size = market.make_price(999.9), market.make_price(1000.1), market.make_qty(1000)
    return QuoteTick(market.id, bid, ask, size, size, 0, 0)
