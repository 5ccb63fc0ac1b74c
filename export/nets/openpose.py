"""OpenPose's two networks in Torch: BODY_25 and the 21-point hand (CMU, deploy definitions of 1.7).

Modules carry the Caffe layer names, so the keys are those of the `.caffemodel`: "conv1_1.weight",
"prelu4_2.weight" (one slope per channel). All activations work on the stage's own tensors; shapes:
image (N, 3, H, W) BGR, x / 256 - 0.5, H and W multiples of 16 (hand: of 8) -> (N, C, H / 8, W / 8).
"""

from torch import Tensor, cat, nn
from torch.nn.functional import max_pool2d, relu

from fuw.export.nets.width import scaled

HEATMAPS = 26  # 25 keypoints, background
PAFS = 52  # 26 limbs, x and y
HAND_HEATMAPS = 22  # 21 keypoints, background

# (layer, official output channels, kernel); None is a 2x2 max pool.
_VGG: tuple[tuple[str, int] | None, ...] = (
    ("conv1_1", 64), ("conv1_2", 64), None,
    ("conv2_1", 128), ("conv2_2", 128), None,
    ("conv3_1", 256), ("conv3_2", 256), ("conv3_3", 256), ("conv3_4", 256), None,
    ("conv4_1", 512),
)  # fmt: skip


