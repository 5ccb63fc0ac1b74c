"""The label-sparse ALIAS generator is the dense one, on any map; and does far less. So is its
static form, told the windows that the twin of its kernels finds."""

import copy
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnxruntime as ort
import pytest
import torch
from golden_files import compare, fill, golden, inputs
from PIL import Image

from fuw.engine import trt
from fuw.engine.networks import network
from fuw.engine.weights import find_models
from fuw.engine.windows import Level, host_windows
from fuw.export import graph
from fuw.export.alias_case import person_map
from fuw.export.alias_flops import _norm as norm_flops
from fuw.export.alias_flops import executed_flops, executed_share
from fuw.export.nets.alias import ALIASGenerator, ALIASNorm, ALIASResBlock
from fuw.export.nets.alias_sparse import SparseALIAS, sparse_module
from fuw.export.nets.alias_static import CAPACITY, StaticALIAS, static_module
from fuw.export.nets.alias_tables import SparseResBlock
from fuw.export.nets.patterns import find_patterns, label_codes
from fuw.export.precision import convert
from fuw.export.samples import sample_inputs
from fuw.export.to_onnx import export_onnx
from fuw.export.to_trt import build_plan
from fuw.kernels import cpu

LIMIT = 1e-4
H, W = 256, 128
Levels = tuple[Level, ...]
LEVELS = 7  # the two largest without a mask, as in the official network of 8


def one_hot(labels: np.ndarray, classes: int = 7) -> torch.Tensor:
    return torch.from_numpy(inputs.one_hot(labels, classes))


def person(height: int, width: int, shift: int = 0) -> np.ndarray:
    return person_map(height, width, shift)[None]


def split(seg: torch.Tensor, misalign: torch.Tensor) -> torch.Tensor:
    """seg_div, as the pipeline makes it."""
    div = torch.cat((seg, misalign), 1)
    div[:, 2:3] -= misalign
    return div


