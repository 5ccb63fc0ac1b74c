"""Device and staging memory kept for reuse, so that a warm fit allocates nothing.

pycuda's own pool wants the context current wherever Python frees an array; this one makes no CUDA
call then. A block may be handed out again while kernels that read it are still queued: all work
goes through one stream, so what comes later in it also runs later.
"""

from collections.abc import Callable
from typing import Protocol

from fuw.engine.arrays import U8


class Memory(Protocol):
    """A device allocation that frees itself when it is dropped; `int()` is its address."""

    def __int__(self) -> int: ...


class Event(Protocol):
    """A mark in the stream."""

    def record(self, stream: object) -> object:
        """Set it behind what is queued now."""

    def query(self) -> bool:
        """Whether the stream has come past it."""


class Block:
    """One allocation, given back to its pool when the last array on it is gone."""

    def __init__(self, pool: "Pool", size: int, memory: Memory) -> None:
        self.pool, self.size, self.memory = pool, size, memory

    def __del__(self) -> None:
        self.pool.give_back(self.size, self.memory)


class Pool:
    """Free blocks by size. `allocate` raises `no_room` when the device is full."""

    def __init__(self, allocate: Callable[[int], Memory], no_room: type[Exception]) -> None:
        self._allocate, self._no_room = allocate, no_room
        self._free: dict[int, list[Memory]] = {}
        self._open = True

    def take(self, size: int) -> Block:
        """A block of at least `size` bytes; on a full device, what lies unused goes first."""
        size = rounded(size)
        free = self._free.setdefault(size, [])
        if free:
            return Block(self, size, free.pop())
        try:
            return Block(self, size, self._allocate(size))
        except self._no_room:
            self._free.clear()
            return Block(self, size, self._allocate(size))

    def give_back(self, size: int, memory: Memory) -> None:
        """Keep a block for later; after `close` it is dropped, which frees it."""
        if self._open:
            self._free.setdefault(size, []).append(memory)

    def close(self) -> None:
        """Free what is unused; blocks in use are freed with their arrays."""
        self._open = False
        self._free.clear()


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


def rounded(size: int) -> int:
    """Up to a multiple of an eighth of its power of two, at least 512: few distinct sizes, and no
    more than an eighth wasted."""
    step = max(512, (1 << size.bit_length()) // 16)
    return max(-(-size // step) * step, step)
