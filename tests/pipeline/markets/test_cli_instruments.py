"""`bot4 instruments`."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

from click.testing import CliRunner, Result

from pipeline.cli.instruments import command
from pipeline.config import load
from pipeline.instruments import instruments_from
from tests.pipeline.markets.venues import Server, as_binance, as_kraken, binance_symbol


def bot4(server: Server, *arguments: str, venue: str = "binance") -> Result:
    return CliRunner().invoke(command, ["--venue", venue, "--url", server.url, *arguments])


def test_the_markets_are_a_table(server: Server) -> None:
    as_binance(
        server,
        binance_symbol("BTC", "USDT"),
        binance_symbol("X", "USDT", tickSize="0", status="BREAK"),
        binance_symbol("[red]Y", "USDT"),
    )
    done = bot4(server)
    assert (done.exit_code, done.stderr) == (0, "")
    title, _, *rest = done.stdout.splitlines()
    assert title.startswith("binance, 20")
    assert "(asked now, ccxt " in title
    rows = [[cell.strip() for cell in line.split("│")[1:-1]] for line in rest if "│" in line]
    fees = ["0.001", "0.001"]
    assert rows == [
        ["BTCUSDT", "BTC", "USDT", "0.01", "0.00001", "5", "0.00001", *fees, "yes"],
        ["XUSDT", "X", "USDT", "-", "0.00001", "5", "0.00001", *fees, "no"],
        ["[red]YUSDT", "[RED]Y", "USDT", "0.01", "0.00001", "5", "0.00001", *fees, "yes"],
    ]
    assert "(kept, ccxt " in bot4(server).stdout


def test_markets_can_be_named(server: Server) -> None:
    as_kraken(server)
    done = bot4(server, "--symbol", "XXBTZUSD", "--json", venue="kraken")
    document = json.loads(done.stdout)
    (instrument,) = document["instruments"]
    assert instrument["symbol"] == "BTC/USD"
    assert instrument["problem"] is None
    assert (document["venue"], document["cached"], document["notes"]) == ("kraken", False, [])
    done = bot4(server, "--symbol", "btc/usdt", venue="kraken")
    assert done.exit_code == 2
    assert "was 'btc/usdt', which kraken does not trade; did you mean BTC/USD" in done.stderr


def test_a_name_of_several_markets_is_refused(server: Server) -> None:
    as_kraken(server, dark_pool="online")
    done = bot4(server, "--symbol", "BTC/USD", venue="kraken")
    assert done.exit_code == 2
    text = " ".join(done.stderr.split())
    assert "which kraken calls several markets; name one by its id: XXBTZUSD, XXBTZUSD.d" in text
    done = bot4(server, "--symbol", "XXBTZUSD", "--json", venue="kraken")
    assert json.loads(done.stdout)["instruments"][0]["tick"] == "0.1"


def test_the_toml_can_be_pasted_into_a_configuration(server: Server, tmp_path: Path) -> None:
    as_binance(
        server,
        binance_symbol("BTC", "USDT"),
        binance_symbol("MINI", "USDT", tickSize="0.0000000001"),
        binance_symbol("NONE", "USDT", tickSize="0"),
        binance_symbol("OLD", "USDT", status="BREAK"),
        binance_symbol("ODD", "USDT", minNotional=""),
        binance_symbol("x", "USDT"),
    )
    done = bot4(server, "--toml")
    assert done.exit_code == 0
    file = tmp_path / "c.toml"
    file.write_text(f'state_dir = "{tmp_path}"\n{done.stdout}')
    bitcoin, odd = load(file).config.resolved()["instruments"]
    assert bitcoin == {
        "symbol": "BTCUSDT",
        "venue": "binance",
        "base": "BTC",
        "quote": "USDT",
        "tick": "0.01",
        "lot": "0.00001",
        "min_notional": "5",
        "min_quantity": "0.00001",
        "max_quantity": "9000",
        "maker_fee": "0.001",
        "taker_fee": "0.001",
        "price": None,
    }
    assert (odd["symbol"], odd["min_notional"]) == ("ODDUSDT", "0")
    lines = done.stdout.splitlines()
    assert 'min_notional = "0"  # the venue names none' in lines
    assert (
        "# MINI/USDT is left out: tick was 0.0000000001, must have at most 8 decimal places"
        in lines
    )
    assert "# NONE/USDT is left out: the venue has no fixed tick" in lines
    assert "# OLD/USDT is left out: it is not traded now" in lines
    assert any(line.startswith("# X/USDT is left out: symbol was xUSDT, must be") for line in lines)
    # Who names it may have it.
    assert 'symbol = "OLDUSDT"' in bot4(server, "--toml", "--symbol", "OLD/USDT").stdout


def test_limits_of_quantities_reach_the_instrument(server: Server, tmp_path: Path) -> None:
    as_kraken(server)
    done = bot4(server, "--toml", "--symbol", "BTC/USD", venue="kraken")
    assert 'max_quantity = "0"  # the venue names none' in done.stdout.splitlines()
    file = tmp_path / "c.toml"
    file.write_text(f'currency = "USD"\nstate_dir = "{tmp_path}"\n{done.stdout}')
    (instrument,) = instruments_from(load(file).config.resolved())
    assert (instrument.min_quantity_e8, instrument.max_quantity_e8) == (5_000, 0)
    as_binance(server, binance_symbol("BTC", "USDT"), binance_symbol("B", "USDT", stepSize="0.002"))
    limits = [each["filters"][1] for each in server.answers["/api/v3/exchangeInfo"]({})["symbols"]]
    limits[0]["maxQty"] = "92233720369"  # more than can be represented
    limits[1].update(minQty="0.003", maxQty="9000.001")  # no multiples of the lot
    done = bot4(server, "--toml")
    file.write_text(f'state_dir = "{tmp_path}"\n{done.stdout}')
    found = {each.base: each for each in instruments_from(load(file).config.resolved())}
    assert found["BTC"].max_quantity_e8 == 0
    assert found["B"].min_quantity_e8 == 400_000
    assert found["B"].max_quantity_e8 == 9_000 * 10**8


def test_a_silent_venue_is_said_with_the_date_of_what_serves(server: Server) -> None:
    as_binance(server)
    date = json.loads(bot4(server, "--json").stdout)["date"]
    server.answers.clear()
    done = bot4(server, "--json", "--refresh")
    assert done.exit_code == 0
    failure, used = done.stderr.splitlines()
    assert failure.startswith("bot4: binance ")
    assert used.startswith(f"bot4: the markets are those of {date}, kept in ")
    assert json.loads(done.stdout)["cached"] is True


def test_a_silent_venue_of_which_nothing_is_kept_is_a_failure(server: Server) -> None:
    done = bot4(server)
    assert (done.exit_code, done.stdout) == (1, "")
    (line,) = done.stderr.splitlines()
    assert line.startswith("bot4: binance ")
    assert f"{server.url}/api/v3/exchangeInfo" in line


def test_wrong_uses_are_said(server: Server) -> None:
    assert bot4(server, "--json", "--toml").exit_code == 2
    assert CliRunner().invoke(command, []).exit_code == 2
    done = CliRunner().invoke(command, ["--venue", "sim"])
    assert (done.exit_code, done.stdout) == (1, "")
    assert "is simulated" in done.stderr


def test_ccxt_is_imported_only_to_ask_a_venue(server: Server, tmp_path: Path) -> None:
    as_binance(server)
    assert bot4(server).exit_code == 0
    program = (
        "import sys\n"
        "from pipeline.cli import main\n"
        "try:\n"
        "    main(sys.argv[1:])\n"
        "finally:\n"
        "    heavy = {'ccxt', 'requests', 'aiohttp'} & set(sys.modules)\n"
        "    print(f'heavy: {sorted(heavy)}', file=sys.stderr)\n"
    )
    for arguments in (
        ["--help"],
        ["instruments", "--help"],
        ["instruments", "--venue", "binance", "--url", server.url],
    ):
        done = subprocess.run(
            [sys.executable, "-c", program, *arguments],
            capture_output=True,
            text=True,
            check=True,
            timeout=60,
        )
        assert done.stderr == "heavy: []\n"
    assert len(server.asked) == 1
