"""Frames as the venues send them, written by hand, with checksums made here and nowhere else."""

from __future__ import annotations

import zlib
from collections.abc import Iterable, Mapping

from tests.workers.feed.pair import listing
from workers.feed.decoding import UNLIMITED, Listing

Levels = Iterable[tuple[str, str]]

LISTINGS: Mapping[str, tuple[Listing, ...]] = {
    "binance": (listing("BTCUSDT"), listing("ETHUSDT", 1)),
    "binance_usdm": (listing("BTCUSDT"),),
    "kraken": (listing("BTC/USD", 0, 1),),
    "kraken_v1": (listing("XBT/USD", 0, 5),),
    "okx": (listing("BTC-USDT", 0, 1),),
    "coinbase": (listing("BTC-USD"), listing("ETH-USD", 1)),
}
DEPTHS = {"kraken": 10, "kraken_v1": 10, "okx": 400}


def depth(venue: str) -> int:
    return DEPTHS.get(venue, UNLIMITED)


def pairs(levels: Levels) -> str:
    return ",".join(f'["{price}","{quantity}"]' for price, quantity in levels)


def binance_trade(trade_id: int, price: str = "100.01", **more: str) -> str:
    extra = "".join(f',"{name}":{value}' for name, value in more.items())
    return (
        '{"stream":"btcusdt@trade","data":{"e":"trade","E":1723161255343,"s":"BTCUSDT",'
        f'"t":{trade_id},"p":"{price}","q":"0.02000000","T":1723161255342,"m":true,"M":true{extra}}}}}'
    )


def binance_ticker(update: int, bid: str = "100.00", ask: str = "100.01") -> str:
    return (
        f'{{"stream":"btcusdt@bookTicker","data":{{"u":{update},"s":"BTCUSDT","b":"{bid}",'
        f'"B":"3.78826000","a":"{ask}","A":"1.50000000"}}}}'
    )


def binance_depth(
    first: int, final: int, bids: Levels = (), asks: Levels = (), previous: int | None = None
) -> str:
    before = "" if previous is None else f'"pu":{previous},'
    return (
        '{"stream":"btcusdt@depth@100ms","data":{"e":"depthUpdate","E":1723161255208,"s":"BTCUSDT",'
        f'"U":{first},"u":{final},{before}"b":[{pairs(bids)}],"a":[{pairs(asks)}]}}}}'
    )


def binance_snapshot(last: int, bids: Levels, asks: Levels) -> str:
    return f'{{"lastUpdateId":{last},"bids":[{pairs(bids)}],"asks":[{pairs(asks)}]}}'


def kraken_crc(bids: Levels, asks: Levels) -> int:
    """Of a whole book, best levels first."""
    texts = [text for level in (*list(asks)[:10], *list(bids)[:10]) for text in level]
    return zlib.crc32("".join(text.replace(".", "").lstrip("0") for text in texts).encode())


def kraken_book(kind: str, bids: Levels, asks: Levels, checksum: int) -> str:
    def levels(side: Levels) -> str:
        return ",".join(f'{{"price":{price},"qty":{quantity}}}' for price, quantity in side)

    return (
        f'{{"channel":"book","type":"{kind}","data":[{{"symbol":"BTC/USD","bids":[{levels(bids)}],'
        f'"asks":[{levels(asks)}],"checksum":{checksum},"timestamp":"2026-06-19T05:45:47.859908Z"}}]}}'
    )


def kraken_trade(*ids: int, side: str = "buy") -> str:
    entries = ",".join(
        f'{{"symbol":"BTC/USD","side":"{side}","price":100.1,"qty":0.00027625,"ord_type":"limit",'
        f'"trade_id":{each},"timestamp":"2023-10-06T17:35:55.440295Z"}}'
        for each in ids
    )
    return f'{{"channel":"trade","type":"update","data":[{entries}]}}'


def kraken_ticker(bid: str = "100.0", ask: str = "100.1") -> str:
    return (
        f'{{"channel":"ticker","type":"update","data":[{{"symbol":"BTC/USD","bid":{bid},"bid_qty":2.5,'
        f'"ask":{ask},"ask_qty":3.2,"last":100.0,"volume":163.28908096,"change":-2.5,"change_pct":0.24}}]}}'
    )


def kraken_v1_book(text: str) -> str:
    return f'[336,{text},"book-10","XBT/USD"]'


def v1_levels(levels: Levels) -> str:
    return ",".join(f'["{price}","{quantity}","1534614057.321597"]' for price, quantity in levels)


def okx_crc(bids: Levels, asks: Levels) -> int:
    bid_list, ask_list = list(bids)[:25], list(asks)[:25]
    parts = []
    for i in range(25):
        parts += [":".join(side[i]) for side in (bid_list, ask_list) if i < len(side)]
    value = zlib.crc32(":".join(parts).encode())
    return value - 2**32 if value >= 2**31 else value


