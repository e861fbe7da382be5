"""PairingHook logs the pairing of ground-truth corners in validation batches."""

from types import SimpleNamespace

import pytest
import torch
from mmdet.structures import DetDataSample
from mmengine.logging import MessageHub

from mmdet_kpheads.heads import CornerNetHead
from mmdet_kpheads.hooks import PairingHook
from tests.scenes import instances, metas, well_formed
from tests.training import small_head

SIZE = 64


class Detector(torch.nn.Module):
    """A detector whose inputs are features."""

    def __init__(self, head):
        super().__init__()
        self.bbox_head = head

    def data_preprocessor(self, data, training):
        assert not training
        return data

    def extract_feat(self, inputs):
        return (inputs,)


def batch_of(seed, scale=1.0):
    image = well_formed(5, 3, SIZE, seed)
    sample = DetDataSample(metainfo=metas(1, SIZE)[0] | dict(scale_factor=(scale, scale)))
    sample.gt_instances = instances(image.bboxes / scale, image.labels)
    return dict(inputs=torch.randn(1, 4, 16, 16), data_samples=[sample]), image


def run(hook, head, batches):
    runner = SimpleNamespace(model=Detector(head), message_hub=MessageHub('pairing'))
    hook.before_val_epoch(runner)
    for index, batch in enumerate(batches):
        hook.after_val_iter(runner, index, batch)
    hook.after_val_epoch(runner)
    return {name: values.current() for name, values in runner.message_hub.log_scalars.items()}


def test_means_over_the_evaluated_batches(monkeypatch):
    monkeypatch.setattr(MessageHub, '_instance_dict', {})
    head: CornerNetHead = small_head('cornernet')
    batches, images = zip(*[batch_of(seed, scale=0.5) for seed in range(3)], strict=True)
    found = run(PairingHook(interval=2), head, batches)
    expected = [head.pairing((batches[i]['inputs'],), [images[i]], metas(1, SIZE)) for i in (0, 2)]
    for name in ('tags_within', 'tags_between', 'pairs_grouped', 'pairs_confused'):
        assert found[f'val/{name}'] == pytest.approx(float((expected[0][name] + expected[1][name]) / 2))


def test_ground_truth_resized_by_the_pipeline_is_used_unchanged(monkeypatch):
    monkeypatch.setattr(MessageHub, '_instance_dict', {})
    head = small_head('cornernet')
    batch, _ = batch_of(0)
    same = run(PairingHook(gt_is_resized=True), head, [batch])
    batch['data_samples'][0].set_metainfo(dict(scale_factor=(9.0, 9.0)))
    monkeypatch.setattr(MessageHub, '_instance_dict', {})
    assert run(PairingHook(gt_is_resized=True), head, [batch]) == same


def test_ground_truth_is_shifted_by_the_border(monkeypatch):
    monkeypatch.setattr(MessageHub, '_instance_dict', {})
    head = small_head('cornernet')
    batch, image = batch_of(0)
    sample = batch['data_samples'][0]
    expected = run(PairingHook(), head, [batch])
    sample.gt_instances.bboxes = image.bboxes - torch.tensor([5.0, 3.0, 5.0, 3.0])
    sample.set_metainfo(dict(border=(3, SIZE, 5, SIZE)))
    monkeypatch.setattr(MessageHub, '_instance_dict', {})
    assert run(PairingHook(), head, [batch]) == pytest.approx(expected)


def test_other_heads_are_skipped(monkeypatch):
    monkeypatch.setattr(MessageHub, '_instance_dict', {})
    assert run(PairingHook(), small_head('centernet'), [batch_of(0)[0]]) == {}
