"""What takes part in a run: our chain in a backend and a precision, and the baselines.

Every configuration lives in a process of its own (bench/worker.py), so that its memory is its own
and no two pools of threads meet.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fuw.bench.made_up_names import PLAIN
from fuw.engine.choose import CPU_BACKENDS, PRECISIONS, choose
from fuw.engine.errors import BackendError
from fuw.engine.nets import Nets
from fuw.engine.ops import Ops

CHAIN = ("openpose_body", "openpose_hand", "densepose", "schp", "u2net", "seg", "gmm", "alias")
TRY_ON = ("seg", "gmm", "alias")
EAGER, EAGER_BF16, PLAIN_ORT = "eager fp32", "eager bf16 channels-last", "plain ort fp32"
BASELINES = (EAGER, EAGER_BF16, PLAIN_ORT)


@dataclass(frozen=True)
class Configuration:
    """One way to run the chain.

    Attributes:
        name: "openvino bf16", or one of BASELINES.
        backend: of ours or "ort-cpu"; "eager" for Torch.
        precision: as asked for; a network marked `cpu_fp32` stays fp32 on a CPU.
        weights: "starter", or a folder with a manifest.
        threads: CPU threads of everything.
        size: (height, width) of the picture.
        cache: folder of compiled engines.
        width: channel width of made-up networks; 1 is the official one.
    """

    name: str
    backend: str
    precision: str
    weights: str
    threads: int
    size: tuple[int, int]
    cache: str
    width: float = 1.0

    @property
    def ours(self) -> bool:
        """Whether this is a way fuw runs, not one it is measured against."""
        return self.name not in BASELINES


def named(backends: Sequence[str], precisions: Sequence[str]) -> list[tuple[str, str]]:
    """(backend, precision) of every pair that exists, in the order of the command line.

    Raises:
        BackendError: no pair is possible, or a backend is not there.
    """
    pairs = []
    for backend in backends:
        for precision in precisions:
            if precision != "auto" and backend != "auto" and precision not in PRECISIONS.get(
                    backend, ()):
                continue
            choice = choose("auto", backend, precision)
            if (choice.name, choice.precision) not in pairs:
                pairs.append((choice.name, choice.precision))
    if not pairs:
        raise BackendError(f"no backend of {', '.join(backends)} computes in "
                           f"{' or '.join(precisions)}")
    return pairs


def configurations(pairs: Sequence[tuple[str, str]], weights: str, threads: int,
                   size: tuple[int, int], cache: Path, baseline: bool, width: float = 1.0,
                   ) -> list[Configuration]:
    """Ours, then the baselines; all on the same weights, threads and size."""
    rest = (threads, size, str(cache), width)
    found = [Configuration(f"{b} {p}", b, p, weights, *rest) for b, p in pairs]
    if baseline:
        found += [Configuration(EAGER, "eager", "fp32", weights, *rest),
                  Configuration(EAGER_BF16, "eager", "bf16", weights, *rest),
                  Configuration(PLAIN_ORT, "ort-cpu", "fp32", str(Path(weights) / PLAIN), *rest)]
    return found


def opened(configuration: Configuration, names: Sequence[str]) -> tuple[Any, Ops]:
    """Networks (`names` of them in Torch; not opened yet elsewhere) and steps."""
    if configuration.backend == "eager":
        return _eager(configuration, names)
    from fuw.engine.fitter import Fitter

    fitter = Fitter.open(
        weights=configuration.weights, backend=configuration.backend,
        precision=configuration.precision, threads=configuration.threads, mask_net="u2net",
        size=configuration.size, cache=Path(configuration.cache))
    return fitter.nets, fitter.ops


def _eager(configuration: Configuration, names: Sequence[str]) -> tuple[Nets, Ops]:
    import torch

    from fuw.bench.eager import EagerNetworks, EagerOps
    from fuw.bench.made_up import eager_module

    torch.set_num_threads(configuration.threads)
    folder = Path(configuration.weights)
    nets = EagerNetworks({name: eager_module(name, folder, configuration.width) for name in names},
                         "u2net", bf16=configuration.precision == "bf16")
    return nets, EagerOps()


def on_cpu(configuration: Configuration) -> bool:
    """Whether no device memory takes part."""
    return configuration.backend in (*CPU_BACKENDS, "eager")
