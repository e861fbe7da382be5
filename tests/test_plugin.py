"""Use in mmdet: scopes, public names, notebooks, swapping a head by its type."""

import subprocess
import sys
from pathlib import Path

import pytest
import torch
from mmengine.registry import DefaultScope

import mmdet_kpheads
from mmdet_kpheads import CenterNetHead
from tests.scenes import well_formed
from tests.training import samples_of

PUBLIC = """
    CenterNetHead CornerNetHead AutoAssignHead CenterPrior
    AssociativeEmbeddingLoss TripletHardLoss TripletSemiHardLoss CornerTripletLoss GaussianFocalLoss GIoULoss
    FlipAverage FlipJoin DLA DLAUp DeconvNeck
"""
HEAD = dict(in_channels=8, feat_channels=8, num_classes=2)


def test_both_heads_of_one_name_live_in_one_process():
    from mmdet.models.dense_heads import CenterNetHead as MMDetHead
    from mmdet.registry import MODELS
    from mmengine.registry import MODELS as ROOT

    with DefaultScope.overwrite_default_scope('mmdet'):
        assert type(MODELS.build(dict(HEAD, type='CenterNetHead'))) is MMDetHead
        for registry in (MODELS, ROOT):
            assert type(registry.build(dict(HEAD, type='mmdet_kpheads.CenterNetHead'))) is CenterNetHead


def test_the_scope_is_found_without_custom_imports(tmp_path):
    """From an empty directory, in a new process, mmengine's registry imports the package."""
    code = """
import mmdet_kpheads.compat as compat
compat.prepare()
import sys
from mmdet.registry import MODELS
head = MODELS.build(dict(type='mmdet_kpheads.CenterNetHead', in_channels=4, feat_channels=4, num_classes=1))
print(type(head).__module__)
"""
    found = subprocess.run([sys.executable, '-c', code], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert found.stdout.strip().endswith('mmdet_kpheads.heads.centernet_head'), found.stderr


def test_register_for_notebooks(tmp_path):
    code = """
import mmdet_kpheads
mmdet_kpheads.register()
from mmdet.registry import MODELS
head = dict(type='mmdet_kpheads.CenterNetHead', in_channels=64, feat_channels=8, num_classes=1)
backbone = dict(type='ResNet', depth=18, num_stages=1, strides=(1,), dilations=(1,), out_indices=(0,))
print(type(MODELS.build(dict(type='CenterNet', backbone=backbone, neck=None, bbox_head=head))).__name__)
"""
    found = subprocess.run([sys.executable, '-c', code], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert found.stdout.strip().endswith('CenterNet'), found.stderr


def test_public_names():
    for name in (*PUBLIC.split(), 'register'):
        assert name in mmdet_kpheads.__all__
        assert getattr(mmdet_kpheads, name).__name__ == name
    for name in mmdet_kpheads.__all__:
        assert hasattr(mmdet_kpheads, name)
    folders = (mmdet_kpheads.heads, mmdet_kpheads.losses, mmdet_kpheads.backbones, mmdet_kpheads.necks)
    for folder in (*folders, mmdet_kpheads.detectors):
        assert set(folder.__all__) <= set(mmdet_kpheads.__all__)
    assert not hasattr(mmdet_kpheads, 'no_such_name')


def test_types_are_public():
    assert (Path(mmdet_kpheads.__file__).parent / 'py.typed').is_file()


@pytest.mark.parametrize('detector', ['FCOS', 'RetinaNet', 'SingleStageDetector'])
def test_the_head_swaps_into_detectors_with_a_feature_pyramid(detector):
    """One training step and one prediction on one level of an FPN."""
    from mmdet.registry import MODELS

    cfg = dict(
        type=detector,
        backbone=dict(type='ResNet', depth=18, base_channels=8, out_indices=(0, 1, 2, 3), norm_eval=False),
        neck=dict(type='FPN', in_channels=[8, 16, 32, 64], out_channels=8, num_outs=5),
        bbox_head=dict(type='mmdet_kpheads.CenterNetHead', num_classes=2, in_channels=8, feat_channels=8, feat_level=0),
    )
    with DefaultScope.overwrite_default_scope('mmdet'):
        model = MODELS.build(cfg)
    images = [well_formed(3, 2, 64), well_formed(0, 2, 64)]
    inputs = torch.randn(2, 3, 64, 64)
    losses = model.loss(inputs, samples_of(images, 64))
    sum(value for name, value in losses.items() if 'loss' in name).backward()
    assert all(parameter.grad is not None for parameter in model.bbox_head.parameters())
    model.eval()
    found = model.predict(inputs, samples_of(images, 64))
    assert all((sample.pred_instances.bboxes[:, 2:] <= 64).all() for sample in found)


def test_losses_are_parsed_by_mmdet():
    """Counts are logged. Only losses are summed."""
    from tests.training import small_detector

    model = small_detector('mmdet_kpheads.CenterNetHead', 2)
    losses = model.loss(torch.randn(1, 3, 64, 64), samples_of([well_formed(3, 2, 64)], 64))
    total, logged = model.parse_losses(losses)
    torch.testing.assert_close(total, sum(value for name, value in losses.items() if name.startswith('loss')))
    assert logged['num_dropped_boxes'] == 0
