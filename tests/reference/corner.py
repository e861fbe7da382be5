"""Slow, obvious versions of CornerNet's training loss and flip test, written from its repository for the tests."""

import torch

from tests.ops.reference import soft_nms
from tests.reference.center import focal


def heat_loss(logits, target):
    """Focal loss of one map (B, C, H, W) over the number of corners in it."""
    cells = zip(logits.flatten().tolist(), target.flatten().tolist(), strict=True)
    return sum(focal(logit, value) for logit, value in cells) / max(1, int((target == 1).sum()))


def offset_loss(predicted, target, cells):
    """Smooth L1 of x and y, at the cells [(image, y, x)] of one kind of corner, over their number."""
    total = 0.0
    for image, y, x in cells:
        for channel in (0, 1):
            error = abs(float(predicted[image, channel, y, x] - target[image, channel, y, x]))
            total += error**2 / 2 if error < 1 else error - 0.5
    return total / max(1, len(cells))


def grouping_loss(tags):
    """Pull and push of [(tag of the first corner, tag of the second)] of one image."""
    means = [(first + second) / 2 for first, second in tags]
    pull = sum((first - mean) ** 2 + (second - mean) ** 2 for (first, second), mean in zip(tags, means, strict=True))
    push = sum(max(0.0, 1 - abs(a - b)) for i, a in enumerate(means) for j, b in enumerate(means) if i != j)
    return pull / max(1, len(tags)), push / max(1, len(tags) * (len(tags) - 1))


def join(plain, mirrored, width_px, num_classes, limit):
    """Rows [x1, y1, x2, y2, score, label] of both passes through one soft-NMS per class: [(score, box, label)].

    Rows of the mirrored pass are in pixels of the mirrored input, ``width_px`` wide.
    """
    rows = [list(row) for row in plain]
    rows += [[width_px - x2, y1, width_px - x1, y2, score, label] for x1, y1, x2, y2, score, label in mirrored]
    found = []
    for label in range(num_classes):
        of_class = [row for row in rows if row[5] == label]
        table = torch.tensor(of_class, dtype=torch.float64).reshape(-1, 6)
        for index, score in soft_nms(table[:, :4], table[:, 4], method='gaussian'):
            found.append((score, of_class[index][:4], label))
    return sorted(found, key=lambda row: -row[0])[:limit]


def joint_loss(stacks, targets, cells, tags, pull_weight=0.1, push_weight=0.1):
    """The authors' loss: sums over both corners, the mean over the stacks.

    Args:
        stacks: Of each stack, heat logits and offsets of both corners: ``{'tl': (heat, offsets), 'br': ...}``.
        targets: Heat maps and offsets of both corners, likewise.
        cells: Of both corners, the cells of the objects as (image, y, x).
        tags: Of each stack and image, pairs of tags.
    """
    total = 0.0
    for stack, tags_of_images in zip(stacks, tags, strict=True):
        for corner, (heat, offsets) in stack.items():
            total += heat_loss(heat, targets[corner][0])
            total += offset_loss(offsets, targets[corner][1], cells[corner])
        for image in tags_of_images:
            pull, push = grouping_loss(image)
            total += pull_weight * pull + push_weight * push
    return total / len(stacks)
