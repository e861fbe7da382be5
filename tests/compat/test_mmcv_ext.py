import importlib.util
import sys
import warnings
from unittest.mock import Mock

import mmcv
import pytest
import torch
import torch.nn.functional as F
from mmcv import ops as mmcv_ops
from mmdet.models.losses.focal_loss import py_sigmoid_focal_loss

from benchmarks.ops_equality import ops_from
from mmdet_kpheads.compat import mmcv_ext
from mmdet_kpheads.errors import KpheadsWarning

COMPILED = not isinstance(sys.modules['mmcv._ext'], mmcv_ext.FallbackOps)  # mmcv.ops has imported it


@pytest.fixture
def fallback():
    """mmcv's wrappers use the fallback, even if mmcv is compiled."""
    module = mmcv_ext.fallback_ops()
    with ops_from(module):
        yield module


def test_the_fallback_is_a_module_like_any_other():
    mmcv_ext.provide()
    spec = importlib.util.find_spec('mmcv._ext')
    assert spec is not None
    assert spec.name == 'mmcv._ext'
    assert mmcv._ext is importlib.import_module('mmcv._ext')
    assert not hasattr(mmcv_ext.fallback_ops(), '__path__')


def test_it_is_made_once(monkeypatch):
    mmcv_ext.provide()
    before = sys.modules['mmcv._ext']
    assert mmcv_ext.provide() is not COMPILED
    assert sys.modules['mmcv._ext'] is before


def test_compiled_ops_stay(monkeypatch):
    compiled = type(sys)('mmcv._ext')
    monkeypatch.setitem(sys.modules, 'mmcv._ext', compiled)
    assert mmcv_ext.provide() is False
    assert sys.modules['mmcv._ext'] is compiled


def test_compiled_ops_that_do_not_load_are_replaced_with_a_warning(monkeypatch):
    monkeypatch.delitem(sys.modules, 'mmcv._ext')

    def broken(name):
        raise ImportError('_ext.so: undefined symbol: _ZN2at4_ops')

    monkeypatch.setattr(mmcv_ext.importlib, 'import_module', broken)
    with pytest.warns(KpheadsWarning, match='do not load.*undefined symbol'):
        assert mmcv_ext.provide() is True
    assert isinstance(sys.modules['mmcv._ext'], mmcv_ext.FallbackOps)


def test_another_op_names_itself_and_the_cure(fallback):
    with pytest.raises(NotImplementedError, match=r"mmcv op 'nms_match' is not available.*pip install --no-build"):
        mmcv_ops.nms_match(torch.rand(3, 5), 0.5)


def test_mmcv_reports_itself(fallback):
    assert 'fallback' in fallback.get_compiler_version()
    assert 'fallback' in fallback.get_compiling_cuda_version()


def test_mmdet_imports():
    with warnings.catch_warnings():
        warnings.simplefilter('ignore')
        models = importlib.import_module('mmdet.models')
    assert models.CornerHead is not None


def test_parts_of_a_batch_give_the_whole(fallback, monkeypatch):
    """A low limit processes one image at a time, forward and backward; gradients of the shared weight add up."""

    def results():
        torch.manual_seed(0)
        x, offset, mask = torch.randn(3, 2, 4, 4), torch.randn(3, 18, 4, 4), torch.rand(3, 9, 4, 4)
        weight, bias = torch.randn(2, 2, 3, 3), torch.randn(2)
        leaves = [t.requires_grad_() for t in (x, offset, mask, weight, bias)]
        out = mmcv_ops.modulated_deform_conv2d(*leaves, 1, 1, 1, 1, 1)
        return [out.detach(), *torch.autograd.grad(out, leaves, torch.randn(out.shape))]

    whole = results()
    monkeypatch.setattr(mmcv_ext, 'COLUMN_LIMIT', 1)
    monkeypatch.setattr(mmcv_ext, 'KEPT_LIMIT', 0)
    for part, expected in zip(results(), whole, strict=True):
        torch.testing.assert_close(part, expected)


