"""AutoAssign's losses for one image, one object and one point at a time, in float64, written from the paper."""

import math

import torch


def points_of(sizes, strides):
    """(x, y, stride) of every point."""
    return [
        (x * stride, y * stride, stride)
        for (height, width), stride in zip(sizes, strides, strict=True)
        for y in range(height)
        for x in range(width)
    ]


def inside(point, box):
    x, y, _ = point
    return box[0] < x < box[2] and box[1] < y < box[3]


def iou(a, b):
    width = max(0.0, min(a[2], b[2]) - max(a[0], b[0]))
    height = max(0.0, min(a[3], b[3]) - max(a[1], b[1]))
    union = (a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1]) - width * height
    return width * height / max(union, 1e-6)


def giou(a, b):
    hull = (max(a[2], b[2]) - min(a[0], b[0])) * (max(a[3], b[3]) - min(a[1], b[1]))
    overlap = iou(a, b)
    areas = (a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1])
    union = areas / (1 + overlap)  # overlap = (areas - union) / union
    return overlap - (hull - union) / hull


def prior(point, box, mean, sigma):
    x, y, stride = point
    dx = (x - (box[0] + box[2]) / 2) / stride - mean[0]
    dy = (y - (box[1] + box[3]) / 2) / stride - mean[1]
    return math.exp(-(dx**2) / (2 * sigma[0] ** 2)) * math.exp(-(dy**2) / (2 * sigma[1] ** 2))


def losses(points, probabilities, predicted, boxes, labels, mean, sigma):
    """Positive, negative and center loss of an image, before the weights 0.25, 0.75 and 0.75.

    Args:
        points: As of :func:`points_of`.
        probabilities: (T, C) class probability x objectness.
        predicted: (T, 4) boxes.
        boxes: Objects.
        labels: Their classes.
        mean: (C, 2) of the prior.
        sigma: (C, 2) of the prior.
    """
    positive, total_prior, objects = 0.0, 0.0, 0
    weight = torch.ones(len(points), probabilities.shape[1], dtype=torch.float64)
    best = [max((iou(box, other) for other in boxes), default=0.0) for box in predicted.tolist()]
    for box, label in zip(boxes, labels, strict=True):
        held = [index for index, point in enumerate(points) if inside(point, box)]
        if not held:
            continue
        objects += 1
        priors = [prior(points[index], box, mean[label], sigma[label]) for index in held]
        hits = [
            float(probabilities[index, label]) * math.exp(-5 * (1 - giou(predicted[index].tolist(), box)))
            for index in held
        ]
        weights = [math.exp(3 * hit) * value for hit, value in zip(hits, priors, strict=True)]
        positive -= math.log(sum(w * hit for w, hit in zip(weights, hits, strict=True)) / sum(weights))
        total_prior += sum(priors)
        misses = [1 / max(1 - best[index], 1e-12) for index in held]
        low, high = min(misses), max(misses)
        for index, miss in zip(held, misses, strict=True):
            share = (miss - low + 1e-12) / (high - low + 1e-12)
            weight[index, label] = min(float(weight[index, label]), 1 - share)
    hit = weight * probabilities
    negative = float((hit**2 * -torch.log(1 - hit)).sum())
    center = objects / total_prior if objects else 0.0
    return positive / max(1, objects), negative / max(1.0, total_prior), center
