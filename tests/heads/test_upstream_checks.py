"""What mmdet's own unit tests of the three heads assert, for mmdet's heads and for ours in their place.

Where ours differ, docs/differences.md says so, and the check is written for both.
"""

import pytest
import torch
from mmdet.models import dense_heads as mmdet_heads
from mmengine.config import ConfigDict
from mmengine.structures import InstanceData

from mmdet_kpheads.heads import AutoAssignHead, CenterNetHead, CornerNetHead
from tests.scenes import instances

PX = 256
ONE = [[23.6667, 23.8757, 238.6326, 151.8874]]
TWO = [*ONE, [123.6667, 123.8757, 138.6326, 251.8874]]
NESTED = [[10, 20, 200, 240], [40, 50, 100, 200], [10, 20, 200, 240]]  # two equal boxes of different class
BORDER = (0, 0, 0, 0)  # no extent: its top and left are read
META = dict(img_shape=(PX, PX), batch_input_shape=(PX, PX), scale_factor=(1.0, 1.0), border=BORDER)


@pytest.fixture(autouse=True)
def backend():
    """Once: nothing here depends on the backend."""
    return 'auto'


def numbers(losses):
    """Losses as numbers; a list of levels is summed."""
    return {
        name: (sum(value) if isinstance(value, list) else value).item()
        for name, value in losses.items()
        if 'loss' in name
    }


def no_objects():
    return InstanceData(bboxes=torch.empty((0, 4)), labels=torch.LongTensor([]))


@pytest.mark.parametrize('kind', [mmdet_heads.CenterNetHead, CenterNetHead])
def test_centernet_losses_without_and_with_an_object(kind):
    head = kind(num_classes=4, in_channels=1, feat_channels=4, test_cfg=dict(topk=100, max_per_img=100))
    maps, metas = head.forward([torch.rand(1, 1, PX, PX)]), [dict(batch_input_shape=(PX, PX, 3))]
    empty = numbers(head.loss_by_feat(*maps, [no_objects()], metas))
    assert empty['loss_center_heatmap'] > 0 and empty['loss_wh'] == empty['loss_offset'] == 0
    one = numbers(head.loss_by_feat(*maps, [instances(ONE, [2])], metas))
    assert min(one.values()) > 0


