"""A model of the exactly-once protocol in which a stage may be killed between any two stores.

The promise: kill -9 of any stage, at any instruction, neither loses nor repeats nor changes an
output. Shared memory survives a kill; the private memory of the process does not. So a kill can
only be noticed by the order in which a stage stores to shared memory, and here each such store is
one event: a stage is a generator that yields before each of them, a kill drops the generator, and a
restart makes a new one over the same memory.

What a stage keeps in shared memory, and who reads it when:

*Rings.* One producer, one consumer. The producer fills a slot, then publishes it by storing `tail`.
The consumer gives slots back by storing `head`. A ring has at least two slots: with one, the next
record would be written over the last published one, whose cause recovery has to read.

*Contexts.* All inputs of a stage (rings, and a TICK when nothing came for a while) are merged into
one numbered sequence of steps. Context n says which ring and sequence step n reads, what the clock
said, and whatever else the step may look at. It is published by one store before the step sees its
input, so that the same step can be taken again, in the same order, at any later time.

*Cells.* The state, in two slots each: one cell an instrument, one for the whole stage, and one of
the runtime with the count of records consumed from each ring. When a batch of steps first touches a
cell, it marks the slot that is not current, copies the current one over it, and works on that copy
until the batch ends. Then each touched slot is stamped with the number of the batch's last step.
The mark is for whoever looks at the memory, and for a replay that is not what it should be: a slot
that is being written has a stamp below the current one's, or one beyond the committed step, and
then a replay of the same steps writes it again before the committed step gets there.

*Commit.* One store of that number makes all of these slots current at once. Only after it do the
heads of the rings follow, because until then recovery needs the records.

*Outputs* go out within the step. Each has a cause (step, index in the step): unlike the sequence of
an input, it only ever grows, whichever ring the input was from.

*Room.* A step is taken only if there is room for all that it may emit, so that it never waits
half-way. An input whose outputs have no room waits alone; others go on. Before a stage waits, it
commits. These two keep a loop of stages free of deadlock, provided that the steps taken for
records that come back need no room in the loop.

*Recovery.* The current slot of a cell is the unmarked one with the highest stamp not beyond the
committed step. Heads are set from the consumed counts. The last cause on each output ring is read
from the slot before `tail`. Then all published contexts beyond the committed step are replayed as
one batch, with their recorded clock and the input still in its ring; outputs whose cause is not
beyond the last one on their ring are dropped. After that the stage goes on as ever.

The topology, with a feedback edge and two sources::

    script a --> A --a_to_b--> B --b_to_c--> C --c_out-->
    script b ----------------> ^ <--c_to_b-- v

`check` compares what a run left behind with the same steps taken without shared memory or kills.
`Fault` lists the readings of the rules that do not work.
"""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum
from random import Random
from typing import NamedTuple

INSTRUMENTS = 2
SHARED = INSTRUMENTS  # the cell for the whole stage
CURSORS = INSTRUMENTS + 1  # the runtime's cell: records consumed from each ring

TICK = -1  # the source of a step without input
MARK = -1  # the stamp of a slot that is being written
IDLE = "idle"

Cause = tuple[int, int]
BEFORE_ALL: Cause = (0, -1)

Stores = Generator[str, None, None]
"""Yields the kind of each store just before it is done, or IDLE when there is nothing to do."""


class Violation(AssertionError):  # noqa: N818 - it is the finding, not a failure of the model
    """The protocol did not keep its promise."""


class Fault(Enum):
    """A rule of the protocol, broken.

    The first group needs a kill to show. The second is deadlock without any kill. The third never
    shows, see *Cells* above.
    """

    CAUSE_IS_RING_SEQUENCE = "outputs carry the sequence of their input instead of the step"
    NO_DEDUPE = "replay publishes again what is already out"
    NEWEST_STAMP = "recovery takes the newest slot, committed or not"
    OLDER_SLOT = "a batch works on the slot with the older stamp instead of the one not current"
    FLIP_PER_STEP = "each step of a batch copies to the other slot"
    SHARED_IN_PLACE = "the state for the whole stage has one slot"
    COMMIT_BEFORE_STAMPS = "the step is committed before the slots are stamped"
    HEAD_BEFORE_COMMIT = "records are given back before the commit"
    CONTEXT_AFTER_STEP = "the context is published when the step is done"
    CONTEXT_RESAMPLED = "replay asks the clock again"

    ROOM_FOR_EVERY_INPUT = "no input is taken unless every output has room"
    WAIT_UNCOMMITTED = "a batch is left open while its next input waits for room"

    NO_MARK = "a slot keeps its old stamp while it is written"


