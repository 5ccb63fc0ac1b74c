"""The ALIAS generator: L_I = L1 + lambda_percept L_percept, then + L_cGAN + lambda_FM L_FM.

It learns on what the chain gives it: the garment is warped by the trained matcher, misalignment
and label maps are made as in the fit. It grows: a network of six levels learns at 128x96
("alias_128"), then one with the next level added at 256x192, then the whole at 512x384, so that
the deep levels, which hold most parameters, see many pictures.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from fuw.engine.arrays import U8
from fuw.engine.framing import on_ground
from fuw.export.nets import build
from fuw.export.nets.alias import ALIASGenerator
from fuw.export.nets.tps import tps_grid, warp
from fuw.kernels.cpu import gmm_input, group7, group13
from fuw.starter.training import gmm
from fuw.starter.training.conditions import Fitting, Fittings
from fuw.starter.training.critics import Discriminator, Perception
from fuw.starter.training.data import Figures, Photos, Sample
from fuw.starter.training.loop import Batch
from fuw.starter.training.losses import feature_matching, hinge_discriminator, hinge_generator

WIDTH, LEAST = 0.125, 8
FULL_LEVELS, FULL_HEIGHT = 8, 512  # each halving of the height takes a level away; 1024 is the run
L1, PERCEPT, GAN, MATCHING = 5.0, 1.0, 0.1, 1.0


def _planes(picture: U8) -> U8:
    return np.ascontiguousarray(picture.transpose(2, 0, 1))


def _float(picture: Tensor) -> Tensor:
    return picture.float() / 127.5 - 1


@dataclass
class Painting:
    """Task of the loop.

    Attributes:
        size: height of the pictures: 128, 256 or 512.
        weights: folder with the checkpoints of the networks before this one.
        gan: whether the adversarial part is on.
        perceive: whether the perceptual part is on; without it a step takes two thirds.
    """

    figures: Figures
    photos: Photos
    weights: Path
    size: int = 512
    cache: Path = Path("/tmp/fuw-skeletons")
    gan: bool = False
    perceive: bool = True
    batch: int = 4
    peak_lr: float = 2e-3
    layout: torch.memory_format = torch.contiguous_format
    fittings: Fittings = field(init=False)
    frozen: dict[str, nn.Module] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.fittings = Fittings(self.figures, self.cache, 2 if self.size < FULL_HEIGHT else 1)

    @property
    def name(self) -> str:
        return "alias" if self.size >= FULL_HEIGHT else f"alias_{self.size}"

    def build(self) -> nn.Module:
        levels = FULL_LEVELS - max(1, FULL_HEIGHT // self.size).bit_length() + 1
        net = build("alias", WIDTH, least=LEAST, levels=levels, carry=True)
        pass_inputs_on(net)
        before = self.weights / f"alias_{self.size // 2}.pt"
        if before.exists():
            grow(net, torch.load(before, map_location="cpu", weights_only=True)["ema"])
        return net

    def draw(self, rng: np.random.Generator) -> Sample:
        f = self.fittings.draw(rng)
        size = (self.size, self.size * 3 // 4)
        a, b = gmm_input(group7(group13(f.truth_parse)), f.skeleton, f.agnostic, f.garment)
        return {"a": a[0], "b": b[0], **_at(f, size)}

    def loss(self, net: nn.Module, batch: Batch) -> tuple[Tensor, dict[str, float]]:
        device = batch["labels"].device
        x, seg, seg_div, misalign = self.inputs(batch)
        truth = _float(batch["truth"])
        painted = net(x, seg, seg_div, misalign).float()
        plain = F.l1_loss(painted, truth)
        loss, parts = L1 * plain, {"l1": float(plain.detach())}
        if self.perceive:
            see = self._frozen("perception", device)
            percept = feature_matching(see(truth), see(painted))
            loss = loss + PERCEPT * percept
            parts["percept"] = float(percept.detach())
        if self.gan:
            adversarial, match, critic = self._judge(painted, truth, seg)
            loss = loss + GAN * adversarial + MATCHING * match
            parts |= {"critic": critic, "match": float(match.detach())}
        return loss, parts

    def inputs(self, batch: Batch) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """The generator's four tensors, the garment warped by the frozen matcher."""
        labels = batch["labels"].long()
        height, width = labels.shape[1:]
        seg = F.one_hot(labels, 7).permute(0, 3, 1, 2).float()
        with torch.no_grad():
            theta = self._frozen("gmm", labels.device)(batch["a"], batch["b"]).float()
            with torch.autocast(labels.device.type, enabled=False):
                grid = tps_grid(theta, height, width)
                cloth = warp(_float(batch["garment"]), grid)
                mask = warp(batch["mask"].float() / 255, grid)
        misalign = (seg[:, 2:3] - mask).clamp(min=0)
        seg_div = torch.cat([seg, misalign], 1)
        seg_div[:, 2:3] -= misalign
        x = torch.cat([_float(batch["agnostic"]), _float(batch["skeleton"]), cloth], 1)
        return x, seg, seg_div, misalign

    def _frozen(self, name: str, device: torch.device) -> nn.Module:
        if name not in self.frozen:
            if name == "gmm":
                net = build("gmm", gmm.WIDTH)
                state = torch.load(self.weights / "gmm.pt", map_location="cpu", weights_only=True)
                net.load_state_dict(state["ema"])
            elif name == "perception":
                net = Perception(self.weights / "schp.pt")
            else:
                raise KeyError(name)
            self.frozen[name] = net.eval().requires_grad_(False).to(device)
        return self.frozen[name]

    def _judge(self, painted: Tensor, truth: Tensor, seg: Tensor) -> tuple[Tensor, Tensor, float]:
        """One step of the discriminator, then its opinion: adversarial, matching, its loss."""
        critic = self.critic(painted.device)
        real, _ = critic(truth, seg)
        fake, _ = critic(painted.detach(), seg)
        loss = hinge_discriminator(real, fake)
        self.critic_optimizer.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        self.critic_optimizer.step()
        critic.requires_grad_(False)
        scores, features = critic(painted, seg)
        with torch.no_grad():
            _, wanted = critic(truth, seg)
        critic.requires_grad_(True)
        return hinge_generator(scores), feature_matching(wanted, features), float(loss.detach())

    def critic(self, device: torch.device) -> Discriminator:
        """The discriminator, made at its first use."""
        if "critic" not in self.frozen:
            net = Discriminator().to(device)
            self.critic_optimizer = torch.optim.AdamW(net.parameters(), 4e-4, betas=(0.0, 0.99))
            self.frozen["critic"] = net
        critic = self.frozen["critic"]
        assert isinstance(critic, Discriminator)
        return critic

    def extra(self) -> dict[str, Any]:
        """State beside the generator's, for the checkpoint."""
        return {"critic": self.frozen["critic"].state_dict()} if "critic" in self.frozen else {}

    def load_extra(self, state: dict[str, Any]) -> None:
        """Take up `extra` again."""
        if self.gan and "critic" in state:
            self.critic(torch.device("cpu")).load_state_dict(state["critic"])


