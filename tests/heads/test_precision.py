"""Mixed precision: finite losses, finite gradients, and a training run."""

import pytest
import torch

from mmdet_kpheads.heads import CenterNetHead
from tests.scenes import metas, well_formed
from tests.training import (
    BACKEND,
    GROUPS,
    SMALL_HEADS,
    features_of,
    samples_of,
    small_detector,
    small_head,
    summed,
    total_loss,
)

HALVES = [torch.float16, torch.bfloat16]
DETECTOR_HEADS = dict(
    CenterNetHead={},
    CornerNetHead=dict(num_feat_levels=1, pool_channels=8),
    AutoAssignHead=dict(
        strides=(4,), stacked_convs=1, norm_cfg=GROUPS, force_topk=True, loss_bbox=dict(type='GIoULoss', loss_weight=5)
    ),
)


@pytest.mark.parametrize('dtype', HALVES)
@pytest.mark.parametrize('logit', [-100.0, -18.0, 0.0, 9.0, 100.0, 65504.0])
def test_head_under_autocast_is_finite_for_any_logit(dtype, logit):
    head = CenterNetHead(4, 4, 3, loss_bbox=dict(type='GIoULoss', loss_weight=1.0), backend=BACKEND.get())
    for branch in (head.heatmap_head, head.wh_head, head.offset_head):
        torch.nn.init.constant_(branch[-1].bias, logit)
    with torch.autocast('cpu', dtype=dtype):
        maps = head((torch.randn(2, 4, 16, 16),))
        assert maps[0][0].dtype == dtype
        losses = head.loss_by_feat(*maps, [well_formed(3, 3, 64), well_formed(0, 3, 64)], metas(2, 64))
    total = sum(value for name, value in losses.items() if 'loss' in name)
    total.backward()
    assert total.dtype == torch.float32
    assert total.isfinite()
    assert all(parameter.grad.isfinite().all() for parameter in head.parameters())


@pytest.mark.parametrize('dtype', HALVES)
@pytest.mark.parametrize('counts', [(3, 5), (0, 0)])
@pytest.mark.parametrize('name', SMALL_HEADS)
def test_amp_losses_agree_with_float32(name, counts, dtype):
    head, features = small_head(name), features_of(name, 2, seed=0)
    truth = [well_formed(count, 3, 64) for count in counts]
    expected = head.loss_by_feat(*head(features), truth, metas(2, 64))
    with torch.autocast('cpu', dtype=dtype):
        losses = head.loss_by_feat(*head(features), truth, metas(2, 64))
    for name, value in expected.items():
        torch.testing.assert_close(losses[name], value, rtol=1e-2, atol=1e-2)


@pytest.mark.parametrize('dtype', HALVES)
@pytest.mark.parametrize('name', SMALL_HEADS)
def test_a_head_in_half_precision_trains(name, dtype):
    """The whole module in half precision, not autocast."""
    head = small_head(name).to(dtype)
    features = [level.to(dtype) for level in features_of(name, 2, seed=0)]
    loss = summed(head.loss_by_feat(*head(features), [well_formed(3, 3, 64), well_formed(0, 3, 64)], metas(2, 64)))
    loss.backward()
    assert loss.isfinite()
    assert all(parameter.grad.isfinite().all() for parameter in head.parameters())


@pytest.mark.parametrize('dtype', HALVES)
@pytest.mark.parametrize('head', DETECTOR_HEADS)
def test_two_hundred_amp_iterations_stay_finite(head, dtype):
    model = small_detector(f'mmdet_kpheads.{head}', 3, **DETECTOR_HEADS[head]).train()
    optimizer = torch.optim.SGD(model.parameters(), lr=1e-2, momentum=0.9)
    scaler = torch.amp.GradScaler('cpu', enabled=dtype == torch.float16)
    images = [well_formed(3, 3, 32), well_formed(0, 3, 32)]
    curve = []
    for step in range(200):
        with torch.autocast('cpu', dtype=dtype):
            loss = total_loss(model, images, 32, step % 4)
        curve.append(update(model, optimizer, scaler, loss))
    check(model, images, torch.stack(curve))


@pytest.mark.cuda
@pytest.mark.skipif(not torch.cuda.is_available(), reason='needs a CUDA device')
@pytest.mark.parametrize('dtype', ['float16', 'bfloat16'])
@pytest.mark.parametrize('head', DETECTOR_HEADS)
def test_two_hundred_iterations_of_amp_optim_wrapper_stay_finite(head, dtype):
    from mmengine.optim import AmpOptimWrapper

    model = small_detector(f'mmdet_kpheads.{head}', 3, **DETECTOR_HEADS[head]).cuda().train()
    optimizer = torch.optim.SGD(model.parameters(), lr=1e-2, momentum=0.9)
    wrapper = AmpOptimWrapper(dtype=dtype, optimizer=optimizer, clip_grad=dict(max_norm=35))
    images = [well_formed(count, 3, 32).to('cuda') for count in (3, 0)]
    curve = []
    for step in range(200):
        with wrapper.optim_context(model):
            loss = total_loss(model, images, 32, step % 4)
        wrapper.update_params(loss)
        curve.append(loss.detach())
    check(model, images, torch.stack(curve))


def update(model, optimizer, scaler, loss):
    optimizer.zero_grad()
    scaler.scale(loss).backward()
    scaler.unscale_(optimizer)
    torch.nn.utils.clip_grad_norm_(model.parameters(), 35)
    scaler.step(optimizer)
    scaler.update()
    return loss.detach()


def check(model, images, losses):
    assert losses.isfinite().all()
    assert losses[-20:].mean() < 0.7 * losses[:20].mean()
    model.eval()
    device = losses.device
    with torch.no_grad():
        found = model.predict(torch.randn(2, 3, 32, 32, device=device), samples_of(images, 32))
    assert all(sample.pred_instances.bboxes.isfinite().all() for sample in found)