class Body(NamedTuple):
    """What a record says."""

    now: int
    instrument: int
    value: int


class Record(NamedTuple):
    """A record as a consumer may see it."""

    cause: Cause
    body: Body


class Context(NamedTuple):
    """What step number `step` may read; `source` indexes the stage's rings or is TICK."""

    step: int
    source: int
    sequence: int
    now: int


class Edit(NamedTuple):
    """An effect of a step: a word of a cell changes."""

    cell: int
    word: int
    value: int


class Emit(NamedTuple):
    """An effect of a step: a record for output ring number `output`."""

    output: int
    body: Body


def mix(*values: int) -> int:
    """Return a number that depends on all values and on their order."""
    result = 7
    for value in values:
        result = (result * 1_000_003 + value) % 2_147_483_647
    return result


def step(
    emits: Sequence[int], read: Callable[[int], Sequence[int]], body: Body, now: int
) -> list[Edit | Emit]:
    """Return the effects of one step of any stage, in program order.

    Args:
        emits: The output rings that a step for this input may write to, the most of each; the
            first is always written to, the others if the state is odd.
        read: Returns the words of a cell.
        body: The input.
        now: The clock in the step's context.
    """
    count, digest = read(body.instrument)
    total, last = read(SHARED)
    digest = mix(digest, count, total, last, body.value, body.now, now)
    effects: list[Edit | Emit] = [Edit(body.instrument, 0, count + 1)]
    for position, output in enumerate(emits):
        if position == 0 or digest % 2:
            effects.append(Emit(output, Body(now, body.instrument, mix(digest, position))))
        effects.append(Edit(SHARED, position % 2, mix(total, digest, position)))
    effects.append(Edit(body.instrument, 1, digest))
    effects.append(Edit(SHARED, 1, mix(last, digest)))
    return effects


class Ring:
    """A bounded ring, and a history of all that was ever published on it, for the checker."""

    def __init__(self, capacity: int) -> None:
        self.causes = [BEFORE_ALL] * capacity
        self.bodies = [Body(0, 0, 0)] * capacity
        self.capacity = capacity
        self.head = 0
        self.tail = 0
        self.history: list[Record] = []

    def room(self) -> int:
        return self.capacity - (self.tail - self.head)

    def body(self, sequence: int) -> Body:
        return self.bodies[sequence % self.capacity]

    def last_cause(self) -> Cause:
        return self.causes[(self.tail - 1) % self.capacity] if self.tail else BEFORE_ALL

    def push(self, cause: Cause, body: Body) -> Stores:
        if self.room() < 1:
            raise Violation("a step found no room")
        slot = self.tail % self.capacity
        yield "output's cause"
        self.causes[slot] = cause
        yield "output's body"
        self.bodies[slot] = body
        yield "tail"
        self.history.append(Record(self.causes[slot], self.bodies[slot]))
        self.tail += 1


class Cell:
    """Two slots of state, of which stamps and the committed step tell which is current."""

    def __init__(self, words: int) -> None:
        self.slots = [[0] * words, [0] * words]
        self.stamps = [0, MARK]

    def current(self, newest: int) -> int:
        """Return the unmarked slot with the highest stamp not beyond `newest`."""
        candidates = [slot for slot in (0, 1) if MARK < self.stamps[slot] <= newest]
        if not candidates:
            raise Violation(f"no slot is current: stamps {self.stamps}, committed {newest}")
        return max(candidates, key=self.stamps.__getitem__)


class Sizes(NamedTuple):
    """Slots of each ring between stages and of each context ring; steps of a batch at most."""

    ring: int = 2
    batch: int = 3
    contexts: int = 3


class Script(NamedTuple):
    """Instrument and value of each record of the two sources, and how often TICK falls due at B."""

    a: tuple[tuple[int, int], ...]
    b: tuple[tuple[int, int], ...]
    ticks: int = 0


