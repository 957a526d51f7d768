"""Bars: fetched page by page, each once, kept, and their gaps reported."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.markets import bars as bars_module
from pipeline.markets.bars import Bar, Bars, Span, gaps, read
from pipeline.markets.history import History, history, timeframe_ms
from pipeline.markets.venue import VenueError
from tests.pipeline.markets.venues import (
    MINUTE,
    RefusalError,
    Server,
    as_binance,
    as_coinbase,
    as_kraken,
    binance_klines,
    coinbase_candles,
    kraken_ohlc,
)

NOW = 10_000 * MINUTE
HOLE = range(2000, 2700)
TIMES = [at * MINUTE for at in range(1000, 5000) if at not in HOLE]


def minutes(first: int, last: int) -> Span:
    return Span(first * MINUTE, last * MINUTE)


def fetch(
    server: Server,
    folder: Path,
    span: Span,
    venue: str = "binance",
    symbol: str = "BTCUSDT",
    *,
    refresh: bool = False,
    now_ms: int = NOW,
    retries: int = 0,
) -> History:
    return history(
        venue,
        symbol,
        "1m",
        *span,
        state_dir=folder,
        url=server.url,
        refresh=refresh,
        now_ms=now_ms,
        retries=retries,
    )


@pytest.fixture
def binance(server: Server) -> Server:
    as_binance(server)
    binance_klines(server, TIMES)
    return server


VENUES = {
    "binance": (as_binance, binance_klines, "BTCUSDT"),
    "coinbase": (as_coinbase, coinbase_candles, "BTC-USD"),
}


@pytest.mark.parametrize("venue", VENUES)
def test_a_long_history_comes_in_pages_without_doubles_and_with_its_gaps(
    server: Server, tmp_path: Path, venue: str
) -> None:
    set_up, answer, symbol = VENUES[venue]
    set_up(server)
    answer(server, TIMES)
    span = minutes(900, 4000)
    found = fetch(server, tmp_path, span, venue, symbol)
    assert [bar.time_ms for bar in found.bars] == [time for time in TIMES if time in range(*span)]
    assert found.gaps == (minutes(900, 1000), minutes(2000, 2700))
    close = Decimal("1000.12345678901234567")
    assert found.bars[0][1:] == (
        *(Decimal(text) for text in ("1000.10", "1000.40", "1000.05")),
        close,
        Decimal("0.30"),
    )
    asked = len(server.asked)
    again = fetch(server, tmp_path, span, venue, symbol)
    assert again == found
    assert len(server.asked) == asked


def test_kraken_has_no_more_than_its_latest_bars_and_the_rest_is_a_gap(
    server: Server, tmp_path: Path
) -> None:
    as_kraken(server)
    kraken_ohlc(server, TIMES)
    found = fetch(server, tmp_path, minutes(900, 5000), "kraken", "BTC/USD")
    assert len(found.bars) == 720
    assert found.gaps == (minutes(900, 4280),)
    assert server.paths().count("/0/public/OHLC") == 1


def test_a_market_that_shares_its_name_is_asked_for_by_its_id(
    server: Server, tmp_path: Path
) -> None:
    as_kraken(server, dark_pool="online")
    kraken_ohlc(server, TIMES)
    span = minutes(4900, 5000)
    with pytest.raises(VenueError, match=r"calls several markets, XXBTZUSD, XXBTZUSD\.d; see bot4"):
        fetch(server, tmp_path, span, "kraken", "BTC/USD")
    assert len(fetch(server, tmp_path, span, "kraken", "XXBTZUSD").bars) == 100


def test_only_what_is_missing_is_asked_for(binance: Server, tmp_path: Path) -> None:
    fetch(binance, tmp_path, minutes(1100, 1200))
    fetch(binance, tmp_path, minutes(1400, 1500))
    binance.asked.clear()
    found = fetch(binance, tmp_path, minutes(1000, 1600))
    assert len(found.bars) == 600
    starts = [query["startTime"] for path, query in binance.asked if path == "/api/v3/klines"]
    assert starts == [str(at * MINUTE) for at in (1000, 1200, 1500)]


def test_all_is_asked_for_again_on_demand(binance: Server, tmp_path: Path) -> None:
    fetch(binance, tmp_path, minutes(900, 1500))
    binance_klines(binance, [at * MINUTE for at in range(900, 5000)])
    assert fetch(binance, tmp_path, minutes(900, 1500)).gaps == (minutes(900, 1000),)
    found = fetch(binance, tmp_path, minutes(950, 1200), refresh=True)
    assert (len(found.bars), found.gaps) == (250, ())
    found = fetch(binance, tmp_path, minutes(900, 1500))
    assert (len(found.bars), found.gaps) == (550, (minutes(900, 950),))


def test_an_empty_answer_is_no_proof_that_there_is_nothing(binance: Server, tmp_path: Path) -> None:
    binance_klines(binance, TIMES[:500])
    found = fetch(binance, tmp_path, minutes(1000, 1800))
    assert (len(found.bars), found.gaps) == (500, (minutes(1500, 1800),))
    binance_klines(binance, TIMES)
    assert fetch(binance, tmp_path, minutes(1000, 1800)).gaps == ()


def test_a_bar_that_is_not_over_is_left_out(binance: Server, tmp_path: Path) -> None:
    now = 1500 * MINUTE + 59_999
    found = fetch(binance, tmp_path, minutes(1400, 1600), now_ms=now)
    # 1498 ended a minute before 1500; 1499 may still be amended.
    assert found.bars[-1].time_ms == 1498 * MINUTE
    assert (len(found.bars), found.gaps) == (99, ())
    assert fetch(binance, tmp_path, minutes(1400, 1600), now_ms=now).bars == found.bars
    assert len(fetch(binance, tmp_path, minutes(1400, 1600)).bars) == 200


def test_the_future_has_no_bars(server: Server, tmp_path: Path) -> None:
    found = fetch(server, tmp_path, minutes(20_000, 20_001))
    assert (found.bars, found.gaps) == ((), ())
    assert server.asked == []


def failing(
    answer: Callable[[dict[str, str]], object], times: int, after: int = 0
) -> Callable[[dict[str, str]], object]:
    calls = iter(range(1000))

    def sometimes(query: dict[str, str]) -> object:
        if after <= next(calls) < after + times:
            raise RefusalError(503)
        return answer(query)

    return sometimes


def test_what_came_before_a_failure_is_kept(binance: Server, tmp_path: Path) -> None:
    klines = binance.answers["/api/v3/klines"]
    binance.answers["/api/v3/klines"] = failing(klines, 1, after=1)
    with pytest.raises(VenueError, match="binance does not serve this"):
        fetch(binance, tmp_path, minutes(1000, 4000))
    binance.asked.clear()
    assert len(fetch(binance, tmp_path, minutes(1000, 4000)).bars) == 2300
    # The first page, 1000 bars up to the hole, is there.
    assert int(binance.asked[1][1]["startTime"]) == 2000 * MINUTE


def test_a_failure_at_once_keeps_nothing(binance: Server, tmp_path: Path) -> None:
    del binance.answers["/api/v3/klines"]
    with pytest.raises(VenueError):
        fetch(binance, tmp_path, minutes(1000, 4000))
    assert list(tmp_path.iterdir()) == []


def test_a_failure_that_passes_is_waited_out(binance: Server, tmp_path: Path) -> None:
    binance.answers["/api/v3/klines"] = failing(binance.answers["/api/v3/klines"], 1)
    assert len(fetch(binance, tmp_path, minutes(1000, 1100), retries=1).bars) == 100


def test_a_damaged_file_is_named_ignored_and_replaced(binance: Server, tmp_path: Path) -> None:
    found = fetch(binance, tmp_path, minutes(1000, 1100))
    (file,) = (path for path in (tmp_path / "history").rglob("*") if path.is_file())
    assert file.name == "BTCUSDT-1m.csv"
    assert file.stat().st_mode & 0o777 == 0o600
    good = file.read_text()
    head, columns, first, *rest = good.splitlines(keepends=True)
    for damage in (
        "",
        "time_ms\n",
        good[:-1].rpartition("\n")[0] + "\n",  # without its last bar
        good[:-2],
        f"{good}1,2\n",
        head,
        "".join([head, "time\n", first, *rest]),
        "".join([head, columns, *rest, first]),
        head.replace('"format": 1', '"format": 2') + columns,
        head.replace("[[", "[[9e99, 1], [") + columns + first + "".join(rest),
        head.replace("[[60000000, 66000000]]", "[[66000000, 60000000]]") + good.partition("\n")[2],
        good.replace("1000.1,", "nan,"),
    ):
        file.write_text(damage)
        again = fetch(binance, tmp_path, minutes(1000, 1100))
        assert again.bars == found.bars
        (note,) = again.notes
        assert note.startswith(f"{file} was ignored, it is damaged (")
        assert file.read_text() == good


def test_a_file_that_cannot_be_used_is_named(binance: Server, tmp_path: Path) -> None:
    fetch(binance, tmp_path, minutes(1000, 1100))
    (file,) = (path for path in (tmp_path / "history").rglob("*") if path.is_file())
    file.unlink()
    file.mkdir()
    read_note, write_note = fetch(binance, tmp_path, minutes(1000, 1100)).notes
    assert read_note.startswith(f"{file} could not be read: ")
    assert write_note.startswith(f"{file} could not be written: ")


def test_an_answer_that_is_no_list_of_bars_is_a_failure(binance: Server, tmp_path: Path) -> None:
    binance.answers["/api/v3/klines"] = lambda _: [[60_000_000, "1", None, "1", "1", "1"]]
    with pytest.raises(VenueError, match=r"binance gave an answer that ccxt .* cannot read"):
        fetch(binance, tmp_path, minutes(1000, 1100))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"symbol": "BTCUSD"}, "symbol was 'BTCUSD', which binance does not have; see bot4 instr"),
        ({"timeframe": "7m"}, "timeframe was '7m', binance has 1s, 1m"),
        ({"timeframe": "1M"}, "timeframe was '1M', must be a number and one of s m h d w"),
        ({"since": 5, "until": 5}, "since was 5, must be in 0 .. until, 5"),
        ({"venue": "sim"}, "which is simulated"),
    ],
)
def test_what_cannot_be_asked_for_is_said(
    binance: Server, tmp_path: Path, change: dict[str, object], message: str
) -> None:
    asked: dict[str, object] = {
        "venue": "binance",
        "symbol": "BTCUSDT",
        "timeframe": "1m",
        "since": 1000 * MINUTE,
        "until": 1100 * MINUTE,
        "state_dir": tmp_path,
        "url": binance.url,
    }
    with pytest.raises(VenueError) as raised:
        history(**{**asked, **change})  # type: ignore[arg-type]
    assert message in str(raised.value)


@pytest.mark.parametrize(
    ("timeframe", "ms"), [("1s", 1000), ("15m", 900_000), ("4h", 14_400_000), ("1w", 604_800_000)]
)
def test_a_timeframe_has_a_length(timeframe: str, ms: int) -> None:
    assert timeframe_ms(timeframe) == ms


def bar(at: int) -> Bar:
    return Bar(at, *[Decimal(1)] * 5)


def test_the_first_bar_need_not_begin_where_the_span_does() -> None:
    # A week begins on a Monday, whatever the span begins with.
    assert gaps([bar(9), bar(19)], Span(0, 25), 10) == ()
    assert gaps([bar(10)], Span(0, 20), 10) == (Span(0, 10),)
    assert gaps([], Span(0, 20), 10) == (Span(0, 20),)
    assert gaps([bar(0), bar(30)], Span(0, 50), 10) == (Span(10, 30), Span(40, 50))


SPANS = st.tuples(st.integers(0, 40), st.integers(1, 9)).map(lambda at: Span(at[0], sum(at)))


@given(st.lists(SPANS, max_size=6), SPANS)
def test_covered_and_missing_times_make_up_what_is_wanted(
    fetched: list[Span], wanted: Span
) -> None:
    known = Bars()
    for span in fetched:
        known = known.renewed([span], map(bar, range(*span)))
    covered = {at for span in fetched for at in range(*span)}
    assert {at for span in known.covered for at in range(*span)} == covered
    missing = known.missing(wanted)
    assert {at for span in missing for at in range(*span)} == set(range(*wanted)) - covered
    assert [each.time_ms for each in known.bars] == sorted(covered)


def test_a_file_is_read_as_it_was_written(tmp_path: Path) -> None:
    known = Bars((Span(0, 10), Span(20, 30)), (bar(0), bar(5), bar(20)))
    bars_module.write(tmp_path / "a" / "b.csv", known, {"symbol": "X"})
    assert read(tmp_path / "a" / "b.csv") == (known, ())
    assert read(tmp_path / "none.csv") == (Bars(), ())
