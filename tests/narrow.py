"""Networks of a fit as a few ONNX nodes with made-up weights, for any batch, and people and
garments for them: a fit in a blink."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
from made_up import standing
from onnx import TensorProto, helper, numpy_helper

from fuw.engine.backend import Model
from fuw.engine.framing import whole_frame
from fuw.engine.networks import NETWORKS
from fuw.engine.records import Fit, Garment, Person
from fuw.engine.spec import Variant
from fuw.kernels import cpu

SIZE = (256, 128)
SMALL = {"height": 256, "width": 192}
SIZES = {"seg": SMALL, "gmm": SMALL, "alias": {"height": 256, "width": 128}}


def _nodes(name: str) -> tuple[list[onnx.NodeProto], dict[str, tuple[int, ...]]]:
    """The graph of one network, and the shapes of its weights."""
    node = helper.make_node
    if name == "seg":
        return [node("Conv", ["x", "w"], ["y"], pads=[1] * 4),
                node("Sigmoid", ["y"], ["probabilities"])], {"w": (13, 21, 3, 3)}
    if name == "gmm":
        return [node("Concat", ["a", "b"], ["ab"], axis=1),
                node("Conv", ["ab", "w"], ["y"], strides=[8, 8]),
                node("GlobalMaxPool", ["y"], ["z"]), node("Flatten", ["z"], ["flat"]),
                node("Tanh", ["flat"], ["t"]), node("Mul", ["t", "small"], ["theta"])], {
                    "w": (50, 10, 8, 8), "small": (1,)}
    return [node("Concat", ["x", "seg", "seg_div", "misalign"], ["all"], axis=1),
            node("Conv", ["all", "w"], ["y"], pads=[1] * 4), node("Tanh", ["y"], ["image"])], {
                "w": (3, 25, 3, 3)}


def narrow_model(name: str, folder: Path, batch: int) -> Model:
    """Write the network and describe it."""
    sizes = SIZES[name]
    spec = replace(NETWORKS[name], variants={**NETWORKS[name].variants,
                                             "tiny": Variant(sizes=sizes)})
    nodes, weights = _nodes(name)
    rng = np.random.default_rng(7)
    known = [numpy_helper.from_array((rng.standard_normal(shape) * 0.1).astype(np.float32), key)
             for key, shape in weights.items()]

    def tensors(kind: str) -> list[onnx.ValueInfoProto]:
        return [helper.make_tensor_value_info(t.name, TensorProto.FLOAT, t.shape(sizes, batch))
                for t in getattr(spec, kind)]

    graph = helper.make_graph(nodes, name, tensors("inputs"), tensors("outputs"), known)
    path = folder / f"{name}-{batch}.onnx"
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9),
              path)
    return Model(spec, "tiny", path, "fp32", sizes, batch)


def narrow_person(seed: int) -> Person:
    """Somebody with a shirt."""
    rng = np.random.default_rng(seed)
    image = rng.integers(0, 256, (*SIZE, 3), dtype=np.uint8)
    parse = np.zeros(SIZE, np.uint8)
    parse[60:160, 30 + 5 * seed : 90] = 5
    body = standing(*SIZE)
    body[:, 0] += seed
    drawn = cpu.draw_skeleton(body, None, *SIZE)
    agnostic = cpu.parse_agnostic(parse, body, SIZE[0] / 1024)
    return Person(image, body, np.zeros((2, 21, 3), np.float32), drawn, parse, None, agnostic,
                  cpu.group13(agnostic), cpu.image_agnostic(image, parse, body, SIZE[0] / 1024),
                  photo=image, frame=whole_frame(image, SIZE))


def narrow_garment(seed: int) -> Garment:
    """Something to wear; its picture is smooth, as a warp of noise is no one's."""
    rows, columns = np.mgrid[: SIZE[0], : SIZE[1]]
    waves = np.stack([np.sin(rows / (9 + seed) + c) * np.cos(columns / (7 + c)) for c in range(3)])
    mask = np.zeros(SIZE, np.uint8)
    mask[30 + 9 * seed : 200, 20:100] = 255
    return Garment((waves.transpose(1, 2, 0) * 100 + 128).astype(np.uint8), mask, mask)


def hold(got: Fit, want: Fit) -> None:
    """Every stage within what its twin is held to, the picture to one grey level."""
    a, b = got.parts, want.parts
    assert (a.groups != b.groups).mean() < 2e-4 and (a.seg != b.seg).mean() < 2e-4
    assert a.theta.shape == b.theta.shape and np.abs(a.theta - b.theta).max() < 1e-4
    for name in ("warped", "warped_mask", "misalign"):
        x, y = getattr(a, name).astype(int), getattr(b, name).astype(int)
        assert x.shape == y.shape and (np.abs(x - y) > 1).mean() < 1e-3, name
    off = np.abs(got.image.astype(int) - want.image.astype(int))
    assert got.image.shape == want.image.shape and (off > 1).mean() < 2e-4, off.max()


def hold_person(got: Person, want: Person) -> None:
    """Every map within what its kernel is held to."""
    assert got.frame.size == want.frame.size
    assert abs(got.frame.x - want.frame.x) < 0.01 and abs(got.frame.scale - want.frame.scale) < 1e-4
    assert np.abs(got.body - want.body).max() < 0.05 and np.abs(got.hands - want.hands).max() < 0.05
    for name in ("image", "skeleton", "parse", "iuv", "parse_agnostic", "groups_agnostic",
                 "agnostic"):
        a, b = getattr(got, name), getattr(want, name)
        assert a.shape == b.shape and a.dtype == b.dtype, name
        assert (np.abs(a.astype(int) - b.astype(int)) > 1).mean() < 2e-3, name
    assert [w.code for w in got.warnings] == [w.code for w in want.warnings]
