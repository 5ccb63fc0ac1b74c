"""Compile the kernels at run time with NVRTC, where the shipped fatbin does not serve.

Bound with ctypes: a dozen lines against another dependency. Needs libnvrtc (package
nvidia-cuda-nvrtc, which TensorRT and ONNX Runtime bring along) and no header and no GPU.
"""

import ctypes
import ctypes.util
from pathlib import Path
from site import getsitepackages

from fuw.engine.errors import BackendError
from fuw.kernels.build import sources, unity

LIBRARIES = ("libnvrtc.so.13", "libnvrtc.so.12", "libnvrtc.so", "nvrtc64_130_0.dll",
             "nvrtc64_120_0.dll")
FOLDERS = ("nvidia/cu13/lib", "nvidia/cuda_nvrtc/lib", "nvidia/cuda_nvrtc/bin")


def library() -> ctypes.CDLL:
    """libnvrtc from where the loader looks, else from the wheels of this environment.

    Raises:
        BackendError: there is none.
    """
    folders = [Path(), *(Path(root, folder) for root in getsitepackages() for folder in FOLDERS)]
    for folder in folders:
        for name in LIBRARIES:
            try:
                return ctypes.CDLL(str(folder / name))
            except OSError:
                continue
    raise BackendError("NVRTC is not installed, and the compiled kernels do not serve this GPU or "
                       "are missing; pip install nvidia-cuda-nvrtc")


def compile_kernels(capability: tuple[int, int]) -> bytes:
    """PTX of all kernels for a compute capability, for example (9, 0).

    Raises:
        BackendError: no NVRTC, or it refused; its log is in the message.
    """
    nvrtc = library()
    headers = sources()
    names = (ctypes.c_char_p * len(headers))(*(p.name.encode() for p in headers))
    texts = (ctypes.c_char_p * len(headers))(*(p.read_bytes() for p in headers))
    program = ctypes.c_void_p()
    _check(nvrtc, nvrtc.nvrtcCreateProgram(ctypes.byref(program), unity().encode(), b"fuw.cu",
                                           len(headers), texts, names))
    try:
        options = [f"--gpu-architecture=compute_{capability[0]}{capability[1]}".encode(),
                   b"--std=c++17"]
        status = nvrtc.nvrtcCompileProgram(program, len(options),
                                           (ctypes.c_char_p * len(options))(*options))
        if status:
            raise BackendError("NVRTC does not compile the kernels: "
                               + _text(nvrtc, program, "ProgramLog").decode(errors="replace"))
        return _text(nvrtc, program, "PTX")
    finally:
        nvrtc.nvrtcDestroyProgram(ctypes.byref(program))


def _text(nvrtc: ctypes.CDLL, program: ctypes.c_void_p, what: str) -> bytes:
    size = ctypes.c_size_t()
    _check(nvrtc, getattr(nvrtc, f"nvrtcGet{what}Size")(program, ctypes.byref(size)))
    text = ctypes.create_string_buffer(size.value)
    _check(nvrtc, getattr(nvrtc, f"nvrtcGet{what}")(program, text))
    return text.value


def _check(nvrtc: ctypes.CDLL, status: int) -> None:
    if status:
        nvrtc.nvrtcGetErrorString.restype = ctypes.c_char_p
        raise BackendError(f"NVRTC: {nvrtc.nvrtcGetErrorString(status).decode()} ({status})")
