"""Reference versions of the ops: slow loops over single numbers, written from the papers."""

import math
from itertools import product

import torch


def overlap(a, b, offset=0):
    area_a, area_b = ((r[2] - r[0] + offset) * (r[3] - r[1] + offset) for r in (a, b))
    width = max(0.0, min(a[2], b[2]) - max(a[0], b[0]) + offset)
    height = max(0.0, min(a[3], b[3]) - max(a[1], b[1]) + offset)
    union = area_a + area_b - width * height
    return width * height / union if union else 0.0


def nms(boxes, scores, threshold, offset=0):
    boxes, scores = boxes.tolist(), scores.tolist()
    kept: list[int] = []
    for i in sorted(range(len(boxes)), key=lambda i: (-scores[i], i)):
        if all(overlap(boxes[i], boxes[j], offset) <= threshold for j in kept):
            kept.append(i)
    return kept


def soft_nms(boxes, scores, threshold=0.3, sigma=0.5, min_score=1e-3, method='linear', offset=0):
    boxes, left = boxes.tolist(), dict(enumerate(scores.tolist()))
    kept: list[tuple[int, float]] = []
    while left:
        best = max(left, key=lambda i: (left[i], -i))
        kept.append((best, left.pop(best)))
        for i in list(left):
            o = overlap(boxes[best], boxes[i], offset)
            if method == 'gaussian':
                left[i] *= math.exp(-o * o / sigma)
            elif o >= threshold:
                left[i] *= 1 - o if method == 'linear' else 0
            if left[i] < min_score:
                del left[i]
    return kept


def bilinear(plane, y, x):
    """Bilinear value of a map (H, W) at a location; cells outside are zero."""
    h, w = plane.shape
    total = 0.0
    for row, column in product((math.floor(y), math.floor(y) + 1), (math.floor(x), math.floor(x) + 1)):
        if 0 <= row < h and 0 <= column < w:
            total = total + plane[row, column] * (1 - abs(y - row)) * (1 - abs(x - column))
    return total


def deform_conv(x, offset, weight, mask=None, stride=(1, 1), padding=(0, 0), dilation=(1, 1)):
    batch, channels = x.shape[:2]
    out_channels, per_group, kh, kw = weight.shape
    taps, (p, q) = kh * kw, offset.shape[-2:]
    deform_groups, groups = offset.shape[1] // (2 * taps), channels // per_group
    out = torch.zeros(batch, out_channels, p, q, dtype=x.dtype)
    for b, o, i, j, c, u, v in product(*map(range, (batch, out_channels, p, q, per_group, kh, kw))):
        channel = o // (out_channels // groups) * per_group + c
        k = channel // (channels // deform_groups) * taps + u * kw + v
        y = i * stride[0] - padding[0] + u * dilation[0] + offset[b, 2 * k, i, j].item()
        x_ = j * stride[1] - padding[1] + v * dilation[1] + offset[b, 2 * k + 1, i, j].item()
        factor = 1.0 if mask is None else mask[b, k, i, j]
        out[b, o, i, j] += weight[o, c, u, v] * factor * bilinear(x[b, channel], y, x_)
    return out


def roi_align(x, rois, size, scale=1.0, ratio=0, mode='avg', aligned=True):
    out = torch.zeros(len(rois), x.shape[1], *size, dtype=x.dtype)
    shift = 0.5 if aligned else 0.0
    for k, (image, x1, y1, x2, y2) in enumerate(rois.tolist()):
        start = (y1 * scale - shift, x1 * scale - shift)
        length = (y2 * scale - shift - start[0], x2 * scale - shift - start[1])
        step = [max(n, 0.0 if aligned else 1.0) / parts for n, parts in zip(length, size, strict=True)]
        samples = [ratio or math.ceil(s) for s in step]
        for c, p, q in product(range(x.shape[1]), range(size[0]), range(size[1])):
            values = [
                _border_clamped(x[int(image), c], start[0] + (p + (g + 0.5) / samples[0]) * step[0],
                         start[1] + (q + (e + 0.5) / samples[1]) * step[1])
                for g, e in product(*map(range, samples))
            ]  # fmt: skip
            if values:
                out[k, c, p, q] = max(values) if mode == 'max' else sum(values) / len(values)
    return out


def _border_clamped(plane, y, x):
    h, w = plane.shape
    if not (-1 <= y <= h and -1 <= x <= w):
        return 0.0
    return bilinear(plane, min(max(y, 0), h - 1), min(max(x, 0), w - 1))