def okx_book(action: str, bids: Levels, asks: Levels, checksum: int, more: str = "") -> str:
    def levels(side: Levels) -> str:
        return ",".join(f'["{price}","{quantity}","0","1"]' for price, quantity in side)

    return (
        f'{{"arg":{{"channel":"books","instId":"BTC-USDT"}},"action":"{action}","data":[{{'
        f'"asks":[{levels(asks)}],"bids":[{levels(bids)}],"ts":"1652459225464",'
        f'"checksum":{checksum}{more}}}]}}'
    )


def coinbase(channel: str, sequence: int, events: str) -> str:
    return (
        f'{{"channel":"{channel}","client_id":"","timestamp":"2026-07-16T20:28:52.601076929Z",'
        f'"sequence_num":{sequence},"events":[{events}]}}'
    )


def coinbase_book(sequence: int, kind: str, *updates: tuple[str, str, str]) -> str:
    texts = ",".join(
        f'{{"side":"{side}","event_time":"2026-07-16T20:28:52.506674Z","price_level":"{price}",'
        f'"new_quantity":"{quantity}"}}'
        for side, price, quantity in updates
    )
    return coinbase(
        "l2_data", sequence, f'{{"type":"{kind}","product_id":"BTC-USD","updates":[{texts}]}}'
    )


def coinbase_trades(sequence: int, *ids: int, side: str = "BUY") -> str:
    texts = ",".join(
        f'{{"product_id":"BTC-USD","trade_id":"{each}","price":"100.01","size":"0.00000002",'
        f'"time":"2026-07-15T03:40:11.746541Z","side":"{side}"}}'
        for each in ids
    )
    return coinbase("market_trades", sequence, f'{{"type":"update","trades":[{texts}]}}')


def coinbase_ticker(sequence: int, bid: str = "100.00", ask: str = "100.01") -> str:
    return coinbase(
        "ticker",
        sequence,
        '{"type":"update","tickers":[{"type":"ticker","product_id":"BTC-USD","price":"100.00",'
        f'"price_percent_chg_24_h":"-1.85","best_bid":"{bid}","best_bid_quantity":"1.5",'
        f'"best_ask":"{ask}","best_ask_quantity":"0.5"}}]}}',
    )


def coinbase_heartbeat(sequence: int) -> str:
    return coinbase(
        "heartbeats",
        sequence,
        '{"current_time":"2026-04-07 14:30:10.000000000 +0000 UTC","heartbeat_counter":"3049"}',
    )


BIDS = (("100.0", "1.50000000"), ("99.9", "2.00000000"))
ASKS = (("100.1", "0.50000000"), ("100.2", "4.00000000"))
_AFTER = (("100.0", "2.50000000"), ("99.9", "2.00000000"))
_V1_BIDS = (("5541.20000", "1.52900000"), ("5539.90000", "0.30000000"))
_V1_ASKS = (("5541.30000", "2.50700000"), ("5541.80000", "0.33000000"))
_V1_AFTER = (("5541.20000", "1.60000000"), ("5539.90000", "0.30000000"))

