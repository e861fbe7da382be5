"""Which config and checkpoint of a work dir the report takes; each error is named."""

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
