"""ONNX graphs as the exporter handles them: paths of nodes, types of tensors, whole files."""

from __future__ import annotations

import fnmatch
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
import onnx
from onnx import ModelProto, NodeProto, TensorProto, numpy_helper

from fuw.engine.errors import ExportError
from fuw.engine.files import write_whole

SCOPES = "pkg.torch.onnx.name_scopes"  # the module path that torch's exporter leaves on a node


def load(path: Path) -> ModelProto:
    """Read an ONNX file; raises ExportError where it is not one."""
    try:
        return onnx.load(str(path))
    except Exception as error:  # protobuf's DecodeError, OSError, onnx's own
        raise ExportError(
            f"{path} cannot be read as ONNX ({type(error).__name__}); export it again with --force"
        ) from error


def save(model: ModelProto, path: Path) -> Path:
    """Check `model` and write it whole, weights inside, or leave `path` as it was."""
    onnx.checker.check_model(model, full_check=True)
    data = model.SerializeToString(deterministic=True)
    write_whole(path, lambda handle: handle.write(data))
    return path


def metadata(model: ModelProto) -> dict[str, str]:
    """The file's metadata ("fuw.network", "fuw.spec", ...)."""
    return {entry.key: entry.value for entry in model.metadata_props}


def set_metadata(model: ModelProto, entries: dict[str, str]) -> None:
    """Add or replace metadata, sorted by key so that equal exports are equal bytes."""
    merged = {**metadata(model), **entries}
    onnx.helper.set_model_props(model, dict(sorted(merged.items())))


def module_path(node: NodeProto) -> str:
    """Path of the Torch module that made a node, for example "up_4.norm_0"; "" at the top."""
    return node.name.rpartition("/")[0]


def name_by_module(model: ModelProto) -> None:
    """Rename nodes to "module.path/Op_n" from what torch's exporter noted, and drop the notes.

    The notes hold source lines and folders of the machine that exported; the path is what fp32
    islands are named by.
    """
    counts: dict[str, int] = {}
    for node in model.graph.node:
        noted = {entry.key: entry.value for entry in node.metadata_props}
        scopes = [s for s in noted.get(SCOPES, "").strip("[]").split(", ")][:-1]
        path = scopes[-1].strip("'\"") if scopes else ""
        stem = f"{path}/{node.op_type}"
        counts[stem] = counts.get(stem, -1) + 1
        node.name = f"{stem}_{counts[stem]}"
        del node.metadata_props[:]
        node.doc_string = ""
    for value in (*model.graph.value_info, *model.graph.input, *model.graph.output,
                  *model.graph.initializer):
        del value.metadata_props[:]
        value.doc_string = ""
    del model.graph.metadata_props[:]


def matches(node: NodeProto, patterns: Iterable[str]) -> bool:
    """Whether a shell pattern names the node: "decoder.conv3*" its module, "*/Softmax_*" itself.

    A pattern without "/" speaks of modules and takes everything inside them.
    """
    path = module_path(node)
    return any(
        fnmatch.fnmatchcase(node.name, p) if "/" in p
        else fnmatch.fnmatchcase(path, p) or fnmatch.fnmatchcase(path, f"{p}.*")
        for p in patterns
    )


def tensor_types(model: ModelProto) -> dict[str, int]:
    """Element type (TensorProto.FLOAT, ...) of every tensor of the graph."""
    inferred = onnx.shape_inference.infer_shapes(model, strict_mode=True, data_prop=True).graph
    values = (*inferred.value_info, *inferred.input, *inferred.output)
    types = {v.name: v.type.tensor_type.elem_type for v in values}
    types.update({t.name: t.data_type for t in inferred.initializer})
    return types


def fp32_share(path: Path) -> float:
    """Share of the nodes of a reduced file that compute in fp32 (casts not counted)."""
    model = load(path)
    nodes = [n for n in model.graph.node if n.op_type != "Cast"]
    types = tensor_types(model)
    return sum(types.get(n.output[0]) == TensorProto.FLOAT for n in nodes) / max(len(nodes), 1)


def lift_constants(model: ModelProto) -> None:
    """Turn Constant nodes into initializers, so that constants are met in one form only."""
    kept: list[NodeProto] = []
    for node in model.graph.node:
        if node.op_type != "Constant":
            kept.append(node)
            continue
        tensor = TensorProto()
        tensor.CopyFrom(_constant(node))
        tensor.name = node.output[0]
        model.graph.initializer.append(tensor)
    del model.graph.node[:]
    model.graph.node.extend(kept)


def unpack_weights(model: ModelProto) -> None:
    """Undo half-storage: a weight kept as fp16 behind a Cast becomes the fp32 weight it stands for.

    The starter's files are shipped so, at half the size; the numbers are the same.
    """
    weights = {t.name: t for t in model.graph.initializer}
    kept: list[NodeProto] = []
    for node in model.graph.node:
        stored = weights.get(node.input[0]) if node.op_type == "Cast" else None
        if stored is None or stored.data_type != TensorProto.FLOAT16:
            kept.append(node)
            continue
        exact = numpy_helper.to_array(stored).astype(np.float32)
        model.graph.initializer.append(numpy_helper.from_array(exact, node.output[0]))
    del model.graph.node[:]
    model.graph.node.extend(kept)
    used = {name for node in kept for name in node.input}
    left = [t for t in model.graph.initializer if t.name in used]
    del model.graph.initializer[:]
    model.graph.initializer.extend(left)


def _constant(node: NodeProto) -> TensorProto:
    attribute = node.attribute[0]
    value = onnx.helper.get_attribute_value(attribute)
    if isinstance(value, TensorProto):
        return value
    flat: Sequence[float] = value if isinstance(value, (list, tuple)) else [value]
    kind = TensorProto.FLOAT if attribute.name.startswith("value_float") else TensorProto.INT64
    dims = [len(flat)] if attribute.name.endswith("s") else []
    return onnx.helper.make_tensor("", kind, dims, flat)
