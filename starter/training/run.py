"""Train one of the starter's networks: `python -m fuw.starter.training.run schp --minutes 25`."""

from __future__ import annotations

import dataclasses
import importlib
from pathlib import Path
from typing import Any

import click

from fuw.starter.training.data import Figures, Photos
from fuw.starter.training.loop import Plan, Trainer

TASKS = {
    "schp": "parser:Parser",
    "u2net": "mask:GarmentMask",
    "openpose_body": "body:Body",
    "openpose_hand": "hand:Hand",
    "densepose": "dense:Dense",
    "seg": "seg:Segmentation",
    "gmm": "gmm:Matching",
    "alias": "alias:Painting",
}


def task_class(network: str) -> type[Any]:
    """The class of a network's task."""
    module, _, cls = TASKS[network].partition(":")
    kind: type[Any] = getattr(importlib.import_module(f"fuw.starter.training.{module}"), cls)
    return kind


@click.command()
@click.argument("network", type=click.Choice(sorted(TASKS)))
@click.option("--figures", type=click.Path(path_type=Path), required=True, help="rendered figures")
@click.option("--photos", type=click.Path(path_type=Path), required=True, help="garment photos")
@click.option("--out", type=click.Path(path_type=Path), required=True, help="checkpoints, curves")
@click.option("--minutes", default=10.0, show_default=True, help="time box")
@click.option("--steps", default=0, help="end after so many steps instead (reproducible)")
@click.option("--size", default=0, help="picture size, where the task has one")
@click.option("--batch", default=0, help="samples a step")
@click.option("--lr", default=1.0, show_default=True, help="factor on the peak learning rate")
@click.option("--decay", default=0.6, show_default=True, help="share of time in which it falls")
@click.option("--gan", is_flag=True, help="alias: with the adversarial part")
@click.option("--plain", is_flag=True, help="alias: without the perceptual part")
@click.option("--seed", default=0, show_default=True)
@click.option("--device", default="cpu", show_default=True)
@click.option("--workers", default=1, show_default=True, help="processes that make samples")
@click.option("--threads", default=2, show_default=True)
def main(network: str, figures: Path, photos: Path, out: Path, minutes: float, steps: int,
         size: int, batch: int, lr: float, decay: float, gan: bool, plain: bool, seed: int,
         device: str, workers: int, threads: int) -> None:
    """Train NETWORK; a checkpoint in OUT is continued."""
    options: dict[str, Any] = {k: v for k, v in {"size": size, "batch": batch}.items() if v}
    kind = task_class(network)
    known = {f.name for f in dataclasses.fields(kind)}
    options |= {"weights": out} if "weights" in known else {}
    options |= {"gan": True} if gan else {}
    options |= {"perceive": False} if plain else {}
    task = kind(Figures(figures), Photos(photos), **options)
    plan = Plan(out=out, minutes=minutes, steps=steps, seed=seed, device=device, workers=workers,
                threads=threads, lr=lr, decay=decay)
    trainer = Trainer(task, plan)
    trainer.run()
    click.echo(f"{network}: {trainer.step} steps, {trainer.seconds / 60:.1f} minutes in all")


if __name__ == "__main__":
    main()