def label_maps() -> dict[str, torch.Tensor]:
    """Maps (b, 7, H, W) that a window search could get wrong."""
    rng = np.random.default_rng(0)
    rows, columns = np.mgrid[:H, :W]
    dot = np.full((1, H, W), 3)
    dot[0, 101, 67] = 5
    corner = np.full((1, H, W), 1)
    corner[0, 0, 0] = corner[0, -1, -1] = 6
    noise = rng.random((1, 7, H, W), np.float32)
    half = one_hot(person(H, W)).clone()
    half[:, :, 60:70, 40:50] = 0.5  # a window constant at a fractional value
    return {
        "person": one_hot(person(H, W)),
        "random": one_hot(rng.integers(0, 7, (1, H, W))),
        "checkerboard": one_hot((rows + columns)[None] % 2),
        "stripes": one_hot((rows[None] // 3) % 7),
        "one label": one_hot(np.full((1, H, W), 4)),
        "one pixel": one_hot(dot),
        "corners": one_hot(corner),
        "fractional": torch.from_numpy(noise / noise.sum(1, keepdims=True)),
        "fractional patch": half,
        "all zero": torch.zeros(1, 7, H, W),
        "two people": one_hot(np.concatenate((person(H, W), person(H, W, 80)))),
    }


@pytest.fixture(scope="module")
def alias() -> ALIASGenerator:
    torch.manual_seed(0)
    net = ALIASGenerator(0.125, least=8, levels=LEVELS).eval()
    with torch.no_grad():  # biases that matter, since the sparse form leaves some out
        for parameter in net.parameters():
            if parameter.ndim == 1:
                parameter.normal_(0, 0.2)
    return net


@pytest.fixture(autouse=True)
def inference() -> object:
    with torch.no_grad():
        yield


def run(form: str, alias: ALIASGenerator, case: tuple[torch.Tensor, ...],
        capacity: int = 1 << 20) -> np.ndarray:
    """The answer of "sparse" or "static"; of the latter with room for `capacity` windows."""
    if form == "sparse":
        return sparse_module(copy.deepcopy(alias))(*case).numpy()
    module = static_module(copy.deepcopy(alias))
    x, seg, split_seg, _ = (t.numpy() for t in case)
    levels = module.windowed(len(x), *x.shape[2:], capacity)
    windows, overflow = host_windows(levels, {"seg": seg, "seg_div": split_seg})
    assert not overflow
    return module(*case, *map(torch.from_numpy, windows.values())).numpy()


def far(form: str, alias: ALIASGenerator, seg: torch.Tensor, misalign: torch.Tensor) -> float:
    x = torch.from_numpy(inputs.image("sparse/x", (len(seg), 9, H, W), 0))
    case = (x, seg, split(seg, misalign), misalign)
    return compare.rel_l2(run(form, alias, case), alias(*case).numpy())


each_form = pytest.mark.parametrize("form", ["sparse", "static"])


@each_form
@pytest.mark.parametrize("name", label_maps())
def test_equal_to_dense(alias: ALIASGenerator, name: str, form: str) -> None:
    seg = label_maps()[name]
    soft = torch.from_numpy(inputs.blob("sparse/mis", len(seg), H, W, 0)) * seg[:, 2:3]
    assert far(form, alias, seg, soft) < LIMIT


@each_form
@pytest.mark.parametrize("mask", ["zero", "ones", "residue", "mixed"])
def test_equal_to_dense_for_masks(alias: ALIASGenerator, mask: str, form: str) -> None:
    seg = label_maps()["two people"]
    misalign = {
        "zero": torch.zeros(2, 1, H, W), "ones": torch.ones(2, 1, H, W),
        "residue": 6e-8 * seg[:, 2:3],  # what bilinear sampling leaves inside the garment
        "mixed": torch.from_numpy(inputs.blob("sparse/mis", 2, H, W, 1)) * seg[:, 2:3],
    }[mask]
    if mask == "mixed":
        misalign[1:] = 0
    assert far(form, alias, seg, misalign) < LIMIT


def test_residues_of_the_warp_do_not_make_windows() -> None:
    seg = label_maps()["person"]
    div = split(seg, 6e-8 * seg[:, 2:3])
    clean = split(seg, torch.zeros(1, 1, H, W))
    assert len(find_patterns(div, label_codes(div)).windows) == len(
        find_patterns(clean, label_codes(clean)).windows)


def test_the_official_numbers() -> None:
    with torch.device("meta"):
        net = ALIASGenerator()
    arrays = fill.fill_state_dict({k: tuple(v.shape) for k, v in net.state_dict().items()}, 0)
    net.load_state_dict({k: torch.from_numpy(v) for k, v in arrays.items()}, assign=True)
    case = [torch.from_numpy(a) for a in inputs.alias_case(256, 192, 0, 1, "soft")]
    result = run("sparse", net.eval(), tuple(case))
    with np.load(golden("viton_hd_nets.npz")) as file:
        expected = file["alias/256x192_soft"]
    assert compare.rel_l2(result, expected) < LIMIT


@pytest.mark.parametrize("dense_levels", [1, 5, 7])
def test_any_split_between_dense_and_sparse_levels(alias: ALIASGenerator, dense_levels: int
                                                   ) -> None:
    seg = label_maps()["person"]
    misalign = torch.zeros(1, 1, H, W)
    x = torch.from_numpy(inputs.image("sparse/x", (1, 9, H, W), 0))
    case = (x, seg, split(seg, misalign), misalign)
    sparse = SparseALIAS(copy.deepcopy(alias), dense_levels).eval()
    assert compare.rel_l2(sparse(*case).numpy(), alias(*case).numpy()) < LIMIT
    with pytest.raises(ValueError, match="dense_levels is 0"):
        SparseALIAS(copy.deepcopy(alias), 0)


def test_equal_to_dense_at_full_width_of_a_block() -> None:
    torch.manual_seed(1)
    block = ALIASResBlock(144, 64, 7, 128, use_mask_norm=False).eval()
    seg = one_hot(person(128, 96))
    y, features = torch.randn(1, 128, 64, 48), torch.randn(1, 16, 128, 96)
    x = torch.cat((torch.nn.functional.interpolate(y, scale_factor=2), features), 1)
    got = SparseResBlock(block)(y, features, find_patterns(seg, label_codes(seg)), None)
    assert compare.rel_l2(got.numpy(), block(x, seg).numpy()) < 1e-5


def test_windows_are_those_of_a_plain_count() -> None:
    labels = person(96, 64)
    seg = one_hot(labels)
    framed = np.pad(labels[0], 2, constant_values=7)
    windows = np.lib.stride_tricks.sliding_window_view(framed, (5, 5)).reshape(-1, 25)
    distinct = np.unique(windows, axis=0)
    mixed = int((distinct != distinct[:, 12:13]).any(1).sum())
    patterns = find_patterns(seg, label_codes(seg))
    assert mixed <= len(patterns.windows) <= 1.2 * mixed + 8  # collisions of the hash cost rows
    same_row = patterns.row.flatten().numpy()
    for row in np.unique(same_row):  # pixels with the same row have the same window
        assert len(np.unique(windows[same_row == row], axis=0)) == 1


def test_more_labels_than_32_bits_hold_are_refused() -> None:
    seg = torch.zeros(1, 9, 16, 16)
    with pytest.raises(ValueError, match="9 channels"):
        find_patterns(seg, label_codes(seg))


def test_executed_flops_on_a_person() -> None:
    seg = one_hot(person(1024, 768))
    misalign = torch.from_numpy(inputs.blob("sparse/mis", 1, 1024, 768, 0)) * seg[:, 2:3]
    count = executed_flops(seg, split(seg, misalign))
    assert count.dense == pytest.approx(1637e9, rel=1e-3)  # ../shared/design/alias_sparse.md
    assert count.modulation / count.dense == pytest.approx(0.82, abs=0.005)
    assert count.share < 0.30
    assert executed_flops(seg, split(seg, misalign), 0.125, least=8).share < 0.30


def real_map(case: str, kind: str) -> tuple[torch.Tensor, torch.Tensor]:
    """seg and misalign of a golden fit, "real" or "pred"."""
    folder = golden(f"pipeline/{case}")
    ids = np.asarray(Image.open(folder / f"{kind}-parse-7.png")).astype(np.int64)
    seg = one_hot(ids[None])
    grey = np.asarray(Image.open(folder / f"{kind}-misalign.png"), np.float32) / 255
    return seg, torch.from_numpy(grey)[None, None] * seg[:, 2:3]


def small_case(seg: torch.Tensor, misalign: torch.Tensor) -> tuple[torch.Tensor, ...]:
    """Every second pixel of full-size maps: the same outlines, a quarter of the test's time."""
    seg, misalign = seg[..., ::2, ::2].contiguous(), misalign[..., ::2, ::2].contiguous()
    x = torch.from_numpy(inputs.image("sparse/x", (1, 9, *seg.shape[2:]), 0))
    return x, seg, split(seg, misalign), misalign


@pytest.mark.golden
@each_form
@pytest.mark.parametrize("case", ["00891_00__01430_00", "08909_00__02783_00"])
@pytest.mark.parametrize("kind", ["real", "pred"])
def test_equal_to_dense_on_real_parse_maps(alias: ALIASGenerator, case: str, kind: str, form: str,
                                           ) -> None:
    given = small_case(*real_map(case, kind))
    assert compare.rel_l2(run(form, alias, given), alias(*given).numpy()) < LIMIT


@pytest.mark.golden
@pytest.mark.parametrize("case", ["00891_00__01430_00", "08909_00__02783_00"])
def test_real_parse_maps_fit_the_static_forms_tables(case: str) -> None:
    """With twice the room that they need, on every level of the official network."""
    seg, misalign = real_map(case, "real")
    with torch.device("meta"):
        levels = StaticALIAS(ALIASGenerator()).windowed(1, 1024, 768)
    assert [level.step for level in levels] == [32, 16, 8, 4, 2, 1]
    feeds = {"seg": seg.numpy(), "seg_div": split(seg, misalign).numpy()}
    for level in levels:
        pixels = 1024 * 768 // level.step**2
        assert level.capacity == min(CAPACITY, pixels)
        room = level.capacity if level.capacity == pixels else level.capacity // 2
        assert not host_windows([replace(level, capacity=room)], feeds)[1]


def test_the_static_form_computes_less_than_30_percent() -> None:
    """With all of its tables' rows, used or not."""
    with torch.device("meta"):
        net = ALIASGenerator()
        levels = StaticALIAS(net).windowed(1, 1024, 768)
    spared = rows = 0
    for level in levels:
        block = net.blocks()[8 - level.step.bit_length()]
        norms = [m for m in block.children() if isinstance(m, ALIASNorm)]
        spared += sum(norm_flops(norm, 1024 * 768 // level.step**2) for norm in norms)
        rows += sum(norm_flops(norm, level.capacity, 9) for norm in norms)
    dense = 1636.5e9  # ../shared/design/alias_sparse.md
    assert (dense - spared + rows) / dense == pytest.approx(0.28, abs=0.005)


@each_form
def test_equal_to_dense_on_the_starters_prediction(alias: ALIASGenerator, form: str) -> None:
    model = find_models("starter", "fp32", (1024, 768))["seg"]
    session = ort.InferenceSession(str(model.path), providers=["CPUExecutionProvider"])
    (given,) = sample_inputs(model.spec, model.sizes)
    (probabilities,) = session.run(None, {"x": given})
    labels = cpu.seg_labels(probabilities, 1024, 768)
    seg = torch.from_numpy(cpu.one_hot(cpu.group7(labels), 7))
    warped = torch.from_numpy(inputs.blob("sparse/mis", 1, 1024, 768, 0))
    case = small_case(seg, (seg[:, 2:3] - warped).clamp(min=0))
    assert compare.rel_l2(run(form, alias, case), alias(*case).numpy()) < LIMIT


@pytest.mark.golden
@pytest.mark.parametrize("case", ["00891_00__01430_00", "08909_00__02783_00"])
def test_executed_flops_on_real_parse_maps(case: str) -> None:
    seg, misalign = real_map(case, "real")
    div = split(seg, misalign)
    assert executed_flops(seg, div).share <= 0.30
    assert executed_share(seg.numpy(), div.numpy()) == executed_flops(seg, div).share


def test_the_exported_graph_takes_any_map(tmp_path: Path) -> None:
    torch.manual_seed(2)
    net = ALIASGenerator(0.125, levels=4).eval()
    spec = network("alias")
    path = export_onnx(spec, SparseALIAS(copy.deepcopy(net), 3).eval(), tmp_path / "sparse.onnx",
                       variant="starter", size=(H, W))
    session = ort.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    x = torch.from_numpy(inputs.image("sparse/x", (1, 9, H, W), 0))
    for name in ("person", "one label", "random"):  # few windows and 32,768 in one graph
        seg = label_maps()[name]
        misalign = torch.from_numpy(inputs.blob("sparse/mis", 1, H, W, 0)) * seg[:, 2:3]
        case = (x, seg, split(seg, misalign), misalign)
        (got,) = session.run(None, {t.name: v.numpy() for t, v in zip(spec.inputs, case,
                                                                        strict=True)})
        assert compare.rel_l2(got, net(*case).numpy()) < LIMIT, name


@pytest.fixture(scope="module")
def static_file(tmp_path_factory: pytest.TempPathFactory) -> tuple[ALIASGenerator, Path, Levels]:
    """A narrow network of all levels, its static form as a file, and that form's levels."""
    torch.manual_seed(2)
    net = ALIASGenerator(0.125).eval()
    module = static_module(copy.deepcopy(net))
    levels = module.windowed(1, H, W)
    path = export_onnx(network("alias"), module, tmp_path_factory.mktemp("static") / "s.onnx",
                       variant="starter", size=(H, W),
                       more=[t for level in levels for t in level.tensors(1, H, W)])
    return net, path, levels


def test_the_static_file_takes_any_map_that_fits(
        static_file: tuple[ALIASGenerator, Path, Levels]) -> None:
    net, path, levels = static_file
    kinds = {node.op_type for node in graph.load(path).graph.node}
    assert not kinds & {"NonZero", "ScatterElements", "ScatterND", "CumSum", "Unique", "Loop", "If"}
    session = ort.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    x = torch.from_numpy(inputs.image("sparse/x", (1, 9, H, W), 0))
    for name, fits in (("person", True), ("one label", True), ("checkerboard", True),
                       ("random", False)):
        seg = label_maps()[name]
        misalign = torch.from_numpy(inputs.blob("sparse/mis", 1, H, W, 0)) * seg[:, 2:3]
        case = (x, seg, split(seg, misalign), misalign)
        feeds = {t.name: v.numpy() for t, v in zip(network("alias").inputs, case, strict=True)}
        windows, overflow = host_windows(levels, feeds)
        assert overflow is not fits, name
        (got,) = session.run(None, feeds | windows)  # one that overflows runs as well: in bounds
        assert not fits or compare.rel_l2(got, net(*case).numpy()) < LIMIT, name


@pytest.mark.slow
def test_tensorrt_builds_the_static_form(static_file: tuple[ALIASGenerator, Path, Levels],
                                         tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In fp16, by TensorRT for RTX, which needs no GPU and refuses the form for CPUs."""
    pytest.importorskip("tensorrt_rtx", reason="pip install tensorrt-rtx-cu13",
                        exc_type=ImportError)
    monkeypatch.setattr(trt, "PACKAGES", ("tensorrt_rtx",))
    low = convert(static_file[1], tmp_path / "low.onnx", "fp16", network("alias").fp32_islands).path
    assert len(build_plan(low, "alias")) > low.stat().st_size  # raises where weights stayed fp32


def test_a_size_that_does_not_halve_is_refused() -> None:
    module = static_module(ALIASGenerator(0.0625, least=8, levels=4))
    assert [level.step for level in module.windowed(2, 16, 24)] == [2, 1]
    with pytest.raises(ValueError, match="16x20: both sides must be multiples of 8"):
        module.windowed(1, 16, 20)


def test_codes_name_clean_labels_only() -> None:
    columns = {
        (0, 1, 0): 1, (0, 0, 1): 2, (1, 0, 0): 0, (6e-8, 1 - 6e-8, 0): 1, (-6e-8, 1, 0): 1,
        (0, 0, 0): 4, (1, 1, 0): 4, (1, 0, 1): 4, (0.5, 0.5, 0): 4, (2 / 3, 2 / 3, -1 / 3): 4,
        (0, 0.996, 0): 4, (-1, 1, 1): 4, (0, 2, 0): 4, (1, 1, 1): 4, (float("nan"), 1, 0): 4,
    }
    seg = torch.tensor(list(columns)).T.reshape(1, 3, 1, -1)
    assert label_codes(seg).flatten().tolist() == list(columns.values())
