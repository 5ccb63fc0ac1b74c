"""The ALIAS generator: L_I = L1 + lambda_percept L_percept, then + L_cGAN + lambda_FM L_FM.

It learns on what the chain gives it: label maps are in part those of the trained segmentation
generator, pose and parse are off as networks' answers are, the garment is warped by the trained
matcher for that label map, misalignment is made as in the fit. It grows: a network with a level
less learns at 256x192 ("alias_256"), the whole one at 512x384, the last steps are at 1024x768.
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
from fuw.engine.networks import network
from fuw.export.nets import build
from fuw.export.nets.alias import ALIASGenerator
from fuw.export.nets.alias_head import LOUD
from fuw.export.nets.tps import tps_grid, warp
from fuw.kernels.cpu import gmm_input, group7, group13, seg_input, seg_noise
from fuw.kernels.cpu.agnostic import GREY
from fuw.kernels.cpu.parse import TABLE_7, UPPER_GROUP
from fuw.starter.training import upstream
from fuw.starter.training.conditions import Fitting, Fittings
from fuw.starter.training.critics import Discriminator, Perception
from fuw.starter.training.data import Figures, Photos, Sample
from fuw.starter.training.loop import VARIANT, Batch
from fuw.starter.training.losses import feature_matching, hinge_discriminator, hinge_generator
from fuw.starter.training.start import grow

FULL_HEIGHT = 512  # a level less at 256
L1, EDGES, CHOICE, PERCEPT, GAN, MATCHING = 5.0, 1.0, 1.0, 1.0, 0.1, 1.0
# In the last phase. The teacher's answers are soft, so gates that only follow it hedge, which
# shows as ghosts of sleeves and a pale outline; gates that choose learn more from the picture.
CHOICE_LAST = 0.1
SKIN, SKIN_IDS = 0.3, (10, 13, 14, 15, 16, 17)  # neck, face, arms, legs
SURE = 0.02  # a colour that is off by this much more than another is chosen e times less
NEAR = 4  # three times as many pixels are those over which colours are compared
DETAIL = 0.06  # what a picture with detail may be off more than a flat colour
FROZEN = ("gmm", "seg")  # trained before
SEEN = 256  # height at which a picture is looked at: smaller ones cost a fraction
PREDICTED = 0.5  # share of samples whose label map is the segmentation generator's


def _planes(picture: U8) -> U8:
    return np.ascontiguousarray(picture.transpose(2, 0, 1))


def _float(picture: Tensor) -> Tensor:
    return picture.float() / 127.5 - 1


@dataclass
class Painting:
    """Task of the loop.

    Attributes:
        size: height of the pictures: 256, 512 or 1024.
        weights: folder with the checkpoints of the networks before this one, and of the smaller
            generator; where there is an "alias_start.pt", it gives the weights that fit.
        gan: the last phase: the adversarial part is on, the gates' teacher nearly off.
        perceive: whether the perceptual part is on; without it a step takes two thirds.
    """

    figures: Figures
    photos: Photos
    weights: Path
    size: int = 512
    gan: bool = False
    perceive: bool = True
    batch: int = 4
    peak_lr: float = 2e-3
    layout: torch.memory_format = torch.contiguous_format
    fittings: Fittings = field(init=False)
    frozen: dict[str, nn.Module] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.fittings = Fittings(self.figures, 2 if self.size < FULL_HEIGHT else 1)

    @property
    def name(self) -> str:
        return "alias" if self.size >= FULL_HEIGHT else f"alias_{self.size}"

    def build(self) -> nn.Module:
        levels = network("alias").variant(VARIANT).options["levels"] - (self.size < FULL_HEIGHT)
        net = build("alias", variant=VARIANT, levels=levels)
        assert isinstance(net, ALIASGenerator)
        grow(net, self.weights / "alias_start.pt")
        if self.size >= FULL_HEIGHT:
            grow(net, self.weights / f"alias_{FULL_HEIGHT // 2}.pt")
        return net

    def draw(self, rng: np.random.Generator) -> Sample:
        f = self.fittings.draw(rng)
        size = (self.size, self.size * 3 // 4)
        labels = group7(group13(f.truth_parse))
        if rng.random() < 0.5:
            labels = upstream.seen_parse(rng, labels)
        garment = on_ground(f.garment, f.mask)
        a, b = gmm_input(labels, f.skeleton, f.agnostic, garment)
        x = seg_input(f.mask, garment, group13(f.parse_agnostic), f.skeleton,
                      seg_noise(int(rng.integers(1 << 31))))
        predicted = np.array(rng.random() < PREDICTED)
        return {"a": a[0], "b": b[0], "seg": x[0], "predicted": predicted,
                **_at(f, garment, labels, size)}

    def loss(self, net: nn.Module, batch: Batch) -> tuple[Tensor, dict[str, float]]:
        device = batch["labels"].device
        x, seg, seg_div, misalign = self.inputs(batch)
        truth = _float(batch["truth"])
        assert isinstance(net, ALIASGenerator)
        weighed: list[Tensor] = []
        hook = net.head.weights.register_forward_hook(lambda *given: weighed.append(given[2]))
        logits, choices = net.head.choices(net.last_features(x, seg, seg_div, misalign), x, seg_div)
        hook.remove()
        painted = net.head.compose(logits.float(), choices.float())
        right = choice(logits.float(), choices.float(), truth)
        plain, sharp = F.l1_loss(painted, truth), edges(painted, truth)
        skin = skin_region(LOUD * weighed[0].float(), batch["skin"].float())
        taught = CHOICE_LAST if self.gan else CHOICE
        loss = L1 * plain + EDGES * sharp + taught * right + SKIN * skin
        parts = {"l1": float(plain.detach()), "edges": float(sharp.detach()),
                 "choice": float(right.detach()), "skin": float(skin.detach())}
        if self.perceive:
            see = self._frozen("perception", device)
            small = max(1, truth.shape[2] // SEEN)
            percept = feature_matching(see(F.avg_pool2d(truth, small)),
                                       see(F.avg_pool2d(painted, small)))
            loss = loss + PERCEPT * percept
            parts["percept"] = float(percept.detach())
        if self.gan:
            adversarial, match, critic = self._judge(painted, truth, seg)
            loss = loss + GAN * adversarial + MATCHING * match
            parts |= {"critic": critic, "match": float(match.detach())}
        return loss, parts

    def inputs(self, batch: Batch) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """The generator's four tensors, the garment warped by the frozen matcher."""
        with torch.no_grad():
            labels, a = self.label_map(batch)
            height, width = labels.shape[1:]
            seg = F.one_hot(labels, 7).permute(0, 3, 1, 2).float()
            theta = self._frozen("gmm", labels.device)(a, batch["b"]).float()
            with torch.autocast(labels.device.type, enabled=False):
                grid = tps_grid(theta, height, width)
                cloth = warp(_float(batch["garment"]), grid)
                mask = warp(batch["mask"].float() / 255, grid)
        misalign = (seg[:, 2:3] - mask).clamp(min=0)
        seg_div = torch.cat([seg, misalign], 1)
        seg_div[:, 2:3] -= misalign
        x = torch.cat([_float(batch["agnostic"]), _float(batch["skeleton"]), cloth], 1)
        return x, seg, seg_div, misalign

    def label_map(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """Labels (b, h, w) int64, true or predicted, and the matcher's `a` for them."""
        labels, a = batch["labels"].long(), batch["a"]
        predicted = batch["predicted"]
        if not bool(predicted.any()):
            return labels, a
        probabilities = self._frozen("seg", labels.device)(batch["seg"][predicted]).float()
        large = F.interpolate(probabilities, size=labels.shape[1:], mode="bilinear")
        groups = torch.from_numpy(TABLE_7).to(labels.device)
        # The chain blurs the enlarged map by 3 pixels in 1024 before it takes the largest.
        found = groups[F.avg_pool2d(large, 5, 1, 2).argmax(1)].long()
        labels, a = labels.clone(), a.clone()
        labels[predicted] = found
        upper = (found == UPPER_GROUP).float()[:, None]
        a[predicted, :1] = F.interpolate(upper, size=a.shape[2:], mode="nearest").to(a.dtype)
        return labels, a

    def _frozen(self, name: str, device: torch.device) -> nn.Module:
        if name not in self.frozen:
            if name in FROZEN:
                net = build(name, variant=VARIANT)
                path = self.weights / f"{name}.pt"
                net.load_state_dict(torch.load(path, map_location="cpu", weights_only=True)["ema"])
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


def skin_region(weights: Tensor, skin: Tensor) -> Tensor:
    """What makes the last region that of known skin, which all else leaves to chance: it is small,
    and far from the arms that need its colour. weights (b, 2 n, h, w) before the sigmoid: of the
    person's pixels for n regions, then of the garment's; skin (b, 1, H, W) 0 or 1."""
    n = weights.shape[1] // 2
    share = F.adaptive_avg_pool2d(skin, weights.shape[2:])
    person = F.binary_cross_entropy_with_logits(weights[:, n - 1 : n], share, weight=1 + 9 * share)
    return person + F.softplus(weights[:, 2 * n - 1]).mean()


def choice(logits: Tensor, choices: Tensor, truth: Tensor) -> Tensor:
    """What teaches the gates and what they choose from, before they choose well.

    A gate that is shut passes no gradient, so L1 of the picture alone ends with one gate open
    everywhere. Cross entropy against the choice that is nearest to the truth does not; and all
    that is painted is to be like the truth, most where it is chosen.
    """
    b, k, height, width = logits.shape
    differences = choices.reshape(b, k, 3, height, width) - truth[:, None]
    # Compared smoothed: a print that lies a few pixels off is nearer to the truth than any flat
    # colour, though not pixel by pixel. Pictures that hold detail go before flat colours.
    smooth = F.avg_pool2d(differences.detach().flatten(0, 1), NEAR)
    smooth = F.avg_pool2d(smooth, 3, 1, 1, count_include_pad=False)
    detail = torch.tensor([0.0, 0.0] + [DETAIL] * (k - 2), device=truth.device)
    worse = smooth.reshape(b, k, 3, *smooth.shape[2:]).abs().mean(2) + detail[:, None, None]
    best = F.interpolate((-worse / SURE).softmax(1), size=(height, width), mode="bilinear")
    gates = -(best * logits.log_softmax(1)).sum(1).mean()
    painted = ((best[:, 2:] + 0.1) * differences.abs().mean(2)[:, 2:]).sum(1).mean()
    return gates + painted


def edges(painted: Tensor, truth: Tensor) -> Tensor:
    """L1 between the differences of neighbouring pixels: what keeps prints and outlines sharp."""
    off = painted - truth
    down, right = off[:, :, 1:] - off[:, :, :-1], off[..., 1:] - off[..., :-1]
    return down.abs().mean() + right.abs().mean()


def _at(f: Fitting, garment: U8, labels: U8, size: tuple[int, int]) -> Sample:
    """Pictures and maps at another size, as planes of bytes."""
    across = size[::-1]
    smoothly = cv2.INTER_AREA if size[0] < f.truth.shape[0] else cv2.INTER_LINEAR
    # The garment lies on the light grey that a Fitter lays it on.
    whole = {"agnostic": f.agnostic, "skeleton": f.skeleton, "truth": f.truth, "garment": garment}
    pictures = {k: _planes(cv2.resize(picture, across, interpolation=smoothly).astype(np.uint8))
                for k, picture in whole.items()}
    mask = cv2.resize(f.mask, across, interpolation=smoothly).astype(np.uint8)
    known = (f.agnostic != GREY).any(2) & np.isin(f.parse, SKIN_IDS)
    skin = cv2.resize(known.astype(np.uint8), across, interpolation=cv2.INTER_NEAREST)
    return {**pictures, "mask": mask[None], "skin": skin[None],
            "labels": cv2.resize(labels, across, interpolation=cv2.INTER_NEAREST)}
