"""The three protocols over real sockets, each against the market itself."""

from __future__ import annotations

import json
import zlib
from decimal import Decimal
from typing import Any

import pytest
from picows import WSMsgType

from tests.workers.exchange.samples import LISTINGS, client, fetch, run, serving
from workers.exchange import coinbase, connection
from workers.exchange.exchange import Exchange

Sides = dict[str, dict[str, str]]
MARKET = Exchange(LISTINGS, seed=1, volatility_bp=2, rate=0)
PAIRS = ["BTC/USDT", "ETH/USDT", "DOGE/USDT"]


def texts_of(instrument: int, index: int, depth: int | None = None) -> Sides:
    """The market's own book after an event, as text."""
    book = MARKET.book(instrument, index)
    price, quantity = MARKET.prices[instrument].text, MARKET.quantities[instrument].text
    return {
        name: {price(p): quantity(q) for p, q in levels[:depth]}
        for name, levels in (("bids", book.bids), ("asks", book.asks))
    }


def apply(side: dict[str, str], price: str, quantity: str) -> None:
    if Decimal(quantity):
        side[price] = quantity
    else:
        side.pop(price, None)


def test_a_binance_book_follows_from_snapshot_and_stream() -> None:
    async def test() -> None:
        streams = "btcusdt@depth@100ms"
        async with (
            serving() as (_, port),
            client(port, f"/stream?streams={streams}&after=0&count=4000") as alice,
        ):
            # As of an event between two messages of the stream.
            _, _, snapshot = await fetch(port, "/api/v3/depth?symbol=BTCUSDT&limit=5000&after=777")
            book = {"bids": dict(snapshot["bids"]), "asks": dict(snapshot["asks"])}
            assert book == texts_of(0, 777)
            latest, previous = snapshot["lastUpdateId"], None
            for message in await alice.messages(20):
                data: Any = message["data"]
                assert message["stream"] == streams
                assert (data["e"], data["s"]) == ("depthUpdate", "BTCUSDT")
                assert data["E"] == MARKET.time_us(data["i"], "binance") // 1000
                assert previous is None or data["U"] == previous + 1
                previous = data["u"]
                if data["u"] <= latest:
                    continue
                for name, key in (("bids", "b"), ("asks", "a")):
                    for price, quantity in data[key]:
                        apply(book[name], price, quantity)
                assert book == texts_of(0, data["i"])
            assert previous == MARKET.history.top(0, 4000).update_id

    run(test())


def test_binance_sends_raw_partial_and_aggregated_streams() -> None:
    async def test() -> None:
        path = "/ws/ethusdt@aggTrade/ethusdt@trade/ethusdt@depth5/ethusdt@depth?after=0&count=2000"
        async with serving() as (_, port), client(port, path) as alice:
            trades = MARKET.history.trades(1, 2000, 2000)
            messages = await alice.messages(2 * len(trades) + 2)
            raw, aggregated = (
                [each for each in messages if each.get("e") == kind]
                for kind in ("trade", "aggTrade")
            )
            assert [each["t"] for each in raw] == trades["trade_id"].tolist()
            for one, other in zip(raw, aggregated, strict=True):
                assert (other["a"], other["f"], other["l"]) == (one["t"],) * 3
                assert (other["p"], other["q"], other["m"]) == (one["p"], one["q"], one["m"])
            [partial] = [each for each in messages if "lastUpdateId" in each]
            book = texts_of(1, 2000, 5)
            assert dict(partial["bids"]) == book["bids"]  # type: ignore[call-overload]
            assert dict(partial["asks"]) == book["asks"]  # type: ignore[call-overload]
            [update] = [each for each in messages if each.get("e") == "depthUpdate"]
            assert (update["U"], update["i"]) == (1, 2000)
            request = {"method": "SET_PROPERTY", "params": ["combined", True], "id": 1}
            assert await alice.ask(request) == {"result": None, "id": 1}

    run(test())


def checksum(sides: Sides) -> int:
    """Kraken's, of the text as it was sent."""
    best = [level for name in ("asks", "bids") for level in list(sides[name].items())[:10]]
    digits = (text.replace(".", "").lstrip("0") for level in best for text in level)
    return zlib.crc32("".join(digits).encode())


