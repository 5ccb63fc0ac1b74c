"""What was prepared on the host, kept on a device: uploaded once, forgotten with its owner."""

from __future__ import annotations

import weakref
from collections import OrderedDict
from collections.abc import Callable
from typing import TypeVar

from fuw.engine.arrays import Any
from fuw.kernels.device import Device, DeviceArray

Owner = TypeVar("Owner")
There = tuple[DeviceArray, ...]


class Residents:
    """Device copies by owner, of the `most` that were used last. A pickled owner takes nothing of
    this along. Its user sees to it that one thread at a time asks."""

    def __init__(self, device: Device, most: int = 64) -> None:
        self._device, self._most = device, most
        self._there: OrderedDict[object, There] = OrderedDict()
        self._watched: dict[object, weakref.ref[object]] = {}

    def get(self, owner: Owner, arrays: Callable[[Owner], tuple[Any, ...]]) -> There:
        """The device copies of `arrays(owner)`, as long as that very object lives."""
        return self._found(self._key(owner), lambda: arrays(owner))

    def keep(self, owner: object, there: There) -> None:
        """`there` are the arrays that `get` would upload for that object: it was made there."""
        self._put(self._key(owner), there)

    def of(self, key: Owner, arrays: Callable[[Owner], tuple[Any, ...]]) -> There:
        """The device copies of `arrays(key)`, for a key that is a value."""
        return self._found(("value", key), lambda: arrays(key))

    def clear(self) -> None:
        """Forget all."""
        self._there.clear()
        self._watched.clear()

    def _found(self, key: object, arrays: Callable[[], tuple[Any, ...]]) -> There:
        if key not in self._there:
            self._put(key, tuple(self._device.upload(array) for array in arrays()))
        self._there.move_to_end(key)
        return self._there[key]

    def _put(self, key: object, there: There) -> None:
        self._there[key] = there
        while len(self._there) > self._most:
            self._watched.pop(self._there.popitem(last=False)[0], None)

    def _key(self, owner: object) -> object:
        """Of that very object; it is watched from here on."""
        key = ("object", id(owner))
        if key not in self._watched:
            self._watched[key] = weakref.ref(owner, lambda _: self._forget(key))
        return key

    def _forget(self, key: object) -> None:
        self._there.pop(key, None)
        self._watched.pop(key, None)
