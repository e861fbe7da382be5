"""Unmodified mmdet configs with our heads: equal losses on well-formed batches, equal scores."""

import json
import subprocess
import sys

import pytest

# In a process of its own, so that other tests see an unchanged registry.
SCRIPT = """
import json, sys, torch, zlib
from importlib.util import find_spec
from pathlib import Path
import mmdet_kpheads
from mmdet.registry import MODELS
from mmdet.structures import DetDataSample
from mmengine.config import Config
from mmengine.registry import init_default_scope
from tests.scenes import instances, metas

name, drop_in, python_style = sys.argv[1], sys.argv[2] == 'ours', sys.argv[3]
init_default_scope('mmdet')
if drop_in:
    import mmdet_kpheads.drop_in
cfg = Config.fromfile(Path(find_spec('mmdet').origin).parent / '.mim' / 'configs' / name)
cfg.model.backbone.init_cfg = None
torch.set_num_threads(1)
model = MODELS.build(cfg.model).eval()  # as in training but for batch statistics
for key, value in model.state_dict().items():  # the same weights on both sides, whatever the order of construction
    generator = torch.Generator().manual_seed(zlib.crc32(key.encode()))
    if value.dim() == 4:
        value.copy_(torch.randn(value.shape, generator=generator) * 0.5 / value[0].numel() ** 0.5)
    elif key.endswith('bias'):
        value.fill_(4.0 if key.endswith('wh_head.2.bias') else 0.0)  # boxes with an area: ours drops others
size = 128
boxes = [[9, 12, 60, 90], [70, 30, 120, 100], [20, 84, 62, 118]]
samples = [DetDataSample(metainfo=meta) for meta in metas(2, size, border=(0, size, 0, size))]
for sample in samples:
    sample.gt_instances = instances(boxes, [3, 1, 2])
images = torch.randn(2, 3, size, size, generator=torch.Generator().manual_seed(1))
losses = {}
for key, value in model.loss(images, samples).items():
    if 'loss' in key:
        losses[key] = [float(part) for part in (value if isinstance(value, list) else [value])]
with torch.no_grad():
    found = model.predict(images, samples)
scores = [sorted((float(score) for score in sample.pred_instances.scores), reverse=True) for sample in found]
style = MODELS.build(Config.fromfile(python_style).model).bbox_head
print('RESULT' + json.dumps({
    'losses': losses, 'scores': scores, 'head': type(model.bbox_head).__module__,
    'style': [type(style).__module__, type(style.loss_center_heatmap).__module__, style.test_cfg['max_per_img']],
}))
"""
CONFIGS = {
    'centernet': 'centernet/centernet_r18_8xb16-crop512-140e_coco.py',
    'cornernet': 'cornernet/cornernet_hourglass104_8xb6-210e-mstest_coco.py',
    'autoassign': 'autoassign/autoassign_r50-caffe_fpn_1x_coco.py',
}
BASE = """
from mmdet.models.backbones import ResNet
from mmdet.models.necks import CTResNetNeck

backbone = dict(type=ResNet, depth=18, base_channels=8)
neck = dict(type=CTResNetNeck, in_channels=64, num_deconv_filters=(8, 8), num_deconv_kernels=(4, 4), use_dcn=False)
"""
PYTHON_STYLE = """
from mmdet.models.dense_heads import CenterNetHead
from mmdet.models.detectors import CenterNet
from mmdet.models.losses import GaussianFocalLoss, L1Loss
from mmengine.config import read_base

with read_base():
    from .base import *

head = dict(type=CenterNetHead, num_classes=3, in_channels=8, feat_channels=8)
head.update(loss_center_heatmap=dict(type=GaussianFocalLoss), loss_wh=dict(type=L1Loss), loss_offset=dict(type=L1Loss))
model = dict(type=CenterNet, backbone=backbone, neck=neck, bbox_head=head, test_cfg=dict(topk=100, max_per_img=7))
"""


@pytest.fixture
def python_style(tmp_path):
    """A config in Python style, whose types are classes."""
    (tmp_path / 'base.py').write_text(BASE)
    (tmp_path / 'style.py').write_text(PYTHON_STYLE)
    return str(tmp_path / 'style.py')


def result_of(name, side, python_style):
    command = [sys.executable, '-c', SCRIPT, CONFIGS[name], side, python_style]
    run = subprocess.run(command, capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stderr[-2000:]
    return json.loads(run.stdout.rpartition('RESULT')[2])


@pytest.mark.parametrize('name', ['centernet', 'autoassign', pytest.param('cornernet', marks=pytest.mark.slow)])
def test_an_unchanged_config_of_mmdet_has_the_same_losses_and_scores(name, python_style):
    ours, theirs = (result_of(name, side, python_style) for side in ('ours', 'theirs'))
    for result, package in ((ours, 'mmdet_kpheads.'), (theirs, 'mmdet.')):
        *modules, max_per_img = result['style']
        assert all(module.startswith(package) for module in (result['head'], *modules))
        assert max_per_img == 7
    assert ours['losses'].keys() == theirs['losses'].keys()
    for key, values in theirs['losses'].items():
        assert ours['losses'][key] == pytest.approx(values, rel=1e-5, abs=1e-5), key
    for mine, other in zip(ours['scores'], theirs['scores'], strict=True):
        above = [score for score in other if score > 0.05]
        assert mine[: len(above)] == pytest.approx(above, rel=1e-4)
