"""Draw the figures of the pages on the heads, from the formulas of the package: python docs/site/figures.py."""

from pathlib import Path
from typing import Any

import matplotlib as mpl
import torch
from matplotlib import pyplot as plt
from matplotlib.patches import Rectangle

from mmdet_kpheads.functional.embedding import pull_push
from mmdet_kpheads.functional.gaussian import Gaussians, draw, gaussian_radius
from mmdet_kpheads.heads import CenterPrior

IMAGES = Path(__file__).parents[1] / 'images'
BLUE, ORANGE, GREEN = '#0072B2', '#D55E00', '#009E73'  # told apart by color-blind readers
mpl.rcParams.update({'font.size': 10, 'figure.dpi': 110, 'savefig.bbox': 'tight', 'figure.facecolor': 'white'})


def box(axis: Any, x1: float, y1: float, x2: float, y2: float, color: str, **style: Any) -> None:
    """Outline a box."""
    axis.add_patch(Rectangle((x1, y1), x2 - x1, y2 - y1, fill=False, edgecolor=color, linewidth=2, **style))


def radius_figure() -> None:
    """How far a center may be off, and the heat map that follows."""
    height, width, overlap = 16.0, 24.0, 0.3
    radius = gaussian_radius(torch.tensor(height), torch.tensor(width), overlap).item()
    figure, (left, right) = plt.subplots(1, 2, figsize=(8.5, 3.4))
    box(left, 0, 0, width, height, BLUE)
    box(left, radius, radius, width - radius, height - radius, ORANGE, linestyle='--')
    left.set(xlim=(-4, 34), ylim=(24, -4), aspect='equal', xlabel='cells', title='each corner off by the radius')
    iou = (width - 2 * radius) * (height - 2 * radius) / (width * height)
    left.text(width / 2, height / 2, f'radius {radius:.2f}\nIoU {iou:.2f}', ha='center', va='center')
    gaussians = Gaussians(
        shape=(1, 1, 28, 38),
        cells=torch.tensor([[[16, 12]]]),
        radius=torch.tensor([[int(radius)]]),
        labels=torch.zeros(1, 1, dtype=torch.long),
        valid=torch.ones(1, 1, dtype=torch.bool),
        max_radius=int(radius),
    )
    shown = right.imshow(draw(gaussians)[0, 0].numpy(), cmap='viridis', vmin=0, vmax=1)
    box(right, 4, 4, 28, 20, 'white')
    right.set(title='heat map of the center', xlabel='cells')
    figure.colorbar(shown, ax=right, shrink=0.8)
    figure.savefig(IMAGES / 'gaussian_radius.png')


def tags_figure() -> None:
    """Corners with tags before and after training, and a single object."""
    scenes = {
        'untrained: tags are mixed': [[0.1, 0.9], [0.7, 0.2]],
        'trained: one tag per object': [[0.05, 0.0], [1.5, 1.55]],
        'one object: nothing to push': [[0.3, 0.35]],
    }
    figure, axes = plt.subplots(1, 3, figsize=(10, 3))
    for axis, (title, tags) in zip(axes, scenes.items(), strict=True):
        values = torch.tensor(tags)[None, :, :, None]
        losses = pull_push(values, torch.ones(values.shape[:2]))
        boxes = [(1, 1, 7, 5), (4, 3.2, 11, 8)]
        for (x1, y1, x2, y2), pair, color in zip(boxes, tags, (BLUE, ORANGE), strict=False):
            box(axis, x1, y1, x2, y2, color)
            for x, y, tag in ((x1, y1, pair[0]), (x2, y2, pair[1])):
                axis.plot(x, y, 'o', color=color)
                axis.annotate(f'{tag:.2f}', (x, y), (4, 5), textcoords='offset points')
        axis.set(xlim=(0, 13), ylim=(9, 0), xticks=[], yticks=[], title=title)
        axis.set_xlabel(f'pull {losses.pull.item():.2f}, push {losses.push.item():.2f}')
    figure.tight_layout()
    figure.savefig(IMAGES / 'corner_tags.png')


def prior_figure() -> None:
    """The untrained center prior of one box on three levels: grid points inside it, and their weight."""
    x1, y1, x2, y2 = 40.0, 24.0, 216.0, 136.0
    prior = CenterPrior(num_classes=1)
    figure, axes = plt.subplots(1, 3, figsize=(10, 2.4))
    for axis, stride in zip(axes, (8, 16, 32), strict=True):
        y, x = torch.meshgrid(torch.arange(0, 160, stride), torch.arange(0, 256, stride), indexing='ij')
        points = torch.stack((x.flatten(), y.flatten())) + stride / 2  # (2, P) in pixels
        inside = (points[0] > x1) & (points[0] < x2) & (points[1] > y1) & (points[1] < y2)
        points = points[:, inside]
        offset = (points - torch.tensor([[(x1 + x2) / 2], [(y1 + y2) / 2]])) / stride
        none = torch.zeros(points.shape[1], dtype=torch.long)
        weight = prior(offset, torch.zeros(1, dtype=torch.long), none).exp().detach()
        box(axis, x1, y1, x2, y2, BLUE)
        shown = axis.scatter(*points, c=weight, s=stride * 1.6, cmap='viridis', vmin=0, vmax=1)
        axis.set(
            xlim=(16, 240),
            ylim=(152, 8),
            aspect='equal',
            xticks=[],
            yticks=[],
            title=f'stride {stride}: {len(weight)} points',
        )
    figure.colorbar(shown, ax=axes, shrink=0.8, label='prior')
    figure.savefig(IMAGES / 'center_prior.png')


if __name__ == '__main__':
    for make in (radius_figure, tags_figure, prior_figure):
        make()
