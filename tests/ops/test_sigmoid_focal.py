import pytest
import torch
import torch.nn.functional as F

from mmdet_kpheads.ops.sigmoid_focal import sigmoid_focal_loss


def test_logit_zero_by_hand():
    """Logit 0 is probability 1/2: a positive loses alpha / 4 * ln 2, a negative (1 - alpha) / 4 * ln 2."""
    loss = sigmoid_focal_loss(torch.zeros(2, 2), torch.tensor([1, 2]), gamma=2.0, alpha=0.25)
    ln2 = torch.tensor(2.0).log().item()
    expected = torch.tensor([[0.75, 0.25], [0.75, 0.75]]) / 4 * ln2  # label 2 of 2 classes is background
    torch.testing.assert_close(loss, expected)


def test_gamma_zero_equals_binary_cross_entropy():
    logits, target = torch.randn(5, 3), torch.tensor([0, 1, 2, 3, 3])
    loss = sigmoid_focal_loss(logits, target, gamma=0.0, alpha=0.5)
    wanted = F.one_hot(target, 4)[:, :3].float()
    torch.testing.assert_close(loss, F.binary_cross_entropy_with_logits(logits, wanted, reduction='none') / 2)


@pytest.mark.parametrize('dtype', [torch.float16, torch.float32])
def test_large_logits_stay_finite(dtype):
    logits = torch.tensor([[65504.0, -65504.0, 0.0]], dtype=dtype, requires_grad=True)
    loss = sigmoid_focal_loss(logits, torch.tensor([1]), gamma=2.0, alpha=0.25)
    loss.sum().backward()
    assert loss.isfinite().all()
    assert logits.grad is not None
    assert logits.grad.isfinite().all()
