"""torch.compile: the heat-map losses, eager and compiled, and the cost of the first call."""

import time
from collections.abc import Iterator
from typing import Any

import torch

from mmdet_kpheads.structures import GroundTruth

from .contract import synchronize, timed
from .heads import centernet_heads, cornernet_heads
from .scenes import CLASSES, Scene, centernet_scene, cornernet_scene, total

SIZES = ((16, 7), (4, 100))
EAGER = 'eager'


def step_of(loss: Any, scene: Scene, truth: GroundTruth) -> Any:
    """Targets, losses and backward to the maps."""
    size = scene.metas[0]['batch_input_shape']

    def step() -> None:
        scene.clear()
        total(loss(*scene.maps, truth=truth, input_size=size)).backward()

    return step


def row_of(what: str, size: str, step: Any, device: torch.device) -> dict[str, Any]:
    """A row with the cost of the first call, if that is more than running."""
    synchronize(device)
    start = time.perf_counter()
    step()
    synchronize(device)
    first_ms = (time.perf_counter() - start) * 1e3
    row: dict[str, Any] = {'what': what, 'size': size, 'ours': timed(step, device) | {'first_call_ms': first_ms}}
    if not what.endswith(EAGER):
        row['note'] = f'first call {first_ms / 1e3:.0f} s'
    return row


def rows(device: torch.device) -> Iterator[dict[str, Any]]:
    """Eager; and the whole loss compiled."""
    for name, heads, scene_of in (
        ('CenterNet', centernet_heads(), centernet_scene),
        ('CornerNet', cornernet_heads(), cornernet_scene),
    ):
        eager = heads[0].loss_by_truth
        compiled = torch.compile(eager, fullgraph=True)
        for images, boxes in SIZES:
            scene, size = scene_of(images, boxes, device), f'{images} images, {boxes} boxes'
            truth = GroundTruth.from_instances(scene.truth, scene.metas, CLASSES, name)
            what = f'{name} loss + backward'
            yield row_of(f'{what}, {EAGER}', size, step_of(eager, scene, truth), device)
            yield row_of(f'{what}, compiled', size, step_of(compiled, scene, truth), device)