class _CaffeNet(nn.Module):
    """Layers registered under their Caffe names, added in a row, each fed by the one before."""

    def __init__(self, width: float) -> None:
        super().__init__()
        self.width = width

    def scaled(self, channels: int) -> int:
        return scaled(channels, self.width)

    def conv(self, name: str, cin: int, cout: int, kernel: int = 3, prelu: str = "") -> int:
        """Add a convolution of the real channel counts (and its PReLU); returns `cout`."""
        layer = nn.Conv2d(cin, cout, kernel, padding=kernel // 2)
        # Seventy layers without normalisation only train when each keeps its input's variance.
        nn.init.kaiming_normal_(layer.weight, a=0.25 if prelu else 0.0)
        nn.init.zeros_(layer.bias)  # type: ignore[arg-type]
        self.add_module(name, layer)
        if prelu:
            self.add_module(prelu, nn.PReLU(cout))
        return cout

    def run(self, name: str, x: Tensor) -> Tensor:
        out: Tensor = self._modules[name](x)  # type: ignore[misc]
        return out

    def add_vgg(self) -> int:
        channels = 3
        for row in _VGG:
            if row is not None:
                channels = self.conv(row[0], channels, self.scaled(row[1]))
        return channels

    def vgg(self, x: Tensor) -> Tensor:
        for row in _VGG:
            x = max_pool2d(x, 2) if row is None else relu(self.run(row[0], x))
        return x


class OpenPoseBody(_CaffeNet):
    """BODY_25: a VGG trunk, PAF stages ("L2"), then heat-map stages ("L1") that see the last PAFs.

    Args:
        width: channel width factor.
        stages: how many PAF and heat-map stages; the official network has (4, 2).
        blocks: dense blocks of three convolutions in each stage; officially 5.
    """

    def __init__(
        self, width: float = 1.0, *, stages: tuple[int, int] = (4, 2), blocks: int = 5
    ) -> None:
        super().__init__(width)
        self.paf_stages, self.heat_stages = stages
        self.blocks = blocks
        c = self.add_vgg()
        c = self.conv("conv4_2", c, self.scaled(512), prelu="prelu4_2")
        c = self.conv("conv4_3_CPM", c, self.scaled(256), prelu="prelu4_3_CPM")
        trunk = self.conv("conv4_4_CPM", c, self.scaled(128), prelu="prelu4_4_CPM")
        for stage in range(self.paf_stages):
            self._add_stage(f"stage{stage}_L2", stage, trunk + PAFS * (stage > 0), PAFS)
        for stage in range(self.heat_stages):
            seen = trunk + PAFS + HEATMAPS * (stage > 0)
            self._add_stage(f"stage{stage}_L1", stage, seen, HEATMAPS)

    def _add_stage(self, tag: str, stage: int, cin: int, cout: int) -> None:
        dense, wide = (96, 256) if stage == 0 else (128, 512)
        for block in range(1, self.blocks + 1):
            for i in range(3):
                cin = self.conv(f"Mconv{block}_{tag}_{i}", cin, self.scaled(dense),
                                prelu=f"Mprelu{block}_{tag}_{i}")
            cin *= 3
        cin = self.conv(f"Mconv6_{tag}", cin, self.scaled(wide), 1, prelu=f"Mprelu6_{tag}")
        self.conv(f"Mconv7_{tag}", cin, cout, 1)

    def _stage(self, tag: str, x: Tensor) -> Tensor:
        for block in range(1, self.blocks + 1):
            parts = []
            for i in range(3):
                x = self.run(f"Mprelu{block}_{tag}_{i}", self.run(f"Mconv{block}_{tag}_{i}", x))
                parts.append(x)
            x = cat(parts, 1)
        return self.run(f"Mconv7_{tag}", self.run(f"Mprelu6_{tag}", self.run(f"Mconv6_{tag}", x)))

    def trunk(self, x: Tensor) -> Tensor:
        x = self.vgg(x)
        for conv, prelu in (("conv4_2", "prelu4_2"), ("conv4_3_CPM", "prelu4_3_CPM"),
                            ("conv4_4_CPM", "prelu4_4_CPM")):
            x = self.run(prelu, self.run(conv, x))
        return x

    def stage_outputs(self, image: Tensor) -> tuple[list[Tensor], list[Tensor]]:
        """Return the PAFs (N, 52, H/8, W/8) and heat maps (N, 26, H/8, W/8) of every stage."""
        trunk = self.trunk(image)
        pafs = [self._stage("stage0_L2", trunk)]
        for stage in range(1, self.paf_stages):
            pafs.append(self._stage(f"stage{stage}_L2", cat([trunk, pafs[-1]], 1)))
        heats = [self._stage("stage0_L1", cat([trunk, pafs[-1]], 1))]
        for stage in range(1, self.heat_stages):
            heats.append(self._stage(f"stage{stage}_L1", cat([trunk, heats[-1], pafs[-1]], 1)))
        return pafs, heats

    def forward(self, image: Tensor) -> Tensor:
        """Return net_output (N, 78, H/8, W/8): 26 heat maps first, then 52 PAF channels."""
        pafs, heats = self.stage_outputs(image)
        return cat([heats[-1], pafs[-1]], 1)


class OpenPoseHand(_CaffeNet):
    """The hand network: VGG features, then stages that refine 22 heat maps with 7x7 kernels.

    Args:
        width: channel width factor.
        stages: stages in all; the official network has 6.
    """

    def __init__(self, width: float = 1.0, *, stages: int = 6) -> None:
        super().__init__(width)
        self.stages = stages
        c = self.add_vgg()
        self._features = ("conv4_2", "conv4_3", "conv4_4", "conv5_1", "conv5_2")
        for name in self._features:
            c = self.conv(name, c, self.scaled(512))
        features = self.conv("conv5_3_CPM", c, self.scaled(128))
        c = self.conv("conv6_1_CPM", features, self.scaled(512), 1)
        self.conv("conv6_2_CPM", c, HAND_HEATMAPS, 1)
        for stage in range(2, stages + 1):
            c = HAND_HEATMAPS + features
            for i in range(1, 7):
                c = self.conv(f"Mconv{i}_stage{stage}", c, self.scaled(128), 7 if i < 6 else 1)
            self.conv(f"Mconv7_stage{stage}", c, HAND_HEATMAPS, 1)

    def stage_outputs(self, hands: Tensor) -> list[Tensor]:
        """Return the heat maps (N, 22, H/8, W/8) of every stage."""
        x = self.vgg(hands)
        for name in (*self._features, "conv5_3_CPM"):
            x = relu(self.run(name, x))
        features = x
        outputs = [self.run("conv6_2_CPM", relu(self.run("conv6_1_CPM", features)))]
        for stage in range(2, self.stages + 1):
            x = cat([outputs[-1], features], 1)  # the other way round than in the body network
            for i in range(1, 7):
                x = relu(self.run(f"Mconv{i}_stage{stage}", x))
            outputs.append(self.run(f"Mconv7_stage{stage}", x))
        return outputs

    def forward(self, hands: Tensor) -> Tensor:
        """Return heatmaps (N, 22, H/8, W/8); the last channel is background."""
        return self.stage_outputs(hands)[-1]
