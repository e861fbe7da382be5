"""The hooks report mismatched classes and invalid labels before a training step uses them."""

from types import SimpleNamespace

import pytest
import torch
from mmdet.structures import DetDataSample
from mmengine.logging import HistoryBuffer, MMLogger
from mmengine.structures import InstanceData
from torch import nn

from mmdet_kpheads.errors import InputError
from mmdet_kpheads.hooks import ClassCheckHook, GroundTruthCheckHook
from mmdet_kpheads.hooks.class_check_hook import heads_with_classes, require_same_classes
from mmdet_kpheads.registry import HOOKS


class Head(nn.Module):
    def __init__(self, num_classes):
        super().__init__()
        self.num_classes = num_classes


def detector(**heads):
    model = nn.Module()
    for name, number in heads.items():
        model.add_module(name, Head(number))
    return model


def loader(classes):
    return SimpleNamespace(dataset=SimpleNamespace(metainfo={'classes': classes}))


def runner(num_classes, train, val=None, **more):
    return SimpleNamespace(
        model=detector(bbox_head=num_classes),
        train_dataloader=loader(train),
        val_dataloader=loader(val),
        test_dataloader=loader(train),
        val_loop=object() if val is not None else None,
        **more,
    )


def test_registered_under_our_scope():
    for hook in ('ClassCheckHook', 'GroundTruthCheckHook'):
        assert HOOKS.build({'type': f'mmdet_kpheads.{hook}'})


def test_equal_classes_pass():
    ClassCheckHook().before_train(runner(2, ('cat', 'dog'), ('cat', 'dog')))
    ClassCheckHook().before_train(runner(2, ('cat', 'dog')))
    ClassCheckHook().before_test(runner(2, ('cat', 'dog')))


def test_wrong_number_is_reported_with_head_and_datasets():
    message = r"Head has num_classes 80; the training set has 1 classes \('ship'\); the validation set has 2 .*'boat'"
    with pytest.raises(InputError, match=message):
        ClassCheckHook().before_train(runner(80, ('ship',), ('ship', 'boat')))
    with pytest.raises(InputError, match='Head has num_classes 80; the test set has 1'):
        ClassCheckHook().before_test(runner(80, ('ship',)))


def test_different_order_of_names_is_refused():
    with pytest.raises(InputError, match='classes do not agree'):
        ClassCheckHook().before_train(runner(2, ('cat', 'dog'), ('dog', 'cat')))


def test_classes_as_one_string_are_refused():
    with pytest.raises(InputError, match=r"training set is the string 'ship', not a tuple: \('ship',\)"):
        ClassCheckHook().before_train(runner(4, 'ship'))


def test_dataset_without_names_is_not_compared():
    require_same_classes([('Head', 3)], {'training set': None})


def test_rpn_heads_and_backbones_are_skipped():
    model = detector(rpn_head=1, bbox_head=3, backbone=1000)
    model.roi_head = nn.Module()
    model.roi_head.bbox_head = nn.ModuleList([Head(3), Head(3)])
    assert list(heads_with_classes(model)) == [('Head', 3)] * 3


def batch(labels):
    sample = DetDataSample(metainfo={'img_path': 'b.jpg'})
    sample.gt_instances = InstanceData(labels=torch.tensor(labels), bboxes=torch.rand(len(labels), 4))
    return {'inputs': [], 'data_samples': [sample]}


def ground_truth_hook(num_classes=3, interval=2):
    hook = GroundTruthCheckHook(interval)
    hook.before_train(SimpleNamespace(model=detector(bbox_head=num_classes)))
    return hook


@pytest.mark.parametrize('labels', [[], [0, 1, 2], [-1, 2]])
def test_valid_labels_pass(labels):
    ground_truth_hook().before_train_iter(None, 0, batch(labels))


@pytest.mark.parametrize(('label', 'rule'), [(3, '>= num_classes 3'), (-2, '< 0')])
def test_invalid_label_is_reported_with_head_and_image(label, rule):
    with pytest.raises(InputError, match=f'label {label} {rule} in Head, image b.jpg'):
        ground_truth_hook().before_train_iter(None, 0, batch([0, label]))


def test_branches_of_semi_supervised_training_are_checked():
    """Data samples in a dict of branches; mmdet's collate puts None where an image has no such branch."""
    (valid,), (invalid,) = batch([0, 2])['data_samples'], batch([0, 3])['data_samples']
    branches = {'sup': [valid], 'unsup_teacher': [DetDataSample()], 'unsup_student': [valid, None]}
    ground_truth_hook().before_train_iter(None, 0, {'inputs': {}, 'data_samples': branches})
    branches['unsup_student'].append(invalid)
    with pytest.raises(InputError, match=r'label 3 >= num_classes 3 in Head, image b\.jpg'):
        ground_truth_hook().before_train_iter(None, 0, {'inputs': {}, 'data_samples': branches})


def counts(step=1, **values):
    scalars = {f'train/{key}': HistoryBuffer(numbers, [1] * len(numbers)) for key, numbers in values.items()}
    logger = MMLogger.get_instance('ground-truth-check')
    return SimpleNamespace(iter=step, message_hub=SimpleNamespace(log_scalars=scalars), logger=logger)


def test_labels_counted_on_the_device_stop_the_run():
    hook = ground_truth_hook()
    with pytest.raises(InputError, match='3 labels outside'):
        hook.after_train_iter(counts(num_bad_labels=[0.0, 1.0, 2.0]), 1)
    hook.after_train_iter(counts(num_bad_labels=[1.0, 2.0], step=2), 2)  # not at the interval
    hook.after_train_iter(counts(num_bad_labels=[5.0, 0.0, 0.0]), 1)  # before the current interval


def test_dropped_boxes_are_logged_as_a_warning(monkeypatch):
    messages: list[str] = []
    state = counts(num_dropped_boxes=[1.0, 4.0])
    monkeypatch.setattr(state.logger, 'warning', messages.append)
    ground_truth_hook().after_train_iter(state, 1)
    assert messages[0].startswith('5 boxes dropped in the last 2 steps')


def test_heads_without_counts_pass():
    ground_truth_hook().after_train_iter(counts(), 1)
