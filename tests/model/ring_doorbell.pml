/*
 * Shared-memory SPSC rings with a doorbell per sleeper: ring.hpp and doorbell.hpp.
 *
 * Two producers, each with a ring of its own, feed one consumer, which sleeps on one doorbell for
 * both.  A producer whose ring is full sleeps on its own doorbell, which the consumer rings when it
 * commits a record.  A supervisor rings the consumer for no record, as a signal handler does.
 * Sleeps in the product are timed, for a peer that is killed between publishing and waking.  Here
 * nobody is killed and no time-out comes to the rescue: a lost wake-up is a sleep for ever.
 *
 * Properties
 *   - every record is read once, in order and with the right content  (assert in `read_record`)
 *   - a slot is never overwritten before it has been read             (assert in `to_memory`)
 *   - every process finishes, so nobody sleeps for ever               (no invalid end state)
 *     The consumer has to hear the last ring to finish, and hears only where its wait returns.
 *
 * Memory model: `mem` is what all processes see, `sb[p]` the store buffer of process p.
 *   - relaxed and release stores and plain writes are appended to the buffer; process `memory`
 *     moves them to `mem` at any later time, also while their owner sleeps.
 *     A release store leaves only from the front of the buffer: it never passes an earlier store.
 *     A relaxed or plain one may pass stores to other locations.  Random receive takes the oldest
 *     entry of a location, so stores to one location keep their order, as coherence demands.
 *   - seq_cst stores and read-modify-writes wait until the own buffer is empty, then act on `mem`.
 *   - loads read `mem` and never wait for the buffer.  Forwarding from it does not arise, because
 *     no process loads a location that it stores to; sequence numbers are kept in local variables.
 *     Only the kernel does, the flag in `futex_wait`, and there the call is a barrier.
 *     Loads are made in program order, as acquire and seq_cst loads are.  Where a weaker order
 *     would let one pass something, the variant writes it down in the changed order.
 *   This is x86-TSO plus the reordering of relaxed stores.  C++ and ARM allow a little more, which
 *   changes nothing here.  A later plain store may pass a seq_cst store: that is a record written
 *   to a slot already seen free, which nobody looks at before the tail covers it.  A later acquire
 *   load may pass a seq_cst store: that is a poll that sees an older head, tail or bell, which is
 *   looked at again when the flag is up.
 *
 * Bounds: MSGS records per producer and RINGS rings of the supervisor.  Ring 0 has two slots and
 * ring 1 has one, so a ring with room left and a ring full after each push occur together; ring 0
 * fills up from MSGS=3.  A store buffer has four entries; the correct protocol holds two at most.
 * MSGS=3 RINGS=1 makes 5 million states, MSGS=2 RINGS=2 makes 2 million (use -DCOLLAPSE).
 *
 * Variants (-D...), each of which drops one ordering or look and has to fail
 *   RELAXED_SLEEP_FLAG  flag raised by a release store: still buffered during the re-check
 *   RELAXED_TAIL        tail published by a release store: the load of the flag passes it
 *   RELAXED_HEAD        the same for the head and the flag of a blocked producer
 *   NO_RECHECK          nothing is looked at again after raising the flag
 *   RECHECK_ONE_RING    only ring 0 and the bell are looked at again
 *   BELL_NOT_RECHECKED  only the rings are looked at again
 *   HEARD_PER_WAIT      a wait listens from its own start, not from the end of the last
 *   RING_AFTER_CLAIM    bell is advanced after the look at the flag (as ARM may, if it is relaxed)
 *   WAKE_BEFORE_CLAIM   futex_wake comes before the flag is taken down
 *   EPOCH_FUTEX         futex is an epoch, advanced before the flag is taken down: a ringer that
 *                       pauses in between takes down the flag of a later sleep, and nobody wakes it
 *   PUBLISH_FIRST       tail is stored relaxed (but still before the load of the flag)
 *   COMMIT_FIRST        head is published before the record is read
 */
#ifndef MSGS
#define MSGS       3
#define RINGS      1
#endif

#define CONSUMER   2                     /* processes and their doorbells; producers: 0 and 1 */
#define me         _pid
#define CAP(r)     (2 - (r))             /* slots in ring r */
#define SLOT(r, n) (2 * (r) + (n) % CAP(r))                  /* locations in `mem`: 0..2 records */
#define IS_SLOT(l) ((l) < 3)
#define TAIL(r)    (3 + (r))
#define HEAD(r)    (5 + (r))
#define FLAG(b)    (7 + (b))             /* "I am going to sleep"; the futex word */
#define BELL(b)    (10 + (b))            /* counts rings of the supervisor */

byte mem[13];                            /* a slot holds sequence number + 1; 0: nothing unread */
chan sb[4] = [4] of { byte, byte };      /* location, value; the supervisor's stays empty */
bool asleep[3];                          /* queued on the futex in the kernel */

#ifdef EPOCH_FUTEX
byte epoch[3], epoch_read[3];
#define MAY_SLEEP  (epoch[me] == epoch_read[me])
#else
#define MAY_SLEEP  (mem[FLAG(me)] == 1)
#endif

/* Stores and read-modify-writes of process `me`.  EXCHANGE is an option of an `if`, taken if the
 * exchange returns `old`. */
inline store(loc, val)           { sb[me] ! loc, val }
inline store_sc(loc, val)        { atomic { empty(sb[me]) -> mem[loc] = val } }
inline increment(loc)            { atomic { empty(sb[me]) -> mem[loc]++ } }
#define EXCHANGE(loc, new, old)  :: atomic { empty(sb[me]) && mem[loc] == old -> mem[loc] = new }

inline futex_wake(b)             { asleep[b] = false }

