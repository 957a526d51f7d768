"""What instruments may be, and which currencies they convert."""

from __future__ import annotations

import subprocess
import sys

import pytest

from tests.pipeline.config.reading import read, refused

INSTRUMENT = """\
[[instruments]]
symbol = "BTCUSDT"
venue = "sim"
base = "BTC"
quote = "USDT"
tick = "0.01"
lot = "0.001"
min_notional = "5"
maker_fee = "-0.0001"
taker_fee = "0.001"
price = "60000"
"""


@pytest.mark.parametrize(
    ("line", "instead", "message"),
    [
        (2, 'symbol = "btc"', "symbol was 'btc', must be 1 to 32 of A-Z 0-9 / : . _ -"),
        (2, 'symbol = "BTC/USDT"', "symbol was 'BTC/USDT', must be without \"/\", which separates"),
        (3, 'venue = "SIM"', "venue was 'SIM', must be 1 to 32 of a-z 0-9 _ -"),
        (5, 'quote = "BTC"', "quote was 'BTC', must be another currency than base"),
        (6, "tick = 0.01", 'tick was 0.01, must be a decimal in quotes, e.g. "0.01"'),
        (6, 'tick = "1e-2"', "tick was '1e-2', must be a decimal in quotes, e.g. \"0.01\""),
        (6, 'tick = "0"', "tick was '0', must be greater than 0"),
        (7, 'lot = "0.000000001"', "lot was '0.000000001', must have at most 8 decimal places"),
        (8, 'min_notional = "-1"', "min_notional was '-1', must be greater than or equal to 0"),
        (
            8,
            'min_quantity = "0.0005"\nmin_notional = "5"',
            "min_quantity was '0.0005', must be a multiple of the lot, 0.001",
        ),
        (
            8,
            'max_quantity = "0.001"\nmin_quantity = "0.002"\nmin_notional = "5"',
            "max_quantity was '0.001', must be 0 or at least min_quantity, 0.002",
        ),
        (10, 'taker_fee = "0.1"', "taker_fee was '0.1', must be a rate in -0.05 .. 0.05"),
        (11, 'price = "0.001"', "price was '0.001', must be a multiple of the tick, 0.01"),
        (11, 'price = "-1"', "price was '-1', must be greater than 0"),
        (3, 'venue = "binance"', "price was '60000', must be left out: 'binance' has prices of"),
        (11, "", "price was None (default), must be given for venue 'sim': its market begins"),
        (6, "", "tick is missing; add it"),
    ],
)
def test_an_instrument_that_cannot_be_is_refused(line: int, instead: str, message: str) -> None:
    lines = INSTRUMENT.splitlines()
    lines[line - 1] = instead
    named = 11 if "left out" in message else line if instead else 1
    (problem,) = refused("\n".join(lines))
    assert problem.startswith(f"c.toml:{named}: instruments.0.{message}")


def test_what_several_keys_say_together_is_checked_at_the_right_line() -> None:
    text = INSTRUMENT + INSTRUMENT.replace('"5"', '"2000"')
    assert refused(text) == [
        (
            "c.toml:13: instruments.1.symbol was 'BTCUSDT', must differ from instruments.0.symbol: "
            "venue sim has it once"
        ),
        (
            "c.toml: ml.order_notional was '1500' (default), must be at least 2000, the largest "
            "min_notional of the instruments"
        ),
    ]


def test_instruments_of_a_real_venue_begin_nowhere() -> None:
    text = INSTRUMENT.replace("sim", "binance").replace('price = "60000"\n', "")
    loaded = read(text)
    assert loaded.config.resolved()["instruments"][0]["price"] is None
    assert "instruments.0.price" not in loaded.values()


def test_instruments_can_be_used_without_the_configurations_library() -> None:
    code = "import sys, pipeline.instruments; sys.exit('pydantic' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0


# Currencies


def test_a_currency_that_nothing_converts_is_refused() -> None:
    text = 'currency = "EUR"\nbalances = { SOL = "1", EUR = "2", USDT = "-1" }\n' + INSTRUMENT
    problem = "c.toml:2: balances.USDT was '-1', must be greater than or equal to 0"
    assert refused(text) == [problem]
    assert refused(text.replace('"-1"', '"1"')) == [
        (
            "c.toml:2: balances.SOL was 'SOL', must be left out, or be converted: add an "
            "instrument SOL/EUR or EUR/SOL"
        ),
        (
            "c.toml:2: balances.EUR was 'EUR', must be left out: that of the account's own "
            "currency is equity"
        ),
        (
            "c.toml:2: balances.USDT was 'USDT', must be left out, or be converted: add an "
            "instrument USDT/EUR or EUR/USDT"
        ),
        (
            "c.toml:7: instruments.0.quote was 'USDT', must be EUR, the account's, or be converted "
            "for BTCUSDT: add an instrument USDT/EUR or EUR/USDT"
        ),
    ]


@pytest.mark.parametrize(("base", "quote"), [("USDT", "EUR"), ("EUR", "USDT")])
def test_a_currency_that_an_instrument_converts_is_taken(base: str, quote: str) -> None:
    between = INSTRUMENT.replace('"USDT"', f'"{quote}"').replace('"BTC"', f'"{base}"')
    text = 'currency = "EUR"\nbalances = { USDT = "1.50" }\n' + INSTRUMENT
    config = read(text + between.replace("BTCUSDT", f"{base}{quote}")).config
    assert config.resolved()["balances"] == {"USDT": "1.5"}
