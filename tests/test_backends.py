"""Which version of a formula runs, and that the package works without its kernels."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import torch

import mmdet_kpheads
from mmdet_kpheads.backends import BACKENDS, chosen_backend, version_of
from mmdet_kpheads.functional.giou import giou_loss
from mmdet_kpheads.heads import AutoAssignHead, CenterNetHead, CornerNetHead
from mmdet_kpheads.kernels import VERSIONS, cpu
from mmdet_kpheads.losses import GaussianFocalLoss, GIoULoss

PACKAGE = Path(mmdet_kpheads.__file__).parent
TRAIN_EACH_HEAD = """
import importlib.util
import sys
import torch

sys.meta_path = [finder for finder in sys.meta_path if 'Editable' not in str(finder)]  # the copy alone is to be found
import mmdet_kpheads
from tests.scenes import metas, well_formed
from tests.training import SMALL_HEADS, features_of, small_head, summed

assert importlib.util.find_spec('mmdet_kpheads.kernels') is None
for name in SMALL_HEADS:
    torch.manual_seed(0)
    head, features = small_head(name), features_of(name, 2, 0)
    optimizer = torch.optim.SGD(head.parameters(), lr=1e-3)
    curve = []
    for _ in range(2):
        maps = head(features)
        loss = summed(head.loss_by_feat(*maps, [well_formed(3, 3, 64, seed) for seed in (0, 1)], metas(2, 64)))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        curve.append(loss.item())
    assert curve[1] < curve[0], (name, curve)
    with torch.no_grad():
        assert len(head.predict_by_feat(*head(features), metas(2, 64))) == 2
    print(name, curve[0])
"""


class OnAnotherDevice:
    """A tensor as far as the choice looks at it."""

    def __init__(self, kind):
        self.device = torch.device(kind)


def test_the_device_chooses_unless_a_backend_is_named():
    assert [chosen_backend(OnAnotherDevice(kind)) for kind in ('cpu', 'cuda', 'mps')] == [
        'cpu',
        'compiled',
        'reference',
    ]
    assert [chosen_backend(torch.zeros(1), name) for name in BACKENDS[1:]] == ['reference', 'cpu', 'compiled', 'export']
    assert version_of(giou_loss, torch.zeros(1)) is cpu.giou_loss
    assert version_of(giou_loss, torch.zeros(1), 'reference') is giou_loss
    assert version_of(giou_loss, torch.zeros(1), 'compiled') is giou_loss  # has no version of its own


def test_under_torch_compile_the_reference_runs():
    def names(x):
        return x * (2.0 if chosen_backend(x) == 'reference' else 3.0)

    compiled = torch.compile(names, backend='eager', fullgraph=True)
    assert names(torch.ones(1)) == 3 and compiled(torch.ones(1)) == 2


def test_backends_that_do_not_exist_or_do_not_fit_are_named():
    with pytest.raises(ValueError, match=r"backend must be one of .*'compiled'.* but got 'gpu'"):
        chosen_backend(torch.zeros(1), 'gpu')
    with pytest.raises(ValueError, match=r"backend='cpu' .* needs CPU tensors, but got one on 'cuda'"):
        chosen_backend(OnAnotherDevice('cuda'), 'cpu')
    for build in (
        lambda: CenterNetHead(4, 4, 3, backend='gpu'),
        lambda: CornerNetHead(3, 4, backend='gpu'),
        lambda: AutoAssignHead(3, 4, backend='gpu'),
        lambda: GaussianFocalLoss(backend='gpu'),
        lambda: GIoULoss(backend='gpu'),
    ):
        with pytest.raises(ValueError, match="but got 'gpu'"):
            build()


def test_losses_of_a_head_take_its_backend_unless_they_name_one():
    giou = dict(type='GIoULoss', backend='cpu')
    head = CenterNetHead(4, 4, 3, backend='reference', loss_bbox=giou)
    assert (head.loss_center_heatmap.backend, head.loss_bbox.backend) == ('reference', 'cpu')


def test_every_kernel_is_the_version_of_a_formula():
    formulas = {path.stem: path.read_text() for path in PACKAGE.glob('*/*.py') if path.parent.name != 'kernels'}
    for versions in VERSIONS.values():
        for name in versions:
            assert any(f'def {name}(' in text for text in formulas.values()), name


def test_without_kernels_each_head_trains_and_predicts(tmp_path):
    shutil.copytree(PACKAGE, tmp_path / PACKAGE.name, ignore=shutil.ignore_patterns('kernels', '__pycache__'))
    path = os.pathsep.join((str(tmp_path), str(PACKAGE.parent)))
    environment = os.environ | {'PYTHONPATH': path, 'OMP_NUM_THREADS': '1'}
    command = [sys.executable, '-c', TRAIN_EACH_HEAD]
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert [line.split()[0] for line in done.stdout.splitlines()[-3:]] == ['centernet', 'cornernet', 'autoassign']
