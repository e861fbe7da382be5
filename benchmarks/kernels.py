"""What each kernel buys: the version that a device takes by itself against the reference formula."""

from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import Tensor

import mmdet_kpheads  # noqa: F401  (makes mmcv.ops importable before mmdet is)
from mmdet_kpheads.backends import version_of
from mmdet_kpheads.functional.autoassign import best_iou
from mmdet_kpheads.functional.gaussian import Gaussians, draw
from mmdet_kpheads.functional.gaussian_focal import gaussian_focal_sum
from mmdet_kpheads.functional.giou import giou_loss
from mmdet_kpheads.functional.joint_focal import SparseWeight, joint_focal_sum
from mmdet_kpheads.functional.peaks import top_peaks
from mmdet_kpheads.heads.postprocess import plain_nms
from mmdet_kpheads.ops import soft_nms_batch
from mmdet_kpheads.structures import GroundTruth, MapGeometry
from mmdet_kpheads.targets.keypoints import center_targets

from .contract import compared
from .scenes import CLASSES, autoassign_scene, centernet_scene

NOTE = 'column "mmdet": the reference formula'
IMAGES, BOXES = 16, 7
PAIRS = 100_000  # as in two images with 50 boxes each


def row(reference: Callable[..., Any], what: str, args: tuple[Any, ...], device: torch.device) -> dict[str, Any]:
    """One formula, with its backward where an argument requires a gradient."""
    tensor = next(value for value in args if isinstance(value, Tensor))
    leaves = [value for value in args if isinstance(value, Tensor) and value.requires_grad]

    def run(formula: Callable[..., Any]) -> Callable[[], None]:
        def call() -> None:
            result = formula(*args)
            if leaves:
                total = sum(value.sum() for value in result) if isinstance(result, tuple) else result.sum()
                torch.autograd.grad(total, leaves)

        return call

    name = f'{reference.__name__}{" + backward" if leaves else ""}'
    return compared(name, what, run(version_of(reference, tensor)), run(reference), device, note=NOTE)


def boxes_of(*shape: int) -> Tensor:
    """Random boxes in an image of about 1000 pixels."""
    corner = 1000 * torch.rand(*shape, 2)
    return torch.cat((corner, corner + 20 + 200 * torch.rand(*shape, 2)), -1)


def rows(device: torch.device) -> Iterator[dict[str, Any]]:
    """Every formula that has a kernel on some device."""
    torch.manual_seed(0)
    scene = centernet_scene(IMAGES, BOXES, device)
    heat = scene.maps[0][0]
    size = f'{IMAGES} x {CLASSES} x {heat.shape[2]} x {heat.shape[3]}, {BOXES} boxes'
    yield row(gaussian_focal_sum, size, (heat, gaussians_of(IMAGES, BOXES, device)), device)
    for number, boxes in ((IMAGES, BOXES), (4, 100)):
        yield _drawing(number, boxes, device)
    yield row(top_peaks, size, (heat.detach(), 100, 3), device)

    class_logits, _, objectness = (
        torch.cat([level.detach().flatten(2) for level in levels], 2) for levels in autoassign_scene(2, 1, device).maps
    )
    points = class_logits.shape[2]
    cells = torch.randint(class_logits.numel(), (PAIRS,)).to(device)
    weight = SparseWeight(cells, torch.rand(PAIRS).to(device))
    logits = (class_logits.requires_grad_(), objectness.requires_grad_(), weight)
    yield row(joint_focal_sum, f'2 x {CLASSES} x {points}', logits, device)
    for boxes in (7, 50, 200):
        pair = boxes_of(2, points).to(device), boxes_of(2, boxes).to(device)
        yield row(best_iou, f'2 x {points} points, {boxes} boxes', pair, device)
    columns = boxes_of(PAIRS).t().contiguous().t().to(device)
    yield row(giou_loss, f'{PAIRS} pairs', (columns.requires_grad_(), boxes_of(PAIRS).to(device)), device)
    yield from suppression_rows(device)


def gaussians_of(images: int, boxes: int, device: torch.device) -> Gaussians:
    """Of the boxes of a CenterNet scene."""
    scene = centernet_scene(images, boxes, device)
    heat = scene.maps[0][0]
    truth = GroundTruth.from_instances(scene.truth, scene.metas, CLASSES, 'benchmark')
    input_size = scene.metas[0]['batch_input_shape']
    geometry = MapGeometry((heat.shape[2], heat.shape[3]), input_size, truth.extent_px)
    return center_targets(truth, geometry, CLASSES).gaussians


def _drawing(images: int, boxes: int, device: torch.device) -> dict[str, Any]:
    gaussians = gaussians_of(images, boxes, device)
    fast = version_of(draw, gaussians.cells)
    size = f'{" x ".join(str(side) for side in gaussians.shape)}, {boxes} boxes'
    return compared('draw', size, lambda: fast(gaussians), lambda: draw(gaussians), device, note=NOTE)


def suppression_rows(device: torch.device) -> Iterator[dict[str, Any]]:
    """NMS of one image with 5000 boxes, soft-NMS of sixteen images with up to 1000."""
    boxes, scores = boxes_of(5000).to(device), torch.rand(5000).to(device)
    labels = torch.randint(CLASSES, (5000,)).to(device)
    nms = {'limit': 100, 'iou_threshold': 0.6}
    fast = version_of(plain_nms, boxes)
    calls = (lambda: fast(boxes, scores, labels, **nms)), (lambda: plain_nms(boxes, scores, labels, **nms))
    yield compared('plain_nms', '5000 boxes, 100 wanted', *calls, device, note=NOTE)
    boxes, labels = boxes_of(IMAGES, 1000).to(device), torch.randint(CLASSES, (IMAGES, 1000)).to(device)
    for present in (200, 1000):
        scores = torch.rand(IMAGES, 1000).to(device)
        scores[:, present:] = -torch.inf
        yield row(soft_nms_batch, f'{IMAGES} images, {present} of 1000 boxes', (boxes, scores, labels, 100), device)
