"""One table of every kernel operation: made-up inputs, the twin's answer, how close it must be.

test_kernels_shim.py runs it through g++ (also under sanitizers), test_kernels_gpu.py on a GPU:
twin, shim and kernel cannot part silently.
"""

from collections.abc import Callable

import numpy as np
import numpy.typing as npt
from kernel_run import Array, Pair, Run

from fuw.engine.finite import all_finite
from fuw.engine.frame import Frame, _blend, _ramp
from fuw.engine.ops import cpu_ops
from fuw.engine.spec import View
from fuw.kernels import cpu
from fuw.kernels.device import Device
from fuw.kernels.gpu import Real
from fuw.kernels.steps import Steps

OPS = cpu_ops()


def _each(n: int, twin: Callable[[int], Array]) -> Array:
    return np.stack([twin(i) for i in range(n)])


def schp_labels(run: Run) -> list[Pair]:
    # Whole steps of 1/16 between the classes, so that an order of summation decides nothing.
    logits = np.rint(run.tensor(run.n, 20, 23, 19) * 16) / np.float32(16)
    ours = run.down(run.steps.schp_labels(run.upr(logits), run.height, run.width, 89))
    twin = _each(run.n, lambda i: cpu.schp_labels(logits[i : i + 1], run.height, run.width, 89))
    return [Pair(ours.reshape(twin.shape), twin, share=5e-3)]


def seg_labels(run: Run) -> list[Pair]:
    probabilities = run.tensor(run.n, 13, 17, 11)
    ours = run.down(run.steps.seg_labels(run.upr(probabilities), run.height, run.width))
    twin = _each(run.n, lambda i: cpu.seg_labels(probabilities[i : i + 1], run.height, run.width))
    return [Pair(ours.reshape(twin.shape), twin, share=2e-3)]


def groups(run: Run) -> list[Pair]:
    parse, parse13 = run.labels(20, run.n), run.labels(13, run.n)
    return [Pair(run.down(run.steps.group13(run.up(parse))), cpu.group13(parse)),
            Pair(run.down(run.steps.group7(run.up(parse13))), cpu.group7(parse13))]


def one_hot(run: Run) -> list[Pair]:
    labels = run.labels(9, run.n)  # 7 and 8 have no channel
    twin = np.concatenate([cpu.one_hot(label, 7) for label in labels])
    return [Pair(run.down(run.steps.one_hot(run.up(labels), 7)), twin)]


