"""Slow, obvious versions of the center head's parts, written from the papers for the tests."""

import math

import torch


def radius_exact(h: float, w: float, t: float) -> float:
    """Smallest positive root of the three quadratics."""
    roots = []
    for a, b, c in (
        (1, -(h + w), h * w * (1 - t) / (1 + t)),
        (4, -2 * (h + w), (1 - t) * h * w),
        (4 * t, 2 * t * (h + w), -(1 - t) * h * w),
    ):
        root = math.sqrt(max(0.0, b * b - 4 * a * c))
        roots.append(min(r for r in ((-b - root) / (2 * a), (-b + root) / (2 * a)) if r > 0))
    return min(roots)


def radius_of_centernet(h: float, w: float, t: float) -> float:
    """The formula of CenterNet's repository, of a size rounded up: the larger root everywhere, halved for every a."""
    h, w = math.ceil(h), math.ceil(w)
    roots = []
    for a, b, c in (
        (1, h + w, h * w * (1 - t) / (1 + t)),
        (4, 2 * (h + w), (1 - t) * h * w),
        (4 * t, -2 * t * (h + w), -(1 - t) * h * w),
    ):
        roots.append((b + math.sqrt(b * b - 4 * a * c)) / 2)
    return min(roots)


def iou_of_shift(h: float, w: float, r: float) -> float:
    """Worst IoU when both corners are moved by r: each way, inward, outward."""
    one_each = (h - r) * (w - r) / (2 * h * w - (h - r) * (w - r))
    inward = (h - 2 * r) * (w - 2 * r) / (h * w)
    outward = h * w / ((h + 2 * r) * (w + 2 * r))
    return min(one_each, inward, outward)


def heatmap(boxes, labels, num_classes, cells_h, cells_w, cells_per_px, t=0.3, radius=radius_exact):
    """Dense heat map, one box and one cell at a time."""
    heat = torch.zeros(num_classes, cells_h, cells_w, dtype=torch.float64)
    for (x1, y1, x2, y2), label in zip(boxes, labels, strict=True):
        w, h = (x2 - x1) * cells_per_px, (y2 - y1) * cells_per_px
        cx, cy = math.floor((x1 + x2) / 2 * cells_per_px), math.floor((y1 + y2) / 2 * cells_per_px)
        r = max(0, math.floor(radius(h, w, t)))
        sigma = (2 * r + 1) / 6
        for y in range(max(0, cy - r), min(cells_h, cy + r + 1)):
            for x in range(max(0, cx - r), min(cells_w, cx + r + 1)):
                value = math.exp(-((x - cx) ** 2 + (y - cy) ** 2) / (2 * sigma**2))
                heat[label, y, x] = max(float(heat[label, y, x]), value)
    return heat


def focal(logit: float, target: float, alpha: float = 2, gamma: float = 4) -> float:
    """The loss of one cell as the paper writes it."""
    p = 1 / (1 + math.exp(-logit))
    if target == 1:
        return -((1 - p) ** alpha) * math.log(p)
    return -((1 - target) ** gamma) * p**alpha * math.log(1 - p)


def peaks(heat):
    """3 x 3 maxima of one (H, W) map as {(y, x)}; of equal neighbors the first in reading order."""
    height, width = heat.shape
    found = set()
    for y in range(height):
        for x in range(width):
            best = True
            for j in range(max(0, y - 1), min(height, y + 2)):
                for i in range(max(0, x - 1), min(width, x + 2)):
                    if heat[j, i] > heat[y, x] or (heat[j, i] == heat[y, x] and (j, i) < (y, x)):
                        best = False
            if best:
                found.add((y, x))
    return found
