"""A `Device` whose kernels are the .cu files built by g++ through kernels/shim: no GPU needed."""

import ctypes
import subprocess
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt

import fuw.kernels
from fuw.kernels.device import Argument, DeviceArray, Grid

KERNELS = Path(fuw.kernels.__file__).parent
SANITIZERS = ("-fsanitize=address,undefined", "-fno-sanitize-recover=all", "-O0")


_built: dict[tuple[str, ...], Path] = {}  # compiling takes longer than the tests


def build(folder: Path, *flags: str) -> Path:
    """Compile every .cu into one library in `folder`, once per run; warnings are errors."""
    if flags not in _built:
        _built[flags] = _compile(folder, flags)
    return _built[flags]


def _compile(folder: Path, flags: tuple[str, ...]) -> Path:
    source, library = folder / "all.cpp", folder / "kernels.so"
    files = [p.name for p in sorted(KERNELS.glob("*.cu"))]
    if not flags:  # the sanitizers have their own idea of memory
        files.append("made_up_driver.cpp")
    source.write_text("".join(f'#include "{name}"\n' for name in files))
    subprocess.run(
        ["g++", "-std=c++20", "-O1", "-Wall", "-Wextra", "-Werror", "-ffp-contract=off",
         "-DFUW_HOST", "-shared", "-fPIC", f"-I{KERNELS}", f"-I{Path(__file__).parent}", *flags,
         str(source), "-o", str(library)],
        check=True)
    return library


class ShimDevice:
    """Every array is its own exact allocation, so that a sanitizer sees a step outside."""

    def __init__(self, library: Path) -> None:
        self._library = ctypes.CDLL(str(library))
        self.launched: list[str] = []

    def empty(self, shape: Sequence[int], dtype: npt.DTypeLike) -> DeviceArray:
        """Filled with a pattern that no right answer looks like."""
        count = int(np.prod(shape, dtype=np.int64)) * np.dtype(dtype).itemsize
        memory = (ctypes.c_ubyte * max(count, 1))(*())
        ctypes.memset(memory, 0xAB, count)
        return DeviceArray(tuple(shape), np.dtype(dtype), ctypes.addressof(memory), memory)

    def upload(self, array: npt.NDArray[np.generic], into: DeviceArray | None = None,
               ) -> DeviceArray:
        array = np.ascontiguousarray(array)
        target = into or self.empty(array.shape, array.dtype)
        ctypes.memmove(target.pointer, array.ctypes.data, array.nbytes)
        return target

    def download(self, array: DeviceArray) -> npt.NDArray[np.generic]:
        data = ctypes.string_at(array.pointer, array.nbytes)
        return np.frombuffer(data, array.dtype).reshape(array.shape).copy()

    def copy(self, array: DeviceArray, into: DeviceArray) -> None:
        assert array.nbytes == into.nbytes
        ctypes.memmove(into.pointer, array.pointer, array.nbytes)

    def fill(self, array: DeviceArray, value: int) -> None:
        self.upload(np.full(array.nbytes // 4, value, np.int32), array)

    def launch(self, kernel: str, grid: Grid, block: Grid, *arguments: Argument) -> None:
        self.launched.append(kernel)
        function = getattr(self._library, f"host_{kernel}")
        function.restype = None
        function(*(ctypes.c_uint(v) for v in (*grid, *block)), *map(_passed, arguments))


def _passed(argument: Argument) -> object:
    if argument is None:
        return ctypes.c_void_p(None)
    if isinstance(argument, DeviceArray):
        return ctypes.c_void_p(argument.pointer)
    return ctypes.c_int(int(argument)) if isinstance(argument, np.int32) else ctypes.c_float(
        float(argument))