@pytest.mark.parametrize("depth", [10, 25, 100])
def test_a_kraken_book_is_proved_by_its_checksums(depth: int) -> None:
    async def test() -> None:
        async with serving() as (_, port), client(port, "/v2?after=0&count=3000") as alice:
            status = json.loads(await alice.texts.get())
            assert (status["channel"], status["data"][0]["system"]) == ("status", "online")
            params = {"channel": "book", "symbol": PAIRS[:1], "depth": depth}
            ack = await alice.ask({"method": "subscribe", "params": params, "req_id": 7})
            assert isinstance(ack, dict)
            assert (ack["success"], ack["req_id"]) == (True, 7)
            assert ack["result"] == {
                "channel": "book",
                "symbol": "BTC/USDT",
                "depth": depth,
                "snapshot": True,
            }
            sides: Sides = {"bids": {}, "asks": {}}
            for number in range(400):
                text = await alice.texts.get()
                message = json.loads(text, parse_float=str, parse_int=str)
                assert message["type"] == ("update" if number else "snapshot")
                [data] = message["data"]
                for name, side in sides.items():
                    for level in data[name]:
                        apply(side, level["price"], level["qty"])
                    best = sorted(side, key=Decimal, reverse=name == "bids")[:depth]
                    sides[name] = {price: side[price] for price in best}
                assert checksum(sides) == int(data["checksum"])
            tops = MARKET.history.tops(0, 0, 3000)
            assert sides in [texts_of(0, top.update_id, depth) for top in tops]

    run(test())


def test_kraken_sends_trades_tickers_and_instruments() -> None:
    async def test() -> None:
        path = "/v2?after=1000&count=2000"
        async with serving() as (_, port), client(port, path) as alice:
            await alice.texts.get()
            instrument = {"method": "subscribe", "params": {"channel": "instrument"}}
            await alice.ask(instrument)
            [reference] = await alice.messages(1)
            pairs = reference["data"]["pairs"]  # type: ignore[index]
            assert [pair["symbol"] for pair in pairs] == PAIRS
            assert pairs[2]["price_increment"] == 0.0005
            for channel, more in (("ticker", {"event_trigger": "bbo"}), ("trade", {"snapshot": 1})):
                params = {"channel": channel, "symbol": ["ETH/USDT"], **more}
                alice.transport.send(
                    WSMsgType.TEXT, json.dumps({"method": "subscribe", "params": params}).encode()
                )
            trades = MARKET.history.trades(1, 2000, 2000)
            quotes = MARKET.history.tops(1, 1000, 2000)
            found: dict[str, list[Any]] = {"trade": [], "ticker": []}
            kinds = []
            while len(found["ticker"]) < len(quotes) + 1 or found["trade"][-1:] == []:
                message = json.loads(await alice.texts.get())
                if "channel" in message:
                    found[message["channel"]] += message["data"]
                    kinds.append((message["channel"], message["type"]))
            assert ("trade", "snapshot") in kinds
            ids = [trade["trade_id"] for trade in found["trade"]]
            assert ids == list(range(ids[0], ids[0] + len(ids)))
            assert ids[0] in trades["trade_id"]
            for top, ticker in zip(quotes, found["ticker"][1:], strict=False):
                assert ticker["bid"] == float(MARKET.prices[1].text(top.bid))
                assert ticker["ask_qty"] == float(MARKET.quantities[1].text(top.ask_quantity))

    run(test())


@pytest.mark.parametrize(
    ("request_", "error"),
    [
        (b"nonsense", "JSON parse error"),
        (b"[]", "Message must be an object"),
        ({"method": "x"}, "Unsupported method"),
        ({"method": "subscribe"}, "Params must be an object"),
        ({"method": "subscribe", "params": {"channel": "x"}}, "Unsupported channel x"),
        ({"method": "subscribe", "params": {"channel": "book"}}, "Symbol(s) not found"),
        (
            {"method": "subscribe", "params": {"channel": "book", "symbol": ["X/Y"]}},
            "Currency pair not supported X/Y",
        ),
        (
            {"method": "subscribe", "params": {"channel": "book", "symbol": PAIRS, "depth": 11}},
            "Subscription depth not supported 11",
        ),
        (
            {"method": "unsubscribe", "params": {"channel": "trade", "symbol": PAIRS[:1]}},
            "Subscription Not Found",
        ),
        (
            {
                "method": "subscribe",
                "params": {"channel": "ticker", "symbol": PAIRS, "event_trigger": "x"},
            },
            "Event trigger not supported x",
        ),
    ],
)
def test_kraken_refuses_by_name(request_: object, error: str) -> None:
    async def test() -> None:
        async with serving() as (_, port), client(port, "/v2") as alice:
            await alice.texts.get()
            refusal = await alice.ask(request_)
            assert isinstance(refusal, dict)
            assert (refusal["success"], refusal["error"]) == (False, error)

    run(test())


def test_a_kraken_subscription_ends_and_begins_anew() -> None:
    async def test() -> None:
        async with serving() as (_, port), client(port, "/v2?count=0") as alice:
            await alice.texts.get()
            book = {"channel": "book", "symbol": ["ETH/USDT"]}
            await alice.ask({"method": "subscribe", "params": book})
            await alice.texts.get()
            again = await alice.ask({"method": "subscribe", "params": book})
            assert isinstance(again, dict)
            assert again["error"] == "Already subscribed"
            ended = await alice.ask({"method": "unsubscribe", "params": book})
            assert isinstance(ended, dict)
            assert ended["success"]
            assert await alice.ask({"method": "ping", "req_id": 3}) == {
                "method": "pong",
                "req_id": 3,
                "time_in": "2026-01-01T00:00:00.000000Z",
                "time_out": "2026-01-01T00:00:00.000000Z",
            }

    run(test())


