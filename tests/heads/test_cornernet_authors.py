"""CornerNetHead against formulas of CornerNet's repository."""

import pytest
import torch
from mmdet.models.dense_heads import CornerHead as MMDetHead
from mmengine.config import Config

from mmdet_kpheads.compat.config_bases import configs_root
from mmdet_kpheads.heads import CornerNetHead
from tests.heads.test_cornernet_parity import distinct_corners, maps_of
from tests.reference import corner as reference
from tests.scenes import metas
from tests.training import summed

RECIPE = 'cornernet/untrained/cornernet_hourglass104_10xb5-crop511-210e_coco-princeton.py'
SIZE, CELLS, CLASSES = 128, 32, 4
CORNERS = {'tl': 'topleft', 'br': 'bottomright'}


@pytest.fixture(autouse=True)
def backend():
    """Once: the weights do not depend on the backend."""
    return 'auto'


def test_the_recipe_weighs_its_losses_as_the_authors_do():
    cfg = Config.fromfile(configs_root() / RECIPE).model.bbox_head
    cfg.update(num_classes=CLASSES, in_channels=4, feat_channels=8, pool_channels=8)
    cfg.pop('type')
    head = CornerNetHead(**cfg)
    images = [distinct_corners(5, 1), distinct_corners(3, 2)]
    maps = [[level.detach() for level in levels] for levels in maps_of(2)]
    dense = MMDetHead(CLASSES, 4).get_targets(
        [i.bboxes for i in images], [i.labels for i in images], maps[0][0].shape, (SIZE, SIZE), with_corner_emb=True
    )
    targets = {corner: (dense[f'{name}_heatmap'], dense[f'{name}_offset']) for corner, name in CORNERS.items()}
    pairs = dense['corner_embedding']  # of each image, [[top, left], [bottom, right]] of each object
    cells = {
        corner: [(image, *objects[which]) for image, found in enumerate(pairs) for objects in found]
        for which, corner in enumerate(CORNERS)
    }
    stacks, tags = [], []
    for tl_heat, br_heat, tl_tags, br_tags, tl_offsets, br_offsets in zip(*maps, strict=True):
        stacks.append({'tl': (tl_heat, tl_offsets), 'br': (br_heat, br_offsets)})
        tags.append(
            [
                [
                    (float(tl_tags[image, 0, top, left]), float(br_tags[image, 0, bottom, right]))
                    for (top, left), (bottom, right) in found
                ]
                for image, found in enumerate(pairs)
            ]
        )
    expected = reference.joint_loss(stacks, targets, cells, tags)
    found = summed(head.loss_by_feat(*maps, images, metas(2, SIZE)))
    assert float(found) == pytest.approx(expected, rel=1e-5)


def test_the_reference_by_hand():
    """Tags (0, 0.2) and (0.5, 0.9) in two equal stacks; heat and offset losses of no object."""
    maps = torch.full((1, 1, 2, 2), -100.0), torch.zeros(1, 2, 2, 2)
    both = {'tl': maps, 'br': maps}
    targets = dict.fromkeys(CORNERS, (torch.zeros(1, 1, 2, 2), torch.zeros(1, 2, 2, 2)))
    tags = [(0.0, 0.2), (0.5, 0.9)]
    found = reference.joint_loss([both] * 2, targets, {'tl': [], 'br': []}, [[tags]] * 2)
    assert found == pytest.approx(0.1 * 0.05 + 0.1 * 0.4)