def lip_to_viton(run: Run) -> list[Pair]:
    parse, body = run.labels(20), run.body()
    parse[: run.height // 3] = 13
    iuv = np.zeros((run.height, run.width, 3), np.uint8)
    iuv[..., 0] = run.labels(5)
    nobody = np.zeros_like(body)
    return [Pair(run.down(run.steps.lip_to_viton(run.up(parse), b, u and run.up(iuv))),
                 cpu.lip_to_viton(parse, b, iuv if u else None), share=1e-3)
            for b in (body, nobody) for u in (None, True)]


def agnostic(run: Run) -> list[Pair]:
    image, parse = run.picture(), run.labels(20)
    parse[:, run.width // 2 :][parse[:, run.width // 2 :] > 15] = 14
    scale = run.height / 1024
    pairs = []
    for body in (run.body(), np.zeros((25, 3), np.float32)):
        ours = run.steps.parse_agnostic(run.up(parse), body, scale)
        pairs.append(Pair(run.down(ours), cpu.parse_agnostic(parse, body, scale), share=2e-4))
        pairs += [Pair(run.down(run.steps.as_kept(run.up(parse), ids)), cpu.as_kept(parse, ids))
                  for ids in ((1, 2), ())]
        picture = run.steps.image_agnostic(run.up(image), run.up(parse), body, scale)
        pairs.append(Pair(run.down(picture), cpu.image_agnostic(image, parse, body, scale),
                          share=2e-4))
    return pairs


def seg_noise(run: Run) -> list[Pair]:
    return [Pair(run.down(run.steps.seg_noise(seed, run.height, run.width)),
                 cpu.seg_noise(seed, run.height, run.width)) for seed in (0, 7)]


def seg_input(run: Run) -> list[Pair]:
    mask, cloth = run.mask(run.n), run.picture(run.n)
    noise = np.concatenate([cpu.seg_noise(seed, 13, 9) for seed in range(run.n)])
    pairs = []
    for people in {1, run.n}:
        parse13, skeleton = run.labels(13, people), run.picture(people)
        ours = run.steps.seg_input(run.up(mask), run.up(cloth), run.up(parse13), run.up(skeleton),
                                   run.up(noise))
        twin = np.concatenate([
            cpu.seg_input(mask[i], cloth[i], parse13[i % people], skeleton[i % people],
                          noise[i : i + 1]) for i in range(run.n)])
        pairs.append(Pair(run.down(ours), twin, atol=1e-5))
    return pairs


def gmm_input(run: Run) -> list[Pair]:
    parse7, cloth = run.labels(7, run.n), run.picture(run.n)
    pairs = []
    for people in {1, run.n}:
        skeleton, agnostic = run.picture(people), run.picture(people)
        a, b = run.steps.gmm_input(run.up(parse7), run.up(skeleton), run.up(agnostic),
                                   run.up(cloth), 11, 10)
        twins = [cpu.gmm_input(parse7[i], skeleton[i % people], agnostic[i % people], cloth[i],
                               11, 10) for i in range(run.n)]
        pairs += [Pair(run.down(ours), np.concatenate([t[k] for t in twins]), atol=1e-6)
                  for k, ours in enumerate((a, b))]
    return pairs


def warp_garment(run: Run) -> list[Pair]:
    cloth, mask = run.picture(run.n), run.mask(run.n)
    mask[-1] = 0  # an empty mask
    pairs = []
    for strength in (0.0, 0.05, 0.5):  # the enlargement, a realistic warp, folds and far outside
        theta = run.tensor(run.n, 50) * np.float32(strength)
        theta = theta.astype(run.real).astype(np.float32)
        W_c, W_m = run.steps.warp_garment(run.up(cloth), run.up(mask), run.upr(theta),
                                          run.height + 3, run.width + 1)
        twins = [cpu.warp_garment(cloth[i], mask[i], theta[i : i + 1], run.height + 3,
                                  run.width + 1) for i in range(run.n)]
        # Neighbouring pixels here differ by up to 2, so a place 1e-3 of a pixel off shows as 2e-3;
        # the strongest theta loses another digit, which counts at 1024 pixels.
        for k, array in enumerate((W_c, W_m)):
            ours, twin = run.down(array), np.concatenate([t[k] for t in twins])
            pairs += [Pair(ours, twin, atol=3e-3, share=2e-3), Pair(ours, twin, atol=3e-2)]
    return pairs


def composition(run: Run) -> list[Pair]:
    seg7 = np.concatenate([cpu.one_hot(label, 7) for label in run.labels(7, run.n)])
    warped = np.abs(run.tensor(run.n, 1, run.height, run.width))
    warped[0, 0, 0, 0] = 0
    dseg, dwarped = run.upr(seg7), run.upr(warped)
    misalign = run.steps.misalignment(dseg, dwarped)
    twin = cpu.misalignment(seg7[:, 2:3], warped)
    alone = run.steps.misalignment(run.upr(seg7[:, 2:3].copy()), dwarped)
    held = run.down(misalign).astype(np.float32)
    divided = run.steps.split_seg(dseg, misalign)
    return [Pair(held, twin, atol=1e-6 if run.real == np.float32 else 1e-3),
            Pair(run.down(alone), run.down(misalign)),
            Pair(run.down(divided), cpu.split_seg(seg7, held), atol=1e-6),
            Pair(run.down(run.steps.to_mask(misalign)).reshape(run.n, run.height, run.width),
                 np.stack([cpu.to_mask(held[i : i + 1]) for i in range(run.n)]))]


def alias_input(run: Run) -> list[Pair]:
    warped = run.tensor(run.n, 3, run.height, run.width)
    pairs = []
    for people in {1, run.n}:
        agnostic, skeleton = run.picture(people), run.picture(people)
        ours = run.steps.alias_input(run.up(agnostic), run.up(skeleton), run.upr(warped))
        twin = np.concatenate([cpu.alias_input(agnostic[i % people], skeleton[i % people],
                                               warped[i : i + 1]) for i in range(run.n)])
        pairs.append(Pair(run.down(ours), twin, atol=1e-6))
    return pairs


def to_image(run: Run) -> list[Pair]:
    x = run.tensor(run.n, 3, run.height, run.width) * np.float32(1.2)
    x = x.astype(run.real).astype(np.float32)
    twin = np.stack([cpu.to_image(x[i : i + 1]) for i in range(run.n)])
    bad = run.up(np.zeros(1, np.int32))
    ours = run.down(run.steps.to_image(run.upr(x), bad)).reshape(twin.shape)
    fine = run.down(bad)
    x[-1, 1, -1, -1] = np.nan
    x[0, 0, 0, 0] = np.inf
    run.steps.to_image(run.upr(x), bad)
    # On a GPU (v + 1) * 0.5 * 255 may be contracted: one level at exact steps.
    return [Pair(ours, twin, atol=1.0, share=0.0), Pair(ours, twin, share=1e-3),
            Pair(fine, np.array([0])), Pair(run.down(bad), np.array([1]))]


def look(run: Run) -> list[Pair]:
    """NaN and both infinities, first, last and between; nothing else is told."""
    x = run.tensor(run.n, 3, run.height, run.width)
    x[0, 0, 0, :4] = 65504, -65504, 1e-7, 0
    pairs = []
    for value in (None, np.nan, np.inf, -np.inf):
        for place in (0, 17, x.size - 1):
            spoilt = x.copy()
            if value is not None:
                spoilt.reshape(-1)[place] = value
            flags = run.up(np.zeros(3, np.int32))
            run.steps.look(run.upr(spoilt), flags.part(4, 1))
            pairs.append(Pair(run.down(flags), np.array([0, value is not None, 0])))
            assert all_finite([spoilt]) == (value is None)
    return pairs


def paste_back(run: Run) -> list[Pair]:
    photo, patch = run.picture(), run.picture()[: run.height // 2, : run.width // 2].copy()
    h, w = patch.shape[:2]
    rows, columns = _ramp(h, 5.0, True, False), _ramp(w, 4.0, True, True)
    region = run.rng.random((h, w)).astype(np.float32)
    pairs = []
    for area in (None, region):
        on_device = run.up(photo)
        run.steps.paste_back(on_device, run.up(patch), 2, 3, run.up(rows), run.up(columns),
                             None if area is None else run.up(area))
        twin = photo.copy()
        alpha = rows[:, None] * columns * (1 if area is None else area)
        twin[3 : 3 + h, 2 : 2 + w] = _blend(twin[3 : 3 + h, 2 : 2 + w], patch, alpha)
        ours = run.down(on_device)
        pairs += [Pair(ours, twin, atol=1.0), Pair(ours, twin, share=1e-3)]
    return pairs


def put_back(run: Run) -> list[Pair]:
    """A picture into photos that show it larger, smaller, and as it is, cut by an edge and whole;
    into a region and everywhere."""
    picture, region = run.picture(), run.labels(2) * np.uint8(255)
    region[:3], region[-5:] = 255, 0
    height, width = run.height, run.width
    pairs = []
    for photo_size, x, y, scale in (
            ((3 * height, 3 * width), 1.4 * width, 1.6 * height, 0.45),
            ((height + 9, width + 4), 0.3 * width, 0.6 * height, 0.8), ((27, 23), 11.0, 14.0, 2.4),
            ((height, width), width / 2, height / 2, 1.0)):
        frame = Frame(photo_size, (height, width), x, y, scale, (0, 0, 0))
        photo = run.rng.integers(0, 256, (*photo_size, 3), dtype=np.uint8)
        patch = frame.patch()
        assert patch is not None
        for area in (None, region):
            on_device = run.up(photo)
            run.steps.put_back(on_device, run.up(picture), patch,
                               None if area is None else run.up(area))
            ours, twin = run.down(on_device), frame.paste_back(photo, picture, area)
            pairs += [Pair(ours, twin, atol=2.0), Pair(ours, twin, share=5e-3)]
    return pairs


def looks(run: Run) -> list[Pair]:
    x, image = run.tensor(1, 3, run.height, run.width), run.picture()
    views = (View(), View("upper", mirrored=True), View("lower", mirrored=True))
    level = 1.01 / 255 / 0.224
    pairs = [Pair(run.down(run.steps.up(image)), OPS.up(image)),
             Pair(run.down(run.steps.mirrored(run.upr(x))), OPS.mirrored(x))]
    for view in (*views, View("lower"), View(mirrored=True)):
        ours = run.down(run.steps.schp_view(run.up(image), view, 23))
        twin = OPS.schp_view(image, view, 23)
        pairs += [Pair(ours, twin, atol=level), Pair(ours, twin, atol=1e-5, share=1e-3)]
    logits = [run.tensor(1, 20, 23, 19) for _ in views]
    size = run.height, run.width, 89
    labels = run.steps.mean_labels([run.upr(plane) for plane in logits], views, *size)
    pairs.append(Pair(run.down(labels), OPS.mean_labels(logits, views, *size)))
    maps, twice = [run.tensor(1, 78, 6, 5) for _ in range(2)], (View(), View(mirrored=True))
    mean = run.steps.mean_maps([run.upr(one) for one in maps], twice)
    return [*pairs, Pair(run.down(mean), OPS.mean_maps(maps, twice), atol=1e-6)]


def schp_input(run: Run) -> list[Pair]:
    image = run.picture()
    pairs = []
    for size in (23, 89):
        ours = run.down(run.steps.schp_input(run.up(image), size))
        twin = cpu.schp_input(image, size)
        level = 1 / 255 / 0.224  # at most one grey level, and that seldom
        pairs += [Pair(ours, twin, atol=1.01 * level), Pair(ours, twin, atol=1e-5, share=1e-3)]
    return pairs


def pose_inputs(run: Run) -> list[Pair]:
    image = run.picture()
    pairs = []
    for net_height in (16, 96):  # shrunk, enlarged
        ours, scale = run.steps.openpose_input(run.up(image), net_height)
        twin, twin_scale = cpu.openpose_input(image, net_height)
        assert scale == twin_scale
        pairs.append((run.down(ours), twin))
    boxes = np.array([[3.3, 2.7, 21.4, 21.4], [run.width - 9.5, -4.2, 15.1, 15.1]], np.float32)
    one = boxes.copy()
    one[0] = 0  # no left hand
    pairs += [(run.down(run.steps.hand_input(run.up(image), b, 24)), cpu.hand_input(image, b, 24))
              for b in (boxes, one)]
    return [pair for ours, twin in pairs
            for pair in (Pair(ours, twin, atol=1.01 / 256), Pair(ours, twin, 1e-6, share=1e-3))]


def densepose_input(run: Run) -> list[Pair]:
    image = run.picture()
    pairs = []
    for shorter in (24, run.width, 60):
        ours, scale = run.steps.densepose_input(run.up(image), shorter)
        twin, twin_scale = cpu.densepose_input(image, shorter)
        pairs += [Pair(run.down(ours), twin, atol=1e-4), Pair(scale, twin_scale)]
    return pairs


def mask_inputs(run: Run) -> list[Pair]:
    image = run.picture() // 2
    pairs = []
    for size in (20, 50):
        for net, atol in (("u2net", 1e-5), ("u2netp", 1e-5), ("tracer_b7", 3e-5)):
            pairs.append(Pair(run.down(run.steps.mask_input(net, run.up(image), size)),
                              OPS.mask_input(net, image, size), atol=atol))
    black = np.zeros_like(image)
    return [*pairs, Pair(run.down(run.steps.mask_input("u2net", run.up(black), 20)),
                         OPS.mask_input("u2net", black, 20), atol=1e-5)]


def masks(run: Run) -> list[Pair]:
    soft = np.abs(run.tensor(1, 1, 21, 18))
    flat = np.full_like(soft, 0.25)
    spoiled = soft.copy()
    spoiled[0, 0, 3, 4] = np.nan
    pairs = []
    for unit in (soft, flat, np.zeros_like(soft)):
        for net in ("u2net", "tracer_b7"):
            ours = run.down(run.steps.mask_labels(net, run.upr(unit), run.height, run.width))
            twin = OPS.mask_labels(net, unit, run.height, run.width)
            pairs += [Pair(ours, twin, atol=1.0, share=0.0), Pair(ours, twin, share=5e-3)]
    ours = run.steps.mask_labels("tracer_b7", run.upr(spoiled), run.height, run.width)
    pairs.append(Pair(run.down(ours), OPS.mask_labels("tracer_b7", spoiled, run.height, run.width),
                      atol=1.0))
    mask = run.mask()
    return [*pairs, Pair(run.down(run.steps.binary_mask(run.up(mask))), cpu.binary_mask(mask))]


CASES: tuple[Callable[[Run], list[Pair]], ...] = (
    schp_labels, seg_labels, groups, one_hot, lip_to_viton, agnostic, seg_noise, seg_input,
    gmm_input, warp_garment, composition, alias_input, to_image, look, paste_back,
    put_back, looks, schp_input, pose_inputs, densepose_input, mask_inputs, masks)
SIZES = ((64, 48), (37, 29), (41, 31))  # straight, odd, odd again


def check(case: Callable[[Run], list[Pair]], device: Device, real: Real, size: tuple[int, int],
          n: int, shift: bool = False) -> None:
    """Run one case and hold every pair."""
    for pair in case(Run(Steps(device, real), *size, n, shift)):
        pair.check(real)


def fit_chain(device: Device, size: tuple[int, int]) -> list[Pair]:
    """A whole fit in order (sections 3.2 to 3.4), plain arithmetic in the networks' place, so that
    every step meets the shapes and kinds the one before it really makes."""
    steps = Steps(device)
    run = Run(steps, *size, 1)
    up, down = run.up, run.down
    S_a, P, I_a, c, M_c = run.labels(13), run.picture(), run.picture(), run.picture(), run.mask()
    z = cpu.seg_noise(0, 16, 12)

    def seg(x: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
        return x[:, :13] * np.float32(0.25) + x[:, 4:17]

    def gmm(a: npt.NDArray[np.float32], b: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
        return np.resize(a[0, 1] * np.float32(0.05) + b[0, 0] * np.float32(0.02), (1, 50))

    def alias(x: npt.NDArray[np.float32], s: npt.NDArray[np.float32],
              m: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
        return x[:, 6:9] * (1 - m) - s[:, 7:8] + x[:, :3] * s[:, 2:3] * np.float32(0.5)

    S_hat = cpu.group7(cpu.seg_labels(seg(cpu.seg_input(M_c, c, S_a, P, z)), *size))
    theta = gmm(*cpu.gmm_input(S_hat, P, I_a, c, 16, 12))
    W_c, W_m = cpu.warp_garment(c, M_c, theta, *size)
    hot = cpu.one_hot(S_hat, 7)
    m = cpu.misalignment(hot[:, 2:3], W_m)
    twin = cpu.to_image(alias(cpu.alias_input(I_a, P, W_c), cpu.split_seg(hot, m), m))

    dP, dI_a, dc, dM_c = map(up, (P, I_a, c, M_c))
    x = steps.seg_input(dM_c, dc, up(S_a), dP, steps.seg_noise(0, 16, 12))
    dS_hat = steps.group7(steps.seg_labels(up(seg(down(x))), *size))
    a, b = steps.gmm_input(dS_hat, dP, dI_a, dc, 16, 12)
    dW_c, dW_m = steps.warp_garment(dc, dM_c, up(gmm(down(a), down(b))), *size)
    dhot = steps.one_hot(dS_hat, 7)
    dm = steps.misalignment(dhot, dW_m)
    picture = alias(down(steps.alias_input(dI_a, dP, dW_c)), down(steps.split_seg(dhot, dm)),
                    down(dm))
    ours = down(steps.to_image(up(picture)))
    return [Pair(down(dS_hat), S_hat, share=2e-3), Pair(ours, twin, atol=1.0, share=5e-3)]
