"""Types of the native kernels, each of which is explained in the folder of its stage."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from pipeline.instruments import Instrument
from pipeline.records import Array

def layouts() -> dict[str, Any]: ...
def technical_analysis(settings: Mapping[str, Any], instruments: int) -> object: ...
def blend(
    settings: object,
    caps: Iterable[object],
    model: Model | None,
    instruments: Iterable[Instrument],
    asking: object | None = None,
) -> object: ...
def moving_average(
    settings: object,
    caps: Iterable[object],
    model: Model | None,
    instruments: Iterable[Instrument],
    asking: object | None = None,
) -> object: ...
def risk(
    *,
    opening: object,
    currencies: object,
    settings: object,
    instrument_limits: Iterable[object],
    strategy_limits: Iterable[object],
    venue_masks: Iterable[int],
    strategy_mask: int,
    instruments: Iterable[Instrument],
) -> object: ...
def risk_limit_names() -> list[list[str]]: ...
def paper_executor(
    *,
    slippage_bp: int,
    venue_masks: Iterable[int],
    strategy_mask: int,
    instruments: Iterable[Instrument],
) -> object: ...

class Model:
    """A model made of arrays; see `ml/native/models.hpp`."""

    def __init__(
        self,
        *,
        kind: str,
        calibration: str,
        columns: list[int],
        arrays: dict[str, npt.NDArray[Any]],
    ) -> None: ...
    def evaluate(
        self,
        values: npt.NDArray[np.float64],
        valid: npt.NDArray[np.uint64],
        probabilities: npt.NDArray[np.float64],
        neutral: npt.NDArray[np.bool_],
    ) -> int:
        """Fill the last two; return how many were neutral."""

FEATURES_VERSION: int

def feature_names() -> list[str]: ...
def window_limits() -> dict[str, int]: ...
def batch(
    windows: Mapping[str, int],
    bars: npt.NDArray[np.float64],
    flow: npt.NDArray[np.float64] | None,
    values: npt.NDArray[np.float64],
    valid: npt.NDArray[np.uint64],
) -> None: ...

class Indicators:
    """The indicators of one series of bars; see `ta/native/indicators.hpp`."""

    def __init__(self, windows: Mapping[str, int]) -> None: ...
    def update(self, high: float, low: float, close: float, volume: float) -> int:
        """Take the next bar; return the mask of the features that are valid.

        Raises:
            ValueError: a number is not finite.
        """
    @property
    def values(self) -> npt.NDArray[np.float64]:
        """Those of the last bar: a view, which the next one changes."""
    @property
    def state(self) -> bytes:
        """A copy of the state, to go on from by setting it."""
    @state.setter
    def state(self, state: bytes) -> None: ...

class Publisher:
    """Publishes market records exactly once; see `feed/native/publisher.hpp`."""

    def __init__(
        self,
        *,
        market: object,
        ta: object,
        ticks: object,
        quotes: object,
        latency: object,
        words: object,
    ) -> None: ...
    def publish(self, record: bytes | bytearray | memoryview) -> bool:
        """Publish a market record, whose sequence, cause and stamp are filled in here.

        False if there is no room.
        """
    def heard(self, ns: int, instruments: Sequence[int]) -> None: ...
    def is_quoted(self, instrument: int) -> bool: ...
    def is_stale(self, instrument: int) -> bool: ...
    def last_trade(self, instrument: int) -> int: ...
    def has_room(self) -> bool: ...
    @property
    def published(self) -> int: ...
    @property
    def position(self) -> int: ...
    @property
    def told_there(self) -> int: ...

class Sink:
    """Takes what decoders tell; see `feed/native/sink.hpp`."""

class Recorder(Sink):
    """Keeps it."""

    def __init__(self) -> None: ...
    def __len__(self) -> int: ...
    def take(self) -> bytes:
        """Return the market records since the last call, one behind the other."""

class Outbox(Sink):
    """Publishes what it takes, and keeps what finds no room; see `feed/native/publisher.hpp`."""

    def __init__(self, publisher: Publisher) -> None: ...
    def flush(self) -> bool: ...
    def resume(self, position: int, records: int) -> None: ...
    def begin(self) -> int: ...
    def at(self, position: int) -> None: ...
    def dropped(self) -> dict[str, int]:
        """Return how many trades and quotes were told here that had been published."""
    @property
    def kept(self) -> int: ...
    @property
    def position(self) -> int: ...

class Arbiter:
    """Makes one feed of several lines; see `feed/native/arbiter.hpp`."""

    def __init__(self, out: Sink, instruments: int, *, comparable: bool) -> None: ...
    def resume(self, instrument: int, last_trade: int, stale: bool) -> None: ...
    def doubt(self, instrument: int, reason: int, received_ns: int) -> None: ...
    def is_stale(self, instrument: int) -> bool: ...
    def last_trade(self, instrument: int) -> int: ...
    def take_gaps(self) -> list[tuple[int, int, int]]: ...
    def counts(self) -> dict[str, int]:
        """Return what was told: trades, quotes, stales, resyncs; and repeated, takeovers."""

class Line(Sink):
    """What one line says, on its way to the arbiter."""

    def __init__(self, arbiter: Arbiter) -> None: ...
    def tell(self, record: Array) -> None:
        """Tell a MARKET record; its sequence, cause and stamp are the publisher's.

        Raises:
            ValueError: it has another size, or is of an instrument that there is not.
        """

class Decoder:
    """Decodes the messages of one connection; see `feed/native/decoder.hpp`."""

    def decode(self, text: bytes | bytearray | memoryview, received_ns: int, sink: Sink) -> int:
        """Return a Verdict, and WISHES with it if there are any."""
    def decode_again(
        self, text: bytes | bytearray | memoryview, received_ns: int, sink: Sink
    ) -> int: ...
    def snapshot(
        self,
        instrument: int,
        text: bytes | bytearray | memoryview,
        received_ns: int,
        sink: Sink,
    ) -> int: ...
    def trade(
        self,
        instrument: int,
        trade_id: int,
        price: int,
        quantity: int,
        aggressor: int,
        venue_ns: int,
        received_ns: int,
        sink: Sink,
    ) -> bool: ...
    def refuse(self) -> None: ...
    def connected(self) -> None: ...
    def lost(self, reason: int, received_ns: int, sink: Sink) -> None: ...
    def take_wishes(self) -> list[tuple[int, int, int, int]]: ...
    def counts(self) -> dict[str, int]: ...
    def state(self, instrument: int) -> int: ...
    def last_trade(self, instrument: int) -> int: ...
    def book(
        self, instrument: int, levels: int
    ) -> tuple[list[tuple[int, int]], list[tuple[int, int]]]: ...

_Listings = Iterable[tuple[str, int, tuple[int, int], tuple[int, int]]]

def binance(listings: _Listings, quotes: int, *, futures: bool, time_ns: int) -> Decoder: ...
def kraken(listings: _Listings, quotes: int, *, depth: int) -> Decoder: ...
def kraken_v1(listings: _Listings, *, depth: int) -> Decoder: ...
def okx(listings: _Listings, *, depth: int) -> Decoder: ...
def coinbase(listings: _Listings, quotes: int) -> Decoder: ...

_Floats = npt.NDArray[np.float64]

class Correlation:
    """The rolling correlation of all instruments' returns; see `ta/native/correlation.hpp`."""

    def __init__(self, instruments: int, *, simd: str | None = None) -> None: ...
    def add(self, returns: _Floats, valid: npt.NDArray[np.bool_] | None = None) -> None:
        """Take a sample: a return of each instrument, of which those not valid are left out.

        Raises:
            ValueError: a valid return is not finite, or beyond 1e12; nothing has changed.
        """
    def pair(self, i: int, j: int) -> tuple[float, int, bool]:
        """Return the correlation, of how many samples, and whether it is valid; 0 if not."""
    def row(self, i: int) -> tuple[_Floats, npt.NDArray[np.uint32], npt.NDArray[np.bool_]]:
        """Return the same of an instrument with each."""
    def record(self, instrument: int, first: int = 0) -> bytes:
        """Return them as a Correlations record, whose header names the instrument alone."""
    def matrix(self, out: _Floats) -> None:
        """Write the correlations of all pairs into a matrix (instruments, instruments)."""
    def recompute(self, out: _Floats) -> None:
        """Write the same from the window alone, without the running sums."""
    def snapshot(self) -> bytes: ...
    def restore(self, state: bytes) -> None: ...
    @property
    def size(self) -> int: ...
    @property
    def instruments(self) -> int: ...
    @property
    def samples(self) -> int: ...
    @property
    def anchored(self) -> int: ...

def simd_names() -> list[str]:
    """Return the kinds of instructions that this CPU has; the last one is used."""

def correlate(rows: _Floats, out: _Floats, *, simd: str | None = None) -> None:
    """Write the correlations of rows (instruments, samples) into a matrix, with fixed lanes."""

def correlate_plainly(rows: _Floats, out: _Floats) -> None:
    """Write the same with sums from left to right."""
