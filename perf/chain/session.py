"""One measurement: five fresh processes, a rate, and what became of every record.

The process that starts them sleeps meanwhile. All that it reads, it reads from the segment, where
it was counted and timed by those whom it concerns.
"""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from typing import Any

from perf import machine
from perf.chain.queues import INBOXES, Inbox, run_stage
from perf.chain.source import publish_to_rings, put_into_queues
from perf.chain.workload import configuration
from perf.transports.standard import context
from pipeline import topology
from pipeline.breakers.settings import begin
from pipeline.supervisor.child import Child, describe_exit
from pipeline.supervisor.start import encoded
from shm import CountersSpec, Layout, Segment, choose

RING = "bot4_ring"
TRANSPORTS = (RING, *INBOXES)

EDGES = tuple(edge for edge in topology.EDGES if edge.producer in topology.PIPELINE)
"""All but the operators' requests, of which there are none here."""

WARM_UP_S = 0.5
"""Of the same rate, before the time that counts."""

START_S = 30.0
_LOOK_S = 0.02
_LEAD_NS = 200_000_000  # for the feed to give each record its time


class FailedError(Exception):
    """A process died, or did not begin."""


@dataclass(frozen=True, slots=True)
class Sample:
    """One measurement.

    Attributes:
        achieved_rate: Market records a second that ta took, until the last one was due.
        lost: Records, on any edge, that were due or published and had not arrived in the end.
        orders: So many latencies, from the time at which a market record was due to the end of the
            executor's step on the order that it led to; percentiles in microseconds.
        hops: Ring -> (p50, p99) in microseconds from publication to being taken; of rings only.
    """

    transport: str
    wait: str
    rate: int
    achieved_rate: float
    orders: int
    p50_us: float | None
    p99_us: float | None
    p999_us: float | None
    lost: int
    hops: Mapping[str, tuple[float | None, float | None]]


@dataclass(frozen=True, slots=True)
class Chain:
    """The processes under test, running, and how to read what they have counted."""

    segment: Segment
    wait: str
    control: Connection
    published: Callable[[str], int]
    taken: Callable[[str], int]
    check: Callable[[], None]


def why_missing(name: str) -> str | None:
    """Return why a transport cannot be used here, None if it can."""
    return None if name == RING else machine.why_missing(INBOXES[name].requires)


def measure(
    transport: str,
    rate: int,
    seconds: float,
    *,
    wait: str = "auto",
    batch: int = 1,
    drain_s: float = 3.0,
) -> Sample:
    """Measure a transport at a rate for so many seconds, and so long at most for what is left.

    `wait` is how the stages wait at their rings; `batch`, how many records the stages behind queues
    step through at once.

    Raises:
        FailedError: a process died, or did not begin.
    """
    config = configuration(f"perf-{os.getpid()}", wait)
    count = round(rate * (WARM_UP_S + seconds))
    started = (
        _rings(config, rate, count)
        if transport == RING
        else _queues(transport, config, rate, count, batch)
    )
    with started as chain:
        _await_beginning(chain)
        start_ns = time.monotonic_ns() + _LEAD_NS
        chain.control.send(start_ns)
        _sleep_until(start_ns, WARM_UP_S)
        for stage in topology.STAGES:
            chain.segment.reset_histograms(f"{stage}.latency")
        before = time.monotonic_ns(), chain.taken("market")
        _sleep_until(start_ns, WARM_UP_S + seconds)
        after = time.monotonic_ns(), chain.taken("market")
        lost = _drain(chain, count, drain_s)
        chain.check()
        return _sample(transport, rate, chain, lost, (after[1] - before[1], after[0] - before[0]))


def _sample(transport: str, rate: int, chain: Chain, lost: int, taken: tuple[int, int]) -> Sample:
    latency = chain.segment.histograms(f"{topology.edge(topology.LAST).consumer}.latency")
    total = latency["tick_to_order"]
    hops = {}
    if transport == RING:
        for edge in EDGES:
            hop = chain.segment.histograms(f"{edge.consumer}.latency")[f"hop.{edge.ring}"]
            hops[edge.ring] = (_us(hop.percentile(50)), _us(hop.percentile(99)))
    return Sample(
        transport,
        chain.wait,
        rate,
        round(taken[0] * 1e9 / taken[1], 1),
        total.count,
        _us(total.percentile(50)),
        _us(total.percentile(99)),
        _us(total.percentile(99.9)),
        lost,
        hops,
    )


def _us(nanoseconds: int | None) -> float | None:
    return None if nanoseconds is None else round(nanoseconds / 1000, 2)


def _await_beginning(chain: Chain) -> None:
    deadline = time.monotonic() + START_S
    while not all(chain.segment.words(f"{name}.words").load("beat") for name in topology.PIPELINE):
        chain.check()
        if time.monotonic() > deadline:
            raise FailedError(f"the processes have not begun within {START_S:g} s")
        time.sleep(_LOOK_S)


def _sleep_until(start_ns: int, seconds: float) -> None:
    time.sleep(max(0.0, (start_ns - time.monotonic_ns()) / 1e9 + seconds))


