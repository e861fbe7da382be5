"""Which config and checkpoint of a work dir the report takes; each error is named."""

import json
import os

import pytest
import torch
from mmengine.config import Config

from mmdet_kpheads.cli.failures import first_line
from mmdet_kpheads.errors import InputError
from mmdet_kpheads.report.run_folder import find_run_checkpoint, find_run_config


def save(path, iteration):
    torch.save({'meta': {'iter': iteration}, 'state_dict': {}, 'optimizer': {}}, path)


def config_of(work_dir):
    return Config(dict(work_dir=str(work_dir)))


def test_newest_config(tmp_path):
    for age, name in enumerate(('new.py', 'old.py')):
        (tmp_path / name).touch()
        os.utime(tmp_path / name, (1000 - age, 1000 - age))
    assert find_run_config(tmp_path).name == 'new.py'


def run_of(work_dir, start, rows):
    """What mmengine leaves of a run: its config in its own folder, and over the one in the work dir."""
    (work_dir / start / 'vis_data').mkdir(parents=True)
    (work_dir / start / 'vis_data/config.py').write_text(f'start = {start!r}')
    (work_dir / start / 'vis_data/scalars.json').write_text('\n'.join(map(json.dumps, rows)))
    (work_dir / 'my_config.py').write_text(f'start = {start!r}')


def test_a_test_after_the_training_does_not_replace_the_config(tmp_path):
    """With --onnx its model is the file; with --cfg-options it has other values."""
    run_of(tmp_path, '20260101_000000', [{'loss': 3.0, 'step': 10}])
    run_of(tmp_path, '20260102_000000', [{'loss': 2.0, 'step': 20}])
    run_of(tmp_path, '20260103_000000', [{'coco/bbox_mAP': 0.1, 'step': 0}])
    assert Config.fromfile(find_run_config(tmp_path)).start == '20260102_000000'


def test_missing_config_is_named(tmp_path):
    with pytest.raises(InputError, match='has no config: name it with --config'):
        find_run_config(tmp_path)
    with pytest.raises(InputError, match=r'work dir not found: .*nowhere'):
        find_run_config(tmp_path / 'nowhere')


def test_best_checkpoint_goes_before_a_newer_one(tmp_path):
    save(tmp_path / 'epoch_9.pth', 90)
    assert find_run_checkpoint(config_of(tmp_path)).endswith('epoch_9.pth')
    save(tmp_path / 'best_coco_bbox_mAP_epoch_3.pth', 30)
    save(tmp_path / 'best_voc_epoch_2.pth', 20)
    (tmp_path / 'best_broken_epoch_5.pth').write_bytes(b'PK cut off')
    assert find_run_checkpoint(config_of(tmp_path)).endswith('best_coco_bbox_mAP_epoch_3.pth')


def test_missing_and_broken_checkpoints_are_named(tmp_path):
    with pytest.raises(InputError, match='has no checkpoint: name one with --checkpoint'):
        find_run_checkpoint(config_of(tmp_path))
    (tmp_path / 'epoch_1.pth').write_bytes(b'PK cut off')
    with pytest.raises(InputError, match=r'epoch_1\.pth cannot be read: it is cut off') as raised:
        find_run_checkpoint(config_of(tmp_path))
    assert first_line(raised.value) == str(raised.value)