/* The compare and the sleep are one step, as in the kernel.  The call may also return at once for
 * a signal or the product's time-out: both must be harmless, neither may be needed. */
inline futex_wait()
{
  if
  :: atomic { empty(sb[me]) && MAY_SLEEP -> asleep[me] = true };
     !asleep[me]
  :: skip
  fi
}

/* A flag found down: the owner is awake, or whoever took it down has still to wake it. */
inline ring_if_sleeping(b)
{
  if
  :: mem[FLAG(b)] == 1 ->
#ifdef EPOCH_FUTEX
     epoch[b]++;
#endif
#ifdef WAKE_BEFORE_CLAIM
     futex_wake(b);
#endif
     if
     EXCHANGE(FLAG(b), 0, 1) ->
#ifndef WAKE_BEFORE_CLAIM
        futex_wake(b)
#endif
     EXCHANGE(FLAG(b), 0, 0)
     fi
  :: else
  fi
}

/* First half of a sleep, up to the re-check of the sources, which the caller makes. */
inline raise_flag()
{
#ifdef EPOCH_FUTEX
  epoch_read[me] = epoch[me];
#endif
#ifdef RELAXED_SLEEP_FLAG
  store(FLAG(me), 1)
#else
  store_sc(FLAG(me), 1)
#endif
}

/* Second half.  Nothing depends on when the flag comes down, so that store is relaxed.
 * `ready` is reset because a dead value would multiply the states. */
inline sleep_unless_ready()
{
#if defined(NO_RECHECK)
  ready = false;
#elif !defined(BELL_NOT_RECHECKED)
  ready = ready || mem[BELL(me)] != heard;
#endif
  if
  :: ready ->
     atomic { store(FLAG(me), 0); ready = false };
     heard = mem[BELL(me)]
  :: else ->
     futex_wait();
     store(FLAG(me), 0)
  fi
}

active [2] proctype producer()
{
  byte seq, heard;
  bool ready;

  do
  :: seq == MSGS -> break
  :: else ->
     do
     :: seq - mem[HEAD(me)] < CAP(me) -> break
     :: else ->
        raise_flag();
        ready = (seq - mem[HEAD(me)] < CAP(me));
        sleep_unless_ready()
     od;
     store(SLOT(me, seq), seq + 1);
#if defined(RELAXED_TAIL)
     store(TAIL(me), seq + 1);
#elif defined(PUBLISH_FIRST)
     store(TAIL(me), seq + 1); empty(sb[me]);          /* `memory` lets it pass the record */
#else
     store_sc(TAIL(me), seq + 1);
#endif
     seq++;
     ring_if_sleeping(CONSUMER)
  od
}

/* Clearing the slot is no store of the product; it marks the record as read. */
inline read_record(r)
{
  atomic { assert(mem[SLOT(r, head[r])] == head[r] + 1); mem[SLOT(r, head[r])] = 0 }
}

inline commit(r)
{
#ifdef RELAXED_HEAD
  store(HEAD(r), head[r] + 1)
#else
  store_sc(HEAD(r), head[r] + 1)
#endif
}

inline poll(r)
{
  if
  :: mem[TAIL(r)] != head[r] ->
     idle = false;
#ifdef COMMIT_FIRST
     commit(r); read_record(r);
#else
     read_record(r); commit(r);
#endif
     head[r]++;
     ring_if_sleeping(r)
  :: else
  fi
}

/* A wait looks at the sources and the bell before it sleeps and after: one loop does for both. */
active proctype consumer()
{
  byte head[2], heard;                   /* heard: the bell when a wait last returned for it */
  bool ready, idle;

  do
  :: head[0] == MSGS && head[1] == MSGS && heard == RINGS -> break
  :: else ->
     idle = true;
     poll(0);
     poll(1);
#ifdef HEARD_PER_WAIT
     heard = mem[BELL(me)];
#endif
     if
     :: !idle
     :: atomic { idle && mem[BELL(me)] != heard -> heard = mem[BELL(me)] }
     :: else ->
        raise_flag();
        ready = (mem[TAIL(0)] != head[0]);
#ifndef RECHECK_ONE_RING
        ready = ready || (mem[TAIL(1)] != head[1]);
#endif
        sleep_unless_ready()
     fi
  od
}

active proctype supervisor()
{
  byte rings;
  for (rings : 1 .. RINGS) {
#ifdef RING_AFTER_CLAIM
    ring_if_sleeping(CONSUMER); increment(BELL(CONSUMER))
#else
    increment(BELL(CONSUMER)); ring_if_sleeping(CONSUMER)
#endif
  }
}

inline to_memory(loc, val)
{
  assert(!IS_SLOT(loc) || mem[loc] == 0);
  mem[loc] = val;
  loc = 0; val = 0
}

#define IN_ORDER(p)     :: atomic { sb[p] ? loc, val -> to_memory(loc, val) }
#define ANY_TIME(p, l)  :: atomic { sb[p] ?? eval(l), val -> loc = l; to_memory(loc, val) }

active proctype memory()
{
  byte loc, val;

end:
  do
  IN_ORDER(0) IN_ORDER(1) IN_ORDER(CONSUMER)
  ANY_TIME(0, SLOT(0, 0)) ANY_TIME(0, SLOT(0, 1)) ANY_TIME(1, SLOT(1, 0))
  ANY_TIME(0, FLAG(0)) ANY_TIME(1, FLAG(1)) ANY_TIME(CONSUMER, FLAG(CONSUMER))
#ifdef PUBLISH_FIRST
  ANY_TIME(0, TAIL(0)) ANY_TIME(1, TAIL(1))
#endif
  od
}
