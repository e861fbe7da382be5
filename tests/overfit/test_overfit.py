"""Each head overfits eight images, from random weights, with the commands: ``make test-overfit``."""

import re
from pathlib import Path

import pytest
from mmengine.config import Config

from mmdet_kpheads.cli import make_digits, train
from mmdet_kpheads.compat.config_bases import configs_root

pytest.importorskip('sklearn')
pytestmark = pytest.mark.overfit

IMAGES = 8
EPOCHS, STEPS = 6, 60  # of one batch, all eight images


def overfit_config(head: str, root: Path) -> Path:
    """The demo's config on eight images without augmentation, tested on the same images."""
    cfg = Config.fromfile(configs_root() / f'demo/{head}_digits.py')
    plain = cfg.test_dataloader.dataset.pipeline
    trained = cfg.train_dataloader.dataset | dict(data_root=f'{root}/data/', pipeline=plain)
    cfg.train_dataloader.dataset = dict(type='RepeatDataset', times=STEPS, dataset=trained)
    cfg.train_dataloader.batch_size = IMAGES
    cfg.train_dataloader.sampler.shuffle = False
    cfg.val_dataloader.dataset.update(data_root=f'{root}/data/', ann_file='annotations/train.json')
    cfg.val_evaluator.ann_file = f'{root}/data/annotations/train.json'
    cfg.test_dataloader, cfg.test_evaluator = cfg.val_dataloader, cfg.val_evaluator
    cfg.train_cfg.max_epochs = cfg.train_cfg.val_interval = EPOCHS
    cfg.param_scheduler = [
        dict(type='LinearLR', start_factor=0.1, by_epoch=False, begin=0, end=STEPS // 2),
        dict(type='CosineAnnealingLR', T_max=EPOCHS, end=EPOCHS, eta_min_ratio=0.01, convert_to_iter_based=True),
    ]
    cfg.auto_scale_lr.enable = False
    path = root / f'{head}.py'
    cfg.dump(path)
    return path


@pytest.mark.parametrize('head', ['centernet', 'cornernet', 'autoassign'])
def test_eight_images_are_overfitted(head, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    make_digits.main([f'{tmp_path}/data', '--num-train', str(IMAGES), '--num-val', '1'])
    train.main([str(overfit_config(head, tmp_path)), '--work-dir', 'runs'])
    log = next(Path('runs').glob('*/*.log')).read_text()
    assert float(re.findall(r'coco/bbox_mAP_50: ([\d.]+)', log)[-1]) > 0.95