STREAMS: Mapping[str, tuple[str, ...]] = {
    "binance": (
        binance_depth(10, 12, [("99.90", "1.00000000")]),
        binance_trade(1),
        binance_ticker(5),
        binance_depth(13, 14, (), [("100.20", "0.00000000")]),
        binance_trade(2, i="77"),
        '{"stream":"btcusdt@kline_1m","data":{"e":"kline","E":1633998512068,"k":{"t":-1.5e3}}}',
        '{"result":null,"id":1}',
        '{"code":2,"msg":"Invalid request: unknown variant"}',
        (
            '{"e":"aggTrade","E":1633998512068,"s":"ETHUSDT","a":7,"p":"3.50","q":"2","f":1,"l":2,'
            '"T":1633998512067,"m":false,"M":true}'
        ),
        binance_depth(15, 20, [("99.80", "1.00000000")], [("100.10", "3.00000000")]),
        '{"stream":"!serverShutdown","data":{"e":"serverShutdown","E":1633998512068}}',
        binance_ticker(6, "100.01", "100.00"),
        binance_ticker(7),
        binance_depth(25, 26, [("99.70", "1.00000000")]),
    ),
    "binance_usdm": (
        binance_depth(10, 12, [("99.90", "1.000")], previous=8),
        binance_depth(14, 16, (), [("100.20", "2.000")], previous=12),
        (
            '{"stream":"btcusdt@trade","data":{"e":"trade","E":1723161256322,"T":1723161256322,'
            '"s":"BTCUSDT","t":5266583935,"p":"100.30","q":"0.006","X":"MARKET","m":false}}'
        ),
        (
            '{"stream":"btcusdt@trade","data":{"e":"trade","E":1723161256322,"T":1723161256322,'
            '"s":"BTCUSDT","t":5266583936,"p":"0","q":"0","X":"NA","m":false}}'
        ),
        (
            '{"e":"bookTicker","u":600,"s":"BTCUSDT","ps":"BTC","b":"7.61","B":"2","a":"7.62","A":"297",'
            '"T":1626992741012,"E":1626992741017}'
        ),
        binance_depth(18, 19, (), [("100.20", "0.000")], previous=16),
    ),
    "kraken": (
        (
            '{"channel":"status","type":"update","data":[{"version":"2.0.10","system":"online",'
            '"api_version":"v2","connection_id":8449421496178335765}]}'
        ),
        (
            '{"method":"subscribe","result":{"channel":"book","depth":10,"symbol":"BTC/USD"},'
            '"success":true,"time_in":"2026-06-19T05:45:47.485356Z"}'
        ),
        '{"channel":"heartbeat"}',
        kraken_book("snapshot", BIDS, ASKS, kraken_crc(BIDS, ASKS)),
        kraken_book("update", [_AFTER[0]], (), kraken_crc(_AFTER, ASKS)),
        kraken_trade(1, 2),
        kraken_ticker(),
        kraken_book("update", [("99.5", "1.00000000")], (), 17),
        kraken_book("update", [("99.4", "1.00000000")], (), 18),
        kraken_book("snapshot", BIDS, ASKS, kraken_crc(BIDS, ASKS)),
        '{"channel":"instrument","type":"update","data":{"assets":[1e5]}}',
    ),
    "kraken_v1": (
        '{"connectionID":17843232920108168701,"event":"systemStatus","status":"online"}',
        kraken_v1_book(f'{{"as":[{v1_levels(_V1_ASKS)}],"bs":[{v1_levels(_V1_BIDS)}]}}'),
        kraken_v1_book(
            f'{{"b":[{v1_levels([_V1_AFTER[0]])}],"c":"{kraken_crc(_V1_AFTER, _V1_ASKS)}"}}'
        ),
        '[336,{"a":["5525.40000",1,"1.000"],"b":["5525.10000",1,"1.000"]},"ticker","XBT/USD"]',
        '[337,[["5541.20000","0.15850568","1534614057.321597","s","l",""]],"trade","XBT/USD"]',
        kraken_v1_book(
            f'{{"a":[["5541.30000","2.50700000","1534614248.456738","r"]]}},'
            f'{{"b":[["5541.20000","1.60000000","1534614248.765567"]],'
            f'"c":"{kraken_crc(_V1_AFTER, _V1_ASKS)}"}}'
        ),
        kraken_v1_book('{"b":[["5500.00000","1.00000000","1534614248.7"]],"c":"1"}'),
    ),
    "okx": (
        '{"event":"subscribe","arg":{"channel":"books","instId":"BTC-USDT"}}',
        "pong",
        okx_book("snapshot", BIDS, ASKS, okx_crc(BIDS, ASKS), ',"seqId":10,"prevSeqId":-1'),
        okx_book("update", [_AFTER[0]], (), okx_crc(_AFTER, ASKS), ',"seqId":12,"prevSeqId":10'),
        '{"arg":{"channel":"tickers","instId":"BTC-USDT"},"data":[{"last":"-1.5"}]}',
        okx_book("update", [("99.5", "1")], (), 0, ',"seqId":15,"prevSeqId":12'),
    ),
    "coinbase": (
        coinbase("subscriptions", 0, '{"subscriptions":{"level2":["BTC-USD"]}}'),
        coinbase_book(1, "snapshot", ("bid", "100.00", "1.5"), ("offer", "100.01", "2")),
        coinbase_book(2, "update", ("bid", "99.99", "0.00000001")),
        coinbase_trades(3, 12, 11),
        coinbase_heartbeat(4),
        coinbase_ticker(5),
        coinbase_trades(6, 13, side="SELL"),
        coinbase_book(8, "update", ("bid", "99.98", "1")),
        coinbase_book(9, "snapshot", ("bid", "100.00", "1.5"), ("offer", "100.01", "2")),
        '{"type":"error","message":"authentication failure"}',
        coinbase("status", 10, '{"type":"snapshot","products":[{"id":"BTC-USD","x":-1.5e-3}]}'),
    ),
}
"""What a connection may bring, in order, for all that the decoders do."""

SNAPSHOTS: Mapping[str, str] = {
    "binance": binance_snapshot(13, [("100.00", "1.00000000")], [("100.20", "1.00000000")]),
    "binance_usdm": binance_snapshot(13, [("100.00", "1.000")], [("100.20", "1.000")]),
}
"""What goes with the streams that need one from elsewhere; it comes after their fourth frame."""
