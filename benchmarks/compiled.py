"""torch.compile: the heat-map losses as they are against compiled ones, and what the first call costs."""

import time
from collections.abc import Iterator
from typing import Any

import torch

from mmdet_kpheads.ground_truth import GroundTruth

from .contract import synchronise, timed
from .heads import centernet_heads, cornernet_heads
from .scenes import CLASSES, Scene, centernet_scene, cornernet_scene, total

SIZES = ((16, 7), (4, 100))


def step_of(loss: Any, scene: Scene, truth: GroundTruth) -> Any:
    """Targets, losses and backward to the maps."""
    size = scene.metas[0]['batch_input_shape']

    def step() -> None:
        scene.clear()
        total(loss(*scene.maps, truth, size)).backward()

    return step


def rows(device: torch.device) -> Iterator[dict[str, Any]]:
    """Eager and compiled; the first call compiles."""
    for name, heads, scene_of in (
        ('CenterNet', centernet_heads(), centernet_scene),
        ('CornerNet', cornernet_heads(), cornernet_scene),
    ):
        compiled = torch.compile(heads[0].loss_by_truth, fullgraph=True)
        for images, boxes in SIZES:
            scene, size = scene_of(images, boxes, device), f'{images} images, {boxes} boxes'
            truth = GroundTruth.from_instances(scene.truth, scene.metas, CLASSES, name)
            yield {
                'what': f'{name} loss + backward, eager',
                'size': size,
                'ours': timed(step_of(heads[0].loss_by_truth, scene, truth), device),
            }
            step = step_of(compiled, scene, truth)
            synchronise(device)
            start = time.perf_counter()
            step()
            synchronise(device)
            first_ms = (time.perf_counter() - start) * 1e3
            ours = timed(step, device) | {'first_call_ms': first_ms}
            yield {
                'what': f'{name} loss + backward, compiled',
                'size': size,
                'ours': ours,
                'note': f'first call {first_ms / 1e3:.0f} s',
            }
