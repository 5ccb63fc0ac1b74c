"""What the segmentation generator is told of the garment."""

import pytest
import torch

from fuw.export.nets.seg import SegGenerator


def given(seed: int = 0) -> torch.Tensor:
    x = torch.rand(1, 21, 64, 48, generator=torch.Generator().manual_seed(seed))
    x[:, 0] = (x[:, 0] > 0.5).float()
    return x


def net() -> SegGenerator:
    torch.manual_seed(0)
    return SegGenerator(0.125, hint=8).eval()


def test_it_begins_without_any_effect() -> None:
    hinted, plain = net(), SegGenerator(0.125).eval()
    plain.load_state_dict({k: v for k, v in hinted.state_dict().items()
                           if not k.startswith("hint.")})
    with torch.no_grad():
        torch.testing.assert_close(hinted(given()), plain(given()))


def test_the_official_network_has_no_hint() -> None:
    assert not [k for k in SegGenerator(0.125).state_dict() if k.startswith("hint.")]


def test_a_code_alone_changes_the_answer() -> None:
    """Although instance norm takes away what is the same all over the picture."""
    hinted = net()
    assert hinted.hint is not None
    with torch.no_grad():
        for style in hinted.hint.styles:
            style.weight.normal_(0, 0.3)  # type: ignore[union-attr, operator]
        before = hinted(given())
        hinted.hint.describe.bias += 2.0  # another garment, told by the code only
        moved = (hinted(given()) - before).abs().mean()
    assert moved > 0.01


@pytest.mark.parametrize("height", [64, 128, 256])
def test_it_takes_any_size(height: int) -> None:
    x = torch.rand(2, 21, height, height * 3 // 4)
    hinted = net()
    assert hinted.hint is not None
    with torch.no_grad():
        assert hinted.hint.code(x).shape == (2, 8)
        assert hinted(x).shape == (2, 13, height, height * 3 // 4)