@dataclass
class Stage:
    """What a stage is made of, and its shared memory."""

    name: str
    inputs: tuple[Ring, ...]
    outputs: tuple[Ring, ...]
    emits: Mapping[int, tuple[int, ...]]
    sizes: Sizes
    ticks: int = 0
    committed: int = 0
    published: int = 0
    # For the checker: the contexts of the whole run.
    history: list[Context] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.contexts = [Context(0, 0, 0, 0)] * self.sizes.contexts
        self.cells = [Cell(2) for _ in range(INSTRUMENTS + 1)] + [Cell(len(self.inputs))]


class Process:
    """One life of a stage: what it holds here is lost when it is killed."""

    def __init__(self, stage: Stage, clock: Iterator[int], fault: Fault | None) -> None:
        self.stage = stage
        self.clock = clock
        self.fault = fault
        self.taken = stage.committed
        self.current: list[int] = []
        self.working: dict[int, int] = {}  # cell -> slot that this batch works on
        self.touched: dict[int, None] = {}  # cells to stamp, in order
        self.last_causes = [BEFORE_ALL] * len(stage.outputs)

    def live(self) -> Stores:
        yield from self.recover()
        stage = self.stage
        while True:
            batch = self.taken - stage.committed
            full = batch >= stage.sizes.batch
            context = None if full else self.choose()
            if context is not None:
                if self.fault is Fault.CONTEXT_AFTER_STEP:
                    yield from self.take(context)
                    yield from self.publish(context)
                else:
                    yield from self.publish(context)
                    yield from self.take(context)
            elif full or (batch and not self.holds_batch_open()):
                yield from self.commit()
            else:
                yield IDLE

    def recover(self) -> Stores:
        stage = self.stage
        newest = stage.published if self.fault is Fault.NEWEST_STAMP else stage.committed
        self.current = [cell.current(newest) for cell in stage.cells]
        yield from self.store_heads()
        if self.fault is not Fault.NO_DEDUPE:
            self.last_causes = [ring.last_cause() for ring in stage.outputs]
        for number in range(stage.committed + 1, stage.published + 1):
            context = stage.contexts[number % stage.sizes.contexts]
            if context.step != number:
                raise Violation(f"context {number} was overwritten by {context.step}")
            if self.fault is Fault.CONTEXT_RESAMPLED:
                context = context._replace(now=next(self.clock))
            yield from self.take(context)
        self.last_causes = [BEFORE_ALL] * len(stage.outputs)
        if self.taken > stage.committed:
            yield from self.commit()

    def choose(self) -> Context | None:
        """Return the context of the next step, or None if no input can be taken."""
        stage = self.stage
        now = next(self.clock)
        cursors = self.read(CURSORS)
        for offset in range(len(stage.inputs)):
            # Any order of merging is right; this one is not the same in a second life.
            source = (now + offset) % len(stage.inputs)
            if cursors[source] < stage.inputs[source].tail and self.has_room(source):
                return Context(self.taken + 1, source, cursors[source], now)
        if stage.ticks and self.has_room(TICK):
            stage.ticks -= 1
            return Context(self.taken + 1, TICK, 0, now)
        return None

    def has_room(self, source: int) -> bool:
        emits = self.stage.emits
        sources = emits if self.fault is Fault.ROOM_FOR_EVERY_INPUT else (source,)
        return all(
            self.stage.outputs[output].room() >= most
            for each in sources
            for output, most in Counter(emits[each]).items()
        )

    def holds_batch_open(self) -> bool:
        waits_for_room = any(
            cursor < ring.tail
            for cursor, ring in zip(self.read(CURSORS), self.stage.inputs, strict=True)
        )
        return self.fault is Fault.WAIT_UNCOMMITTED and waits_for_room

    def publish(self, context: Context) -> Stores:
        stage = self.stage
        slot = context.step % stage.sizes.contexts
        yield "context"
        stage.contexts[slot] = context
        yield "context published"
        stage.history.append(context)
        stage.published = context.step

    def take(self, context: Context) -> Stores:
        """Take one step, live or in replay."""
        stage, fault = self.stage, self.fault
        self.taken = context.step
        if fault is Fault.FLIP_PER_STEP:
            self.keep_slots()
        body = Body(0, 0, 0)
        if context.source != TICK:
            body = stage.inputs[context.source].body(context.sequence)
            yield from self.edit(Edit(CURSORS, context.source, context.sequence + 1))
        number = context.sequence + 1 if fault is Fault.CAUSE_IS_RING_SEQUENCE else context.step
        index = 0
        for effect in step(stage.emits[context.source], self.read, body, context.now):
            if isinstance(effect, Edit):
                yield from self.edit(effect)
            else:
                if (number, index) > self.last_causes[effect.output]:
                    yield from stage.outputs[effect.output].push((number, index), effect.body)
                index += 1

    def slot(self, cell: int) -> int:
        return self.working.get(cell, self.current[cell])

    def read(self, cell: int) -> list[int]:
        return self.stage.cells[cell].slots[self.slot(cell)]

    def edit(self, edit: Edit) -> Stores:
        if edit.cell not in self.working and not (
            self.fault is Fault.SHARED_IN_PLACE and edit.cell == SHARED
        ):
            yield from self.touch(edit.cell)
        yield "edit"
        self.read(edit.cell)[edit.word] = edit.value

    def touch(self, number: int) -> Stores:
        cell, current = self.stage.cells[number], self.current[number]
        scratch = 1 - current
        if self.fault is Fault.OLDER_SLOT:
            scratch = min((0, 1), key=cell.stamps.__getitem__)
        if self.fault is not Fault.NO_MARK:
            yield "mark"
            cell.stamps[scratch] = MARK
        for word, value in enumerate(cell.slots[current]):
            yield "copy"
            cell.slots[scratch][word] = value
        self.working[number] = scratch
        self.touched[number] = None

    def keep_slots(self) -> None:
        for cell, slot in self.working.items():
            self.current[cell] = slot
        self.working.clear()

    def commit(self) -> Stores:
        early = self.fault is Fault.COMMIT_BEFORE_STAMPS
        if self.fault is Fault.HEAD_BEFORE_COMMIT:
            yield from self.store_heads()
        yield from self.store_committed() if early else self.stamp()
        yield from self.stamp() if early else self.store_committed()
        self.keep_slots()
        self.touched.clear()
        yield from self.store_heads()

    def stamp(self) -> Stores:
        for cell in self.touched:
            yield "stamp"
            self.stage.cells[cell].stamps[self.slot(cell)] = self.taken

    def store_committed(self) -> Stores:
        yield "committed"
        self.stage.committed = self.taken

    def store_heads(self) -> Stores:
        for ring, cursor in zip(self.stage.inputs, self.read(CURSORS), strict=True):
            if cursor != ring.head:
                yield "head"
                ring.head = cursor