def test_backward_takes_what_forward_kept_once_then_computes_it_again(fallback, monkeypatch):
    x, offset, weight = torch.randn(2, 2, 4, 4), torch.randn(2, 18, 4, 4), torch.randn(3, 2, 3, 3)
    leaves = [t.requires_grad_() for t in (x, offset, torch.rand(2, 9, 4, 4), weight)]
    out = mmcv_ops.modulated_deform_conv2d(*leaves, None, 1, 1, 1, 1, 1)
    convolve = Mock(wraps=mmcv_ext.ops.deform_conv2d)
    monkeypatch.setattr(mmcv_ext.ops, 'deform_conv2d', convolve)
    first = torch.autograd.grad(out.square().sum(), leaves, retain_graph=True)
    convolve.assert_not_called()
    second = torch.autograd.grad(out.square().sum(), leaves)
    convolve.assert_called_once()
    for once, again in zip(first, second, strict=True):
        torch.testing.assert_close(once, again)


def test_gradients_add_to_what_is_there(fallback):
    x, offset, weight = torch.randn(1, 1, 3, 3), torch.zeros(1, 18, 3, 3), torch.randn(1, 1, 3, 3)
    sizes = {'kW': 3, 'kH': 3, 'dW': 1, 'dH': 1, 'padW': 1, 'padH': 1, 'dilationW': 1, 'dilationH': 1}
    sizes |= {'group': 1, 'deformable_group': 1, 'im2col_step': 1}
    empty, grad = x.new_empty(0), torch.ones(1, 1, 3, 3)
    once, twice = torch.zeros_like(weight), torch.zeros_like(weight)
    fallback.deform_conv_backward_parameters(x, offset, grad, once, empty, empty, scale=1, **sizes)
    for _ in range(2):
        fallback.deform_conv_backward_parameters(x, offset, grad, twice, empty, empty, scale=0.5, **sizes)
    torch.testing.assert_close(once, twice)


def test_the_layers_train(fallback):
    """DCN and DCNv2, as in configs, start as convolutions (offsets zero) and give every parameter a gradient."""
    x = torch.randn(2, 4, 6, 6)
    for name in ('DCN', 'DCNv2'):
        layer = mmcv.cnn.build_conv_layer({'type': name, 'deform_groups': 2}, 4, 8, 3, padding=1)
        out = layer(x)
        factor = 0.5 if name == 'DCNv2' else 1.0  # the mask starts at sigmoid(0)
        bias = layer.bias if name == 'DCNv2' else None
        expected = F.conv2d(x, layer.weight * factor, bias, padding=1)
        torch.testing.assert_close(out, expected, rtol=1e-4, atol=1e-5)
        out.square().sum().backward()
        assert all(p.grad is not None and p.grad.isfinite().all() for p in layer.parameters())


def test_focal_loss_as_mmdet_calls_it_on_cuda(fallback):
    logits, target = torch.randn(6, 3), torch.tensor([0, 1, 2, 3, 3, 0])
    grad, loss = torch.zeros_like(logits), torch.empty_like(logits)
    none = logits.new_empty(0)
    fallback.sigmoid_focal_loss_forward(logits, target, none, loss, gamma=2.0, alpha=0.25)
    fallback.sigmoid_focal_loss_backward(logits, target, none, grad, gamma=2.0, alpha=0.25)
    logits.requires_grad_()
    wanted = F.one_hot(target, 4)[:, :3]
    expected = py_sigmoid_focal_loss(logits, wanted, gamma=2.0, alpha=0.25, reduction='none')
    torch.testing.assert_close(loss, expected)
    torch.testing.assert_close(grad, torch.autograd.grad(expected.sum(), logits)[0])
    weight = torch.tensor([1.0, 2.0, 3.0, 0.0])
    weighted = torch.empty_like(loss)
    fallback.sigmoid_focal_loss_forward(logits.detach(), target, weight, weighted, gamma=2.0, alpha=0.25)
    torch.testing.assert_close(weighted, loss * weight[target][:, None])