def _at(f: Fitting, size: tuple[int, int]) -> Sample:
    """Pictures and maps at another size, as planes of bytes."""
    across = size[::-1]
    smoothly = cv2.INTER_AREA if size[0] < f.truth.shape[0] else cv2.INTER_LINEAR
    labels = group7(group13(f.truth_parse))
    # On the light grey that a Fitter lays garments on: what lies outside the garment must be a
    # constant for the generator to take it away.
    whole = {"agnostic": f.agnostic, "skeleton": f.skeleton, "truth": f.truth,
             "garment": on_ground(f.garment, f.mask)}
    pictures = {k: _planes(cv2.resize(picture, across, interpolation=smoothly).astype(np.uint8))
                for k, picture in whole.items()}
    mask = cv2.resize(f.mask, across, interpolation=smoothly).astype(np.uint8)
    return {**pictures, "mask": mask[None],
            "labels": cv2.resize(labels, across, interpolation=cv2.INTER_NEAREST)}


def pass_inputs_on(net: nn.Module) -> None:
    """Let the last convolution begin as agnostic person + warped garment, each where it is."""
    assert isinstance(net, ALIASGenerator)
    with torch.no_grad():
        carried = net.conv_img.weight[:, -9:]  # agnostic 3, pose 3, warped garment 3
        carried.zero_()
        for colour in range(3):
            carried[colour, colour, 1, 1] = carried[colour, 6 + colour, 1, 1] = 1.0


def grow(net: nn.Module, state: dict[str, Tensor]) -> None:
    """Fill the network from one with a level less; what is new or of another shape stays."""
    own = net.state_dict()
    fitting = {k: v for k, v in state.items() if k in own and own[k].shape == v.shape}
    net.load_state_dict({**own, **fitting})
