"""Every carried config builds, and keeps the promises that all of them make."""

from copy import deepcopy

import cv2
import numpy as np
import pytest
import torch
from mmdet.registry import DATASETS, MODELS, TRANSFORMS
from mmdet.structures import DetDataSample
from mmengine.config import Config
from mmengine.dataset import Compose
from mmengine.model import convert_sync_batchnorm
from mmengine.registry import init_default_scope
from torch.nn.modules.batchnorm import _BatchNorm

from mmdet_kpheads.compat.config_bases import configs_root
from tests.scenes import instances, metas
from tests.training import fcos_arguments_warn, summed

pytestmark = fcos_arguments_warn

INPUT_PX = 128

NAMES = sorted(
    str(path.relative_to(configs_root())) for path in configs_root().rglob('*.py') if '_base_' not in path.parts
)
BIG = ('hourglass', 'r101', 'x101')  # tens of seconds each on two cores
OWN_DATA = [name for name in NAMES if 'custom' in name or 'voc' in name]


def config_of(name):
    init_default_scope('mmdet')
    return Config.fromfile(configs_root() / name)


@pytest.fixture(params=NAMES)
def cfg(request):
    return config_of(request.param)


@pytest.fixture(scope='module')
def image(tmp_path_factory):
    """What a data set gives: a file of 96 x 128 pixels with two objects."""
    path = tmp_path_factory.mktemp('image') / 'image.png'
    cv2.imwrite(str(path), np.random.default_rng(0).integers(0, 255, (96, 128, 3), dtype=np.uint8))
    boxes = ([10.0, 12.0, 60.0, 80.0], [40.0, 30.0, 120.0, 90.0])
    instances = [dict(bbox=box, bbox_label=0, ignore_flag=0) for box in boxes]
    return dict(img_id=0, img_path=str(path), height=96, width=128, instances=instances)


def inner(dataset):
    while 'dataset' in dataset or 'datasets' in dataset:
        dataset = dataset.get('dataset') or dataset['datasets'][0]
    return dataset


def evaluators(cfg):
    return cfg.test_evaluator if isinstance(cfg.test_evaluator, list) else [cfg.test_evaluator]


def test_model_builds_with_the_classes_of_its_data(cfg):
    model = MODELS.build(cfg.model)
    for loader in (cfg.train_dataloader, cfg.val_dataloader, cfg.test_dataloader):
        dataset = inner(loader.dataset)
        names = {**DATASETS.get(dataset.type).METAINFO, **dataset.get('metainfo', {})}['classes']
        assert model.bbox_head.num_classes == len(names) and not isinstance(names, str)


@pytest.mark.parametrize(
    'name',
    [pytest.param(name, marks=pytest.mark.slow) if any(big in name for big in BIG) else name for name in NAMES],
)
def test_one_training_step_and_one_prediction(name):
    """On random weights and a tiny image; the first box has the last class."""
    cfg = config_of(name)
    cfg.model.backbone.init_cfg = None
    model = MODELS.build(cfg.model)
    classes = model.bbox_head.num_classes
    image = instances([[10, 12, 80, 90], [40, 30, 120, 100]], [classes - 1, 0])
    samples = [DetDataSample(metainfo=meta) for meta in metas(2, INPUT_PX, border=(0, INPUT_PX, 0, INPUT_PX))]
    for sample in samples:
        sample.gt_instances = image
    inputs = torch.randn(2, 3, INPUT_PX, INPUT_PX)  # two: batch normalization of Hourglass's 1 x 1 maps
    loss = summed(model.train().loss(inputs, samples))
    loss.backward()
    assert loss.isfinite()
    trained = [name for name, value in model.named_parameters() if value.requires_grad and value.grad is None]
    assert not trained or cfg.get('find_unused_parameters')
    with torch.no_grad():
        found = model.eval().predict(inputs, samples)[0].pred_instances
    assert len(found.bboxes) <= cfg.max_detections


def test_batch_normalization_can_be_synchronized(cfg):
    """``sync_bn = 'torch'`` reaches every layer, none of which needs a rule of its own."""
    cfg.model.backbone.init_cfg = None
    model = convert_sync_batchnorm(MODELS.build(cfg.model), 'torch')
    kinds = {type(module) for module in model.modules()}
    assert not {kind for kind in kinds if issubclass(kind, _BatchNorm)} - {torch.nn.SyncBatchNorm}


def test_detections_are_limited_by_one_number_that_the_evaluator_reaches(cfg):
    limit = cfg.max_detections
    assert cfg.model.test_cfg.max_per_img == limit
    assert cfg.model.test_cfg.get('topk', limit) == limit  # CornerNet's corner_topk counts corners, not boxes
    for evaluator in evaluators(cfg):
        if evaluator.type == 'CocoMetric':
            assert max(evaluator.proposal_nums) >= limit
            assert 100 in evaluator.proposal_nums  # COCO's AP is taken at 100


def test_scale_factor_is_packed(cfg):
    for loader in (cfg.val_dataloader, cfg.test_dataloader):
        assert 'scale_factor' in inner(loader.dataset).pipeline[-1].meta_keys


def test_every_pipeline_takes_an_image(cfg, image):
    """Training, test, and the pipeline of --tta where there is one."""
    np.random.seed(0)  # noqa: NPY002  (what mmcv's transforms draw from)
    pipelines = [inner(cfg.train_dataloader.dataset).pipeline, inner(cfg.test_dataloader.dataset).pipeline]
    for steps in (*pipelines, *([cfg.tta_pipeline] if 'tta_pipeline' in cfg else [])):
        result = Compose([TRANSFORMS.build(step) for step in steps])(deepcopy(image))
        inputs = result['inputs'] if isinstance(result['inputs'], list) else [result['inputs']]
        assert all(tensor.ndim == 3 and tensor.shape[0] == 3 for tensor in inputs)


def test_learning_rate_follows_the_batch_and_gradients_are_clipped(cfg):
    assert cfg.auto_scale_lr.enable and cfg.auto_scale_lr.base_batch_size > 0
    assert cfg.optim_wrapper.clip_grad.max_norm > 0


def test_checks_are_on_and_package_is_imported(cfg):
    hooks = [hook.type for hook in cfg.custom_hooks]
    names = ('ClassCheckHook', 'GroundTruthCheckHook', 'FiniteLossHook', 'ResumeHook')
    assert hooks == [f'mmdet_kpheads.{name}' for name in names]
    assert cfg.custom_imports.imports == ['mmdet_kpheads']


def test_transform_that_can_hang_is_trained_with_only_in_the_published_recipes(cfg, request):
    """In test mode RandomCenterCropPad only pads."""
    uses_it = any(transform.type == 'RandomCenterCropPad' for transform in inner(cfg.train_dataloader.dataset).pipeline)
    assert uses_it == ('-crop' in request.node.name)


@pytest.mark.parametrize('name', OWN_DATA)
def test_own_data_does_not_train_ignore_regions_as_background(name):
    assert Config.fromfile(configs_root() / name).model.bbox_head.ignore_regions


@pytest.mark.parametrize('name', NAMES)
def test_header_has_the_command(name):
    text = (configs_root() / name).read_text()
    header = text.split('_base_ =')[0]
    assert 'python tools/train.py' in header and 'Expected AP: ' in header
    command = 'my_config.py' if '_custom' in name else name
    assert f'python tools/train.py {command}\n' in header