def _drain(chain: Chain, count: int, limit_s: float) -> int:
    """Return how many records have not arrived where they were due after at most `limit_s`."""
    deadline = time.monotonic() + limit_s
    quiet = 0
    while True:
        sources = [edge.ring for edge in EDGES if edge.producer == "feed"]
        unpublished = sum(count - chain.published(ring) for ring in sources)
        # Taken first: a record that is published in between must not make less than nothing.
        taken = {edge.ring: chain.taken(edge.ring) for edge in EDGES}
        waiting = sum(chain.published(ring) - done for ring, done in taken.items())
        # A record may be neither here nor there while a stage steps on it.
        quiet = 0 if unpublished + waiting else quiet + 1
        if quiet == 3 or time.monotonic() > deadline:
            return unpublished + waiting
        time.sleep(_LOOK_S)


# The two ways to start the processes.


@contextlib.contextmanager
def _rings(config: dict[str, Any], rate: int, count: int) -> Iterator[Chain]:
    """The processes of `bot4 run`, except that the feed makes its records itself."""
    layout = topology.layout(config, config["affinity"])
    with contextlib.ExitStack() as stack:
        segment = stack.enter_context(
            Segment.create(config["name"], layout, blobs={"config": encoded(config)})
        )
        with contextlib.closing(segment.breakers("breakers")) as breakers:
            begin(breakers, config)
        children: list[Child] = []
        stack.callback(_end_children, children)
        for name in topology.STAGES:
            children.append(Child(name, config["name"], segment.run_id))
        feed, control = _feed(stack, publish_to_rings, config, segment, rate, count)
        followers = {edge.ring: segment.ring_follower(edge.ring) for edge in EDGES}

        def check() -> None:
            for child in children:
                if (status := child.exit_status()) is not None:
                    raise FailedError(f"{child.name} ended: {describe_exit(status)}")
            _check_process(feed)

        yield Chain(
            segment,
            _strategy(config, layout),
            control,
            lambda ring: followers[ring].published,
            lambda ring: followers[ring].published - segment.depth(ring),
            check,
        )


@contextlib.contextmanager
def _queues(
    transport: str, config: dict[str, Any], rate: int, count: int, batch: int
) -> Iterator[Chain]:
    """Processes that step the same kernels from Python, and hand on what comes of it by queues."""
    kind = INBOXES[transport]
    inboxes: dict[str, Inbox] = {name: kind() for name in (*topology.STAGES, "ticks")}
    with contextlib.ExitStack() as stack:
        segment = stack.enter_context(Segment.create(config["name"], _layout(config)))
        processes = []
        for name in topology.STAGES:
            needed = {name, *(edge.consumer for edge in topology.outputs_of(name))}
            if name == topology.edge("ticks").consumer:
                needed.add("ticks")
            own = {each: inboxes[each] for each in needed}
            arguments = (name, config["name"], segment.run_id, config, own, batch)
            processes.append(_start(stack, run_stage, arguments, name))
        ends = (inboxes[topology.edge("market").consumer], inboxes["ticks"])
        feed, control = _feed(stack, put_into_queues, config, segment, rate, count, *ends)

        def check() -> None:
            for process in (*processes, feed):
                _check_process(process)

        def counted(end: str, process: str, ring: str) -> int:
            return segment.counters(f"{process}.edges")[f"{end}.{ring}"]

        yield Chain(
            segment,
            kind.wait,
            control,
            lambda ring: counted("out", topology.edge(ring).producer, ring),
            lambda ring: counted("in", topology.edge(ring).consumer, ring),
            check,
        )


def _layout(config: Mapping[str, Any]) -> Layout:
    """Return what the pipeline shares besides its rings: quotes, latencies, words; and counters."""
    whole = topology.layout(config, config["affinity"]).regions
    kept = [
        whole[name].spec
        for name in whole
        if name == "quotes" or name.endswith((".words", ".latency"))
    ]
    edges = [
        CountersSpec(
            f"{name}.edges",
            tuple(
                f"{end}.{edge.ring}"
                for edge in EDGES
                for end, process in (("in", edge.consumer), ("out", edge.producer))
                if process == name
            ),
        )
        for name in topology.PIPELINE
    ]
    return Layout(*kept, *edges)


def _feed(
    stack: contextlib.ExitStack,
    target: Callable[..., None],
    config: dict[str, Any],
    segment: Segment,
    rate: int,
    count: int,
    *ends: Inbox,
) -> tuple[BaseProcess, Connection]:
    control, other = context.Pipe()
    stack.callback(control.close)
    arguments = (config["name"], segment.run_id, config, rate, count, other, *ends)
    process = _start(stack, target, arguments, "feed")
    other.close()
    return process, control


def _start(
    stack: contextlib.ExitStack, target: Callable[..., None], arguments: Any, name: str
) -> BaseProcess:
    process = context.Process(target=target, args=arguments, name=name, daemon=True)
    process.start()
    stack.callback(_end, process)
    return process


def _end(process: BaseProcess) -> None:
    process.kill()
    process.join()


def _end_children(children: list[Child]) -> None:
    for child in children:
        child.end(0.0)
        child.close()


def _check_process(process: BaseProcess) -> None:
    if process.exitcode is not None:
        raise FailedError(f"{process.name} ended: {describe_exit(process.exitcode)}")


def _strategy(config: Mapping[str, Any], layout: Layout) -> str:
    """Return how the stages wait."""
    wait: str = config["pipeline"]["wait"]
    if wait != "auto":
        return wait
    cpus = layout.affinity()
    return "/".join(sorted({choose(cpus, name).name for name in topology.STAGES}))
