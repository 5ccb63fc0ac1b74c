"""The twin of kernels/windows.cu: every distinct window once, in order, in fixed shapes."""

import numpy as np
import pytest
import torch

from fuw.engine.windows import Level, host_windows, read_levels
from fuw.export.alias_case import alias_inputs, person_map
from fuw.export.nets.patterns import find_patterns, label_codes
from fuw.kernels import cpu

H, W = 64, 48


def seen(labels: np.ndarray) -> np.ndarray:
    """(pixels, 25 * channels) of labels (n, c, h, w), with one channel more for the outside."""
    n, _, h, w = labels.shape
    known = np.concatenate((labels, np.ones((n, 1, h, w), np.float32)), 1)
    framed = np.pad(known, ((0, 0), (0, 0), (2, 2), (2, 2)))
    windows = np.lib.stride_tricks.sliding_window_view(framed, (5, 5), (2, 3))
    return windows.transpose(0, 2, 3, 1, 4, 5).reshape(n * h * w, -1)


@pytest.mark.parametrize("step", [1, 2])
def test_windows_are_those_of_a_plain_count(step: int) -> None:
    labels = np.concatenate([alias_inputs(person_map(H, W, shift))[1] for shift in (0, 90)])
    whole = seen(labels[:, :, ::step, ::step])
    _, first, row = np.unique(whole, axis=0, return_index=True, return_inverse=True)
    order = np.argsort(np.argsort(first))  # by their first pixels
    found = cpu.windows(labels, step, 4000)
    assert not found.overflow and np.array_equal(found.rows.ravel(), order[row.ravel()])
    assert (found.places[len(first):] == -1).all()
    inside = found.places[: len(first)] >= 0
    channels = labels.shape[1]
    for channel in range(channels):
        at = np.clip(found.places[: len(first)], 0, None) + channel * H * W
        values = labels.ravel()[at] * inside
        assert np.array_equal(values, whole[np.sort(first)].reshape(
            -1, channels + 1, 25)[:, channel])
    assert np.array_equal(inside, whole[np.sort(first)].reshape(-1, channels + 1, 25)[:, -1] == 1)


def test_the_same_windows_as_the_form_for_cpus() -> None:
    """Equal rows there are equal rows here; there a collision of a hash may cost a row."""
    labels = torch.from_numpy(alias_inputs(person_map(H, W))[2])  # with fractional pixels
    theirs = find_patterns(labels, label_codes(labels)).row.flatten().numpy()
    ours = cpu.windows(labels.numpy(), 1, 4000).rows.ravel()
    assert len(set(zip(ours, theirs, strict=True))) == len(set(theirs)) >= len(set(ours)) > 400


def test_what_is_no_label_stands_for_itself() -> None:
    labels = np.zeros((1, 3, H, W), np.float32)
    labels[:, 1] = 1
    few = cpu.windows(labels, 1, 4000)
    labels[0, :, 20:22, 10] = 0.5, 0.5
    labels[0, :, 40, 30] = np.nan
    many = cpu.windows(labels, 1, 4000)
    changed = np.zeros((H, W), bool)
    changed[18:24, 8:13] = changed[38:43, 28:33] = True
    assert many.rows.max() - few.rows.max() == changed.sum()
    alone, others = many.rows[0][changed], many.rows[0][~changed]
    assert len(np.unique(alone)) == changed.sum() and not np.isin(others, alone).any()


def test_past_the_capacity_nothing_points_anywhere() -> None:
    labels = alias_inputs(person_map(H, W))[1]
    needed = int(cpu.windows(labels, 1, 4000).rows.max()) + 1
    assert not cpu.windows(labels, 1, needed).overflow
    found = cpu.windows(labels, 1, needed - 1)
    assert found.overflow and not found.rows.any() and (found.places == -1).all()
    assert found.places.shape == (needed - 1, 25)


def test_more_labels_than_a_code_holds_are_refused() -> None:
    with pytest.raises(ValueError, match="15 channels"):
        cpu.windows(np.zeros((1, 15, 8, 8), np.float32), 1, 9)


def test_the_inputs_of_all_levels() -> None:
    levels = (Level("seg_div", 2, 100), Level("seg", 1, 4000))
    _, seg, split, _ = alias_inputs(person_map(H, W), 2)
    found, overflow = host_windows(levels, {"seg": seg, "seg_div": split})
    wanted = [tensor for level in levels for tensor in level.tensors(2, H, W)]
    assert [(t.name, t.shape({})) for t in wanted] == [(k, v.shape) for k, v in found.items()]
    assert all(v.dtype == np.int32 for v in found.values()) and overflow  # of the first
    assert not host_windows(levels[1:], {"seg": seg, "seg_div": split})[1]


@pytest.mark.parametrize("rows", [
    None, 3, [["seg", 1]], [["seg", 1, 2, 3]], [["parse", 1, 9]], [["seg", 0, 9]],
    [["seg", 1, True]], [["seg", 1.5, 9]], [["seg", 1, 1 << 40]]])
def test_a_broken_manifest_is_told(rows: object) -> None:
    with pytest.raises((TypeError, ValueError)):
        read_levels(rows)


def test_levels_come_back_from_a_manifest() -> None:
    assert read_levels([["seg_div", 2, 600], ["seg", 1, 4000]]) == (
        Level("seg_div", 2, 600), Level("seg", 1, 4000))
