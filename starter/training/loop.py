"""One training loop for all networks: time-boxed, resumable, curves kept as JSON lines."""

from __future__ import annotations

import copy
import json
import math
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor, nn

from fuw.starter.training.data import Sample, loader

Batch = dict[str, Tensor]
VARIANT = "starter"  # of the NetSpecs: widths and depths stand there
CHECKPOINT_SECONDS = 60.0
LOG_SECONDS = 10.0
EMA_DECAY, EMA_EVERY = 0.998, 4  # the average takes every fourth step: it costs memory traffic


class Task(Protocol):
    """What the loop must know of a network: its samples and its loss."""

    name: str
    batch: int
    peak_lr: float

    def build(self) -> nn.Module:
        """The network, fresh."""

    def draw(self, rng: np.random.Generator) -> Sample:
        """One training sample."""

    def loss(self, net: nn.Module, batch: Batch) -> tuple[Tensor, dict[str, float]]:
        """The loss and its parts by name."""


@dataclass(frozen=True)
class Plan:
    """How long and on what to train.

    Attributes:
        minutes: wall-clock time box; `steps`, where given, ends it instead and is reproducible.
        lr: factor on the task's peak learning rate (below 1 where a run is continued).
        decay: share of the time in which the rate falls to 2 % along a cosine.
    """

    out: Path
    minutes: float = 10.0
    steps: int = 0
    seed: int = 0
    device: str = "cpu"
    workers: int = 1
    threads: int = 2
    lr: float = 1.0
    decay: float = 0.6


def rate(progress: float, decay: float) -> float:
    """Learning-rate factor: a short warm-up, a plateau, a cosine fall; progress in 0..1."""
    warm = min(1.0, progress / 0.02 + 0.02)
    start = 1.0 - decay
    if progress <= start:
        return warm
    return 0.02 + 0.98 * 0.5 * (1 + math.cos(math.pi * min(1.0, (progress - start) / decay)))


class Trainer:
    """Holds a network, its averaged copy, the optimiser and the counters."""

    def __init__(self, task: Task, plan: Plan) -> None:
        torch.manual_seed(plan.seed)
        self.task, self.plan = task, plan
        self.device = torch.device(plan.device)
        # Plain planes where norms over (h, w) would force a copy back and forth (ALIAS).
        self.layout = getattr(task, "layout", torch.channels_last)
        self.net = task.build().to(self.device, memory_format=self.layout)
        self.ema = copy.deepcopy(self.net).eval()
        self.optimizer = torch.optim.AdamW(
            self.net.parameters(), lr=task.peak_lr, betas=(0.9, 0.99), weight_decay=0.01,
            fused=True)
        self.step, self.seconds = 0, 0.0
        self.path = plan.out / f"{task.name}.pt"
        if self.path.exists():
            self._resume()

    def _resume(self) -> None:
        state = torch.load(self.path, map_location=self.device, weights_only=True)
        self.net.load_state_dict(state["net"])
        self.ema.load_state_dict(state["ema"])
        self.optimizer.load_state_dict(state["optimizer"])
        for group in self.optimizer.param_groups:
            group["fused"], group["foreach"] = True, None  # also where the checkpoint had not
        if hasattr(self.task, "load_extra") and "extra" in state:
            self.task.load_extra(state["extra"])
        self.step, self.seconds = state["step"], state["seconds"]

    def save(self) -> None:
        """Write the checkpoint beside its name, then rename it."""
        state = {"net": self.net.state_dict(), "ema": self.ema.state_dict(),
                 "optimizer": self.optimizer.state_dict(), "step": self.step,
                 "seconds": self.seconds}
        if hasattr(self.task, "extra"):
            state["extra"] = self.task.extra()
        beside = self.path.with_suffix(".part")
        torch.save(state, beside)
        beside.replace(self.path)

    def _average(self) -> None:
        """Move the averaged copy; counters are copied."""
        decay = min(EMA_DECAY, (1 + self.step) / (10 + self.step)) ** EMA_EVERY
        now = list(self.net.state_dict().values())
        mean = list(self.ema.state_dict().values())
        moving = [i for i, m in enumerate(mean) if m.dtype.is_floating_point]
        with torch.no_grad():
            torch._foreach_lerp_([mean[i] for i in moving], [now[i] for i in moving], 1 - decay)
            for i in set(range(len(mean))) - set(moving):
                mean[i].copy_(now[i])

    def _one(self, batch: Batch) -> dict[str, float]:
        batch = {k: _placed(v, self.device, self.layout) for k, v in batch.items()}
        self.optimizer.zero_grad(set_to_none=True)
        with torch.autocast(self.device.type, dtype=torch.bfloat16):
            loss, parts = self.task.loss(self.net, batch)
        loss.backward()  # type: ignore[no-untyped-call]
        norm = nn.utils.clip_grad_norm_(self.net.parameters(), 5.0)
        if bool(torch.isfinite(norm)):
            self.optimizer.step()
        self.step += 1
        if self.step % EMA_EVERY == 0:
            self._average()
        return {"loss": float(loss.detach()), **parts}

    def run(self) -> None:
        """Train until the time box (or the number of steps) is used up, then save."""
        plan = self.plan
        torch.set_num_threads(plan.threads)
        torch.set_flush_denormal(True)
        plan.out.mkdir(parents=True, exist_ok=True)
        self.net.train()
        batches = loader(self.task.draw, plan.seed + 7919 * self.step, self.task.batch,
                         plan.workers)
        with (plan.out / f"{self.task.name}.jsonl").open("a") as log:
            self._steps(batches, log)
        self.save()

    def _steps(self, batches: Iterator[Batch], log: Any) -> None:
        plan, start, first = self.plan, time.monotonic(), self.step
        before, saved, logged = self.seconds, start, start
        sums: dict[str, float] = {}
        count = 0
        while True:
            now = time.monotonic()
            progress = ((self.step - first) / plan.steps if plan.steps
                        else (now - start) / (60 * plan.minutes))
            if progress >= 1:
                return
            lr = self.task.peak_lr * plan.lr * rate(progress, plan.decay)
            for group in self.optimizer.param_groups:
                group["lr"] = lr
            for key, value in self._one(next(batches)).items():
                sums[key] = sums.get(key, 0.0) + value
            count += 1
            now = time.monotonic()
            self.seconds = before + now - start
            if now - logged > LOG_SECONDS:
                row = {k: round(v / count, 5) for k, v in sums.items()}
                log.write(json.dumps({"step": self.step, "seconds": round(self.seconds, 1),
                                      "lr": round(lr, 7), **row}) + "\n")
                log.flush()
                sums, count, logged = {}, 0, now
            if now - saved > CHECKPOINT_SECONDS:
                self.save()
                saved = now


def _placed(value: Tensor, device: torch.device, layout: torch.memory_format) -> Tensor:
    value = value.to(device, non_blocking=True)
    return value.contiguous(memory_format=layout) if value.dim() == 4 else value
