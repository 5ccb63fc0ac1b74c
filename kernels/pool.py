"""Device and host memory kept for reuse, so that a warm fit allocates nothing.

pycuda's own pool wants the context current wherever Python frees an array; this one makes no CUDA
call then. A block may be handed out again while kernels that read it are still queued: what comes
later in a stream also runs later, and while streams run beside each other (`hold`) nothing that was
given back is handed out.
"""

from __future__ import annotations

import weakref
from collections.abc import Callable
from typing import Protocol

import numpy as np

from fuw.engine.arrays import U8


class Memory(Protocol):
    """A device allocation; `int()` is its address."""

    def __int__(self) -> int: ...

    def free(self) -> None:
        """Give it back to CUDA; the context must be current."""


class Event(Protocol):
    """A mark in a stream."""

    def record(self, stream: object) -> object:
        """Set it behind what is queued now."""

    def query(self) -> bool:
        """Whether the stream has come past it."""

    def synchronize(self) -> object:
        """Wait until it has."""


class Block:
    """One allocation, given back to its pool when the last array on it is gone."""

    def __init__(self, pool: Pool, size: int, memory: Memory) -> None:
        self.pool, self.size, self.memory = pool, size, memory

    def __del__(self) -> None:
        self.pool.give_back(self.size, self.memory)


class Pool:
    """Free blocks by size. `allocate` raises `no_room` when the device is full."""

    def __init__(self, allocate: Callable[[int], Memory], no_room: type[Exception]) -> None:
        self._allocate, self._no_room = allocate, no_room
        self._free: dict[int, list[Memory]] = {}
        self._parked: list[tuple[int, Memory]] = []
        self._all: list[Memory] = []
        self._open, self._held = True, False

    def take(self, size: int) -> Block:
        """A block of at least `size` bytes; on a full device, what lies unused goes first."""
        size = rounded(size)
        free = self._free.setdefault(size, [])
        if free:
            return Block(self, size, free.pop())
        try:
            memory = self._allocate(size)
        except self._no_room:
            self.trim()
            memory = self._allocate(size)
        self._all.append(memory)
        return Block(self, size, memory)

    def give_back(self, size: int, memory: Memory) -> None:
        """Keep a block for later."""
        if self._held:
            self._parked.append((size, memory))
        elif self._open:
            self._free.setdefault(size, []).append(memory)

    def hold(self) -> None:
        """Hand nothing out again that comes back from here on, until `let_go`."""
        self._held = True

    def let_go(self) -> None:
        """What came back since `hold` may be handed out again."""
        self._held = False
        while self._parked:
            self.give_back(*self._parked.pop())

    def trim(self) -> None:
        """Free what is unused; the context must be current."""
        unused = [memory for blocks in self._free.values() for memory in blocks]
        self._free.clear()
        for memory in unused:
            memory.free()
        gone = {id(memory) for memory in unused}
        self._all = [memory for memory in self._all if id(memory) not in gone]

    def close(self) -> None:
        """Free every block, in use or not: arrays of a closed device are not to be used."""
        self._open = False
        self._free.clear()
        for memory in self._all:
            memory.free()
        self._all.clear()


class Staging:
    """Page-locked host memory for uploads: CUDA waits for the stream before it copies from any
    other. A buffer is used again once the copy out of it is done."""

    def __init__(self, allocate: Callable[[int], U8], event: Callable[[], Event]) -> None:
        self._allocate, self._event = allocate, event
        self._buffers: dict[int, list[tuple[U8, Event]]] = {}

    def take(self, size: int) -> tuple[U8, Event]:
        """A buffer of at least `size` bytes, and the event to record behind its copy."""
        size = rounded(size)
        buffers = self._buffers.setdefault(size, [])
        for i, (_, event) in enumerate(buffers):
            if event.query():
                return buffers.pop(i)
        return self._allocate(size), self._event()

    def give_back(self, buffer: U8, event: Event) -> None:
        """After the event was recorded."""
        self._buffers.setdefault(buffer.nbytes, []).append((buffer, event))


class Leases:
    """Page-locked host memory for downloads, handed out as arrays that come back by themselves when
    their last view is gone: a picture is then copied once, and not twice.

    At most `most` are out at a time, since page-locked memory is the whole machine's loss; after
    that `take` gives plain memory, which CUDA copies to more slowly.
    """

    def __init__(self, allocate: Callable[[int], U8], most: int = 16) -> None:
        self._allocate, self._left = allocate, [None] * most  # popped and appended: both atomic
        self._free: dict[int, list[U8]] = {}

    def take(self, size: int) -> U8:
        """Bytes that belong to the caller."""
        if not self._left:
            return np.empty(size, np.uint8)
        free = self._free.setdefault(rounded(size), [])
        whole = free.pop() if free else self._allocate(rounded(size))
        self._left.pop()
        # Through a memoryview: views of `lease` then keep it alive, and not `whole`.
        lease: U8 = np.frombuffer(whole.data[:size], np.uint8)
        weakref.finalize(lease, self._come_back, whole).atexit = False
        return lease

    def _come_back(self, whole: U8) -> None:
        self._free.setdefault(whole.nbytes, []).append(whole)
        self._left.append(None)


def rounded(size: int) -> int:
    """Up to a multiple of an eighth of its power of two, at least 512: few distinct sizes, and no
    more than an eighth wasted."""
    step = max(512, (1 << size.bit_length()) // 16)
    return max(-(-size // step) * step, step)