class Kill(NamedTuple):
    """Kill `stage` before its store number `store`, counted over all of its lives.

    The stages in `others` die at the same moment. All of them stay dead for `turns` turns of the
    others, or until nobody alive has anything to do.
    """

    stage: int
    store: int
    others: tuple[int, ...] = ()
    turns: int = 0


def round_robin() -> Iterator[int]:
    """Yield whose turn it is: one store each."""
    return itertools.cycle(range(3))


def bursts(seed: int) -> Iterator[int]:
    """Yield whose turn it is: random stages, some stores each."""
    random = Random(seed)
    while True:
        yield from itertools.repeat(random.randrange(3), random.choice((1, 2, 5, 30)))


def script_ring(records: Iterable[tuple[int, int]]) -> Ring:
    """Return a ring that holds a whole script, published before the run."""
    bodies = [Body(0, *record) for record in records]
    ring = Ring(max(len(bodies), 1))
    for sequence, body in enumerate(bodies):
        for _ in ring.push((sequence + 1, 0), body):
            pass
    return ring


class World:
    """Three stages, their rings, and a clock that says something else whenever it is asked.

    Args:
        script: What the sources send.
        sizes: How much fits.
        fault: The rule that is broken, if any.
        first_ring: Slots of the ring from A to B, if not `sizes.ring`.
    """

    def __init__(
        self, script: Script, sizes: Sizes, fault: Fault | None = None, first_ring: int = 0
    ) -> None:
        a_to_b = Ring(first_ring or sizes.ring)
        b_to_c, c_to_b = Ring(sizes.ring), Ring(sizes.ring)
        c_out = Ring(1_000)
        script_a, script_b = script_ring(script.a), script_ring(script.b)
        in_loop, nowhere = (0, 0), ()
        self.stages = (
            Stage("A", (script_a,), (a_to_b,), {0: (0,)}, sizes),
            Stage(
                "B",
                (a_to_b, script_b, c_to_b),
                (b_to_c,),
                {0: in_loop, 1: in_loop, 2: nowhere, TICK: (0,)},
                sizes,
                script.ticks,
            ),
            Stage("C", (b_to_c,), (c_to_b, c_out), {0: (0, 1, 1)}, sizes),
        )
        self.clock = itertools.count(1)
        self.fault = fault
        self.stores: tuple[list[str], ...] = ([], [], [])

    def run(self, turns: Iterator[int], kills: Iterable[Kill] = ()) -> None:
        """Run until every stage is alive and has nothing to do.

        Raises:
            Violation: A step found no room, recovery found nothing to go on from, or the run did
                not end.
        """
        due = {(kill.stage, kill.store): kill for kill in kills}
        lives = [self.start(number) for number in range(3)]
        dead: dict[int, int] = {}
        idle: set[int] = set()
        pending = [False] * 3
        for _ in range(50_000):
            if len(idle) + len(dead) == 3:
                if not dead:
                    return
                dead = dict.fromkeys(dead, 0)
            for number in [number for number, rest in dead.items() if rest == 0]:
                lives[number] = self.start(number)
                del dead[number]
            number = next(turns)
            if number in dead:
                dead[number] -= 1
                continue
            if number in idle:
                continue
            if pending[number]:
                idle.clear()  # this turn does a store, which others may have waited for
            store = next(lives[number])
            pending[number] = store != IDLE
            if store == IDLE:
                idle.add(number)
                continue
            self.stores[number].append(store)
            if kill := due.get((number, len(self.stores[number]))):
                for victim in (number, *kill.others):
                    lives[victim].close()
                    pending[victim] = False
                    idle.discard(victim)
                    dead[victim] = kill.turns
        raise Violation("the run did not end")

    def start(self, number: int) -> Stores:
        return Process(self.stages[number], self.clock, self.fault).live()