@pytest.mark.filterwarnings('default:border must be:mmdet_kpheads.errors.KpheadsWarning')
@pytest.mark.parametrize('kind', [mmdet_heads.CenterNetHead, CenterNetHead])
def test_centernet_targets_decode_to_the_boxes(kind):
    cfg = ConfigDict(topk=100, local_maximum_kernel=3, max_per_img=100)
    head = kind(num_classes=4, in_channels=1, feat_channels=4, test_cfg=cfg)
    boxes, labels = torch.tensor([*NESTED[:2], [10.0, 20, 100, 240]]), torch.tensor([1, 1, 2])
    targets, _ = head.get_targets([boxes], [labels], (1, 1, PX // 4, PX // 4), META['img_shape'])
    heat, sizes, offsets, weights = (
        targets[name][0] for name in ('center_heatmap_target', 'wh_target', 'offset_target', 'wh_offset_target_weight')
    )
    for (x1, y1, x2, y2), label in zip((boxes / 4).tolist(), labels.tolist(), strict=True):
        x, y = (x1 + x2) / 2, (y1 + y2) / 2
        row, column = int(y), int(x)
        assert heat[label, row, column] == 1
        assert sizes[:, row, column].tolist() == [x2 - x1, y2 - y1]
        assert offsets[:, row, column].tolist() == [x - int(x), y - int(y)]
        assert weights[:, row, column].tolist() == [1, 1]
    given = heat if kind is mmdet_heads.CenterNetHead else heat.logit()  # ours takes logits
    (found,) = head.predict_by_feat([given[None]], [sizes[None]], [offsets[None]], [META], rescale=True)
    assert sorted(found.bboxes[:3].tolist()) == sorted(boxes.tolist())
    assert sorted(found.labels[:3].tolist()) == [1, 1, 2]


@pytest.mark.parametrize('kind', [mmdet_heads.CornerHead, CornerNetHead])
def test_cornernet_losses_without_with_one_and_with_two_objects(kind):
    head = kind(num_classes=4, in_channels=1)
    maps = head.forward([torch.rand(1, 1, PX // 4, PX // 4) for _ in range(head.num_feat_levels)])
    metas = [{key: value for key, value in META.items() if key != 'border'}]
    empty, one, two = (
        numbers(head.loss_by_feat(*maps, [truth], metas, None))
        for truth in (no_objects(), instances(ONE, [2]), instances(TWO, [2, 3]))
    )
    assert empty['det_loss'] > 0 and empty['push_loss'] == empty['pull_loss'] == empty['off_loss'] == 0
    assert min(one['det_loss'], one['pull_loss'], one['off_loss']) > 0 and one['push_loss'] == 0
    assert min(two['det_loss'], two['pull_loss'], two['off_loss']) > 0 and two['push_loss'] >= 0


@pytest.mark.filterwarnings('default:border must be:mmdet_kpheads.errors.KpheadsWarning')
@pytest.mark.parametrize('kind', [mmdet_heads.CornerHead, CornerNetHead])
def test_cornernet_targets_decode_to_the_boxes(kind):
    """The tags of the corners of the first match are 1, all others 0, so that some corners are not paired."""
    options = dict(corner_topk=100, local_maximum_kernel=3, distance_threshold=0.5, max_per_img=1000)
    head = kind(num_classes=4, in_channels=1, corner_emb_channels=1, test_cfg=ConfigDict(options))
    boxes, labels = torch.tensor(NESTED).float(), torch.tensor([1, 1, 2])
    shape = (1, 1, PX // 4, PX // 4)
    targets = head.get_targets(
        [boxes], [labels], shape, META['batch_input_shape'], with_corner_emb=head.with_corner_emb
    )
    names = ('topleft_heatmap', 'bottomright_heatmap', 'topleft_offset', 'bottomright_offset')
    tl_heat, br_heat, tl_offset, br_offset = (targets[name] for name in names)
    matches = targets['corner_embedding'][0]
    assert sorted(matches) == sorted([[[5, 2], [60, 50]], [[12, 10], [50, 25]], [[5, 2], [60, 50]]])
    tags = torch.zeros(2, *shape)
    for corner, (y, x) in zip(tags, matches[0], strict=True):
        corner[0, 0, y, x] = 1
    heats = [[heat.logit().clamp(-20, 20)] for heat in (tl_heat, br_heat)]
    (found,) = head.predict_by_feat(*heats, [tags[0]], [tags[1]], [tl_offset], [br_offset], [META], with_nms=False)
    sure = found.scores > 0.99
    assert sorted(map(tuple, torch.cat((found.bboxes, found.labels[:, None]), 1)[sure].tolist())) == sorted(
        (*map(float, box), float(label)) for box, label in zip(NESTED, (1, 1, 2), strict=True)
    )


@pytest.mark.filterwarnings('default:.*group normalization:mmdet_kpheads.errors.KpheadsWarning')
@pytest.mark.parametrize('kind', [mmdet_heads.AutoAssignHead, AutoAssignHead])
def test_autoassign_losses_without_and_with_an_object(kind):
    head = kind(
        num_classes=4,
        in_channels=1,
        stacked_convs=1,
        feat_channels=1,
        strides=[8, 16, 32, 64, 128],
        loss_bbox=dict(type='GIoULoss', loss_weight=5.0),
        norm_cfg=None,
    )
    px, metas = 300, [dict(img_shape=(300, 300, 3), pad_shape=(300, 300, 3), scale_factor=1)]
    features = (torch.rand(1, 1, px // y, px // x) for x, y in head.prior_generator.strides)
    maps = head.forward(features if kind is AutoAssignHead else tuple(features))
    empty = numbers(head.loss_by_feat(*maps, [no_objects()], metas))
    assert empty['loss_neg'] > 0 and empty['loss_pos'] == empty['loss_center'] == 0
    one = numbers(head.loss_by_feat(*maps, [instances(ONE, [2])], metas))
    assert min(one.values()) > 0