def test_kraken_breaks_silence_with_heartbeats(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connection, "BEAT_EVERY", 0.01)

    async def test() -> None:
        async with serving() as (_, port), client(port, "/v2?count=0") as alice:
            await alice.texts.get()
            params = {"channel": "trade", "symbol": PAIRS}
            alice.transport.send(
                WSMsgType.TEXT, json.dumps({"method": "subscribe", "params": params}).encode()
            )
            await alice.messages(3)
            assert await alice.messages(2) == [{"channel": "heartbeat"}] * 2

    run(test())


def test_coinbase_numbers_every_message_of_a_connection() -> None:
    async def test() -> None:
        async with (
            serving() as (_, port),
            client(port, "/coinbase?after=500&count=3000") as alice,
        ):
            for channel in ("level2", "market_trades", "ticker", "ticker_batch"):
                request = {"type": "subscribe", "product_ids": ["ETH-USDT"], "channel": channel}
                alice.transport.send(WSMsgType.TEXT, json.dumps(request).encode())
            trades = MARKET.history.trades(1, 3000, 3000)
            sides: dict[str, dict[str, str]] = {"bid": {}, "offer": {}}
            ids: list[int] = []
            number = 0
            kinds = set()
            while not ids or ids[-1] < trades["trade_id"][trades["index"] <= 3000][-1]:
                message = json.loads(await alice.texts.get())
                assert message["sequence_num"] == number
                number += 1
                [event] = message["events"]
                kinds.add((message["channel"], event.get("type")))
                for update in event.get("updates", []):
                    apply(sides[update["side"]], update["price_level"], update["new_quantity"])
                if message["channel"] == "market_trades":
                    ids += [int(trade["trade_id"]) for trade in reversed(event["trades"])]
            assert ids == list(range(ids[0], ids[-1] + 1))
            book = texts_of(1, 3000)
            assert sides == {"bid": book["bids"], "offer": book["asks"]}
            assert {
                ("l2_data", "snapshot"),
                ("l2_data", "update"),
                ("market_trades", "snapshot"),
                ("market_trades", "update"),
                ("ticker", "snapshot"),
                ("ticker", "update"),
                ("ticker_batch", "snapshot"),
                ("subscriptions", None),
            } <= kinds

    run(test())


def test_coinbase_sends_heartbeats_and_forgets_what_is_unsubscribed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(connection, "BEAT_EVERY", 0.01)

    async def test() -> None:
        async with serving() as (_, port), client(port, "/coinbase?count=0") as alice:
            level2 = {"type": "subscribe", "product_ids": ["BTC-USDT"], "channel": "level2"}
            await alice.ask(level2)
            [listed] = await alice.messages(1)
            assert listed["events"] == [{"subscriptions": {"level2": ["BTC-USDT"]}}]
            gone = await alice.ask({**level2, "type": "unsubscribe"})
            assert isinstance(gone, dict)
            assert gone["events"] == [{"subscriptions": {}}]
            await alice.ask({"type": "subscribe", "channel": "heartbeats"})
            beats = [message["events"][0] for message in await alice.messages(3)]  # type: ignore[index]
            assert [beat["heartbeat_counter"] for beat in beats] == [0, 1, 2]

    run(test())


@pytest.mark.parametrize(
    ("request_", "error"),
    [
        (b"{", "failure to parse JSON"),
        ({"type": "x"}, "type must be one of subscribe, unsubscribe"),
        ({"type": "subscribe", "channel": "x"}, "channel was 'x', must be one of level2"),
        ({"type": "subscribe", "channel": "level2", "product_ids": 1}, "must be a list"),
        ({"type": "subscribe", "channel": "level2", "product_ids": ["X"]}, "X is not a valid"),
    ],
)
def test_coinbase_refuses_by_name(request_: object, error: str) -> None:
    async def test() -> None:
        async with serving() as (_, port), client(port, "/") as alice:
            refusal = await alice.ask(request_)
            assert isinstance(refusal, dict)
            assert refusal["type"] == "error"
            assert error in refusal["message"]

    run(test())


def test_coinbase_closes_who_subscribes_to_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connection, "BEAT_EVERY", 0.01)
    monkeypatch.setattr(coinbase, "_PATIENCE", 0.02)

    async def test() -> None:
        async with serving() as (_, port), client(port, "/coinbase") as alice:
            await alice.transport.wait_disconnected()

    run(test())


def test_only_the_venues_that_were_asked_for_are_served() -> None:
    async def test() -> None:
        async with serving(venues=("kraken",)) as (_, port):
            assert (await fetch(port, "/api/v3/time"))[0] == 404
            assert (await fetch(port, "/0/public/Time"))[0] == 200
            with pytest.raises(Exception, match="404"):
                async with client(port, "/stream"):
                    pass

    run(test())