def check(world: World) -> None:
    """Compare what a finished run left behind with the same steps taken by pure functions.

    The inputs of each stage are the outputs of those before it, so that stages which are right one
    by one are right together.

    Raises:
        Violation: An input was not taken exactly once and in order, an output was lost, repeated or
            changed, or the state is not that of the reference.
    """
    for stage in world.stages:
        state = [[0, 0] for _ in range(INSTRUMENTS + 1)]
        cursors = [0] * len(stage.inputs)
        expected: list[list[Record]] = [[] for _ in stage.outputs]
        for number, context in enumerate(stage.history, start=1):
            if context.step != number:
                raise Violation(f"{stage.name}: step {number} was numbered {context.step}")
            body = Body(0, 0, 0)
            if context.source != TICK:
                if context.sequence != cursors[context.source]:
                    raise Violation(f"{stage.name}: step {number} took {context.sequence}")
                body = stage.inputs[context.source].history[context.sequence].body
                cursors[context.source] += 1
            by_ring = world.fault is Fault.CAUSE_IS_RING_SEQUENCE
            cause = context.sequence + 1 if by_ring else number
            index = itertools.count()
            for effect in step(stage.emits[context.source], state.__getitem__, body, context.now):
                if isinstance(effect, Edit):
                    state[effect.cell][effect.word] = effect.value
                else:
                    expected[effect.output].append(Record((cause, next(index)), effect.body))
        if expected != [ring.history for ring in stage.outputs]:
            raise Violation(f"{stage.name}: outputs are not those of its steps")
        current = [cell.slots[cell.current(stage.committed)] for cell in stage.cells]
        if current != [*state, cursors]:
            raise Violation(f"{stage.name}: state was {current}, must be {[*state, cursors]}")
        if any(not ring.tail == ring.head == cursors[i] for i, ring in enumerate(stage.inputs)):
            raise Violation(f"{stage.name}: an input was left waiting")
        if stage.ticks:
            raise Violation(f"{stage.name}: a tick was left waiting")
