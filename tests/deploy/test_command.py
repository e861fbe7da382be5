"""mmdet-kpheads export: what it writes and prints, and what it refuses."""

import json
from types import SimpleNamespace

import cv2
import numpy as np
import pytest
import torch
from mmcv.ops import DeformConv2dPack
from mmdet.registry import MODELS
from mmengine.config import ConfigDict
from mmengine.registry import DefaultScope

from mmdet_kpheads.cli import export
from mmdet_kpheads.compat.config_bases import configs_root
from mmdet_kpheads.compat.environments import release
from mmdet_kpheads.decoding.options import CenterDecoding, GridDecoding
from mmdet_kpheads.deploy import OnnxDetector
from mmdet_kpheads.deploy.files import Export, write
from mmdet_kpheads.deploy.graph import DetectorGraph, require_head, require_options
from mmdet_kpheads.deploy.runtime import METADATA_KEY
from mmdet_kpheads.deploy.verification import difference, predict
from mmdet_kpheads.errors import InputError
from mmdet_kpheads.inference import Predictor, load_model
from mmdet_kpheads_cli.subcommands import main
from tests.deploy.conftest import HEADS, config_of, save_checkpoint
from tests.training import small_detector

WITH_DEFORM_CONV = (1, 25)  # first ONNX Runtime that has it on a CPU; Python 3.10 has older ones


def arguments_of(head, checkpoints, out):
    return [config_of(head), str(checkpoints / f'{head}.pth'), '--out', str(out), '--size', '64', '96']


def test_a_static_file_is_verified_and_describes_itself(checkpoints, images, tmp_path, capsys):
    pytest.importorskip('onnxruntime')
    out = tmp_path / 'new/model.onnx'
    arguments = [*arguments_of('autoassign', checkpoints, out), '--opset', '18', '--verify', *images]
    assert main(['export', *arguments]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert "MB, input 64 x 96, ('a', 'b', 'c', 'd', ...)" in lines[-4]
    assert all('20 boxes, largest differences' in line and '0 boxes without' in line for line in lines[-3:])
    detector = OnnxDetector(out)
    metadata = detector.metadata
    assert detector.classes == list('abcdefghij')
    assert [metadata[key] for key in ('head', 'channels', 'size', 'nms')] == [
        'AutoAssignHead',
        'rgb',
        [64, 96],
        'graph',
    ]
    assert metadata['test_cfg'] == dict(score_thr=0.05, nms=dict(type='nms', iou_threshold=0.6), max_per_img=20)
    assert [value.shape for value in detector.session.get_inputs()] == [[1, 3, 64, 96]]
    assert [value.shape for value in detector.session.get_outputs()] == [[1, 20, 4], [1, 20], [1, 20]]


@pytest.mark.parametrize('head', HEADS)
def test_the_templates_of_small_models_are_exported(head, images, tmp_path, capsys):
    """The input has the size of a training batch, and a square image gives what a test of the config gives."""
    pytest.importorskip('onnxruntime')
    config, checkpoint, out = tmp_path / 'small.py', tmp_path / 'small.pth', tmp_path / 'small.onnx'
    text = (configs_root() / f'{head}/{head}_small_custom.py').read_text()
    text = text.replace('(320, 320)', '(128, 128)').replace('max_detections = 100', 'max_detections = 20')
    config.write_text(text)
    save_checkpoint(config, checkpoint)
    assert main(['export', str(config), str(checkpoint), '--out', str(out), '--verify', *images]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert all('20 boxes' in line and '0 boxes without' in line for line in lines[-3:]), lines
    detector = OnnxDetector(out)
    assert detector.metadata['size'] == [128, 128] and detector.classes == ['a', 'b']
    expected = Predictor(load_model(str(config), str(checkpoint), 'cpu'))([cv2.imread(images[2])])[0].to_tensor()
    seen = difference(expected, *detector(images[2])[:3])
    assert seen.expected == 20 and seen.boxes_px < 1e-3 and seen.scores < 1e-4, str(seen)  # normalized in other places


def test_a_difference_is_reported(exported, images, checkpoints, tmp_path, capsys):
    path = exported('centernet', '--dynamic')
    state = torch.load(checkpoints / 'centernet.pth', weights_only=True)
    state['state_dict']['bbox_head.wh_head.2.bias'] += 0.01
    torch.save(state, tmp_path / 'moved.pth')
    cfg = export.Config.fromfile(config_of('centernet'))
    with DefaultScope.overwrite_default_scope('mmdet'):
        model = export.build(cfg, str(tmp_path / 'moved.pth'), 'auto')
    assert export.report(SimpleNamespace(out=path, verify=images[:1]), model) == 1
    assert '20 boxes, largest differences 2.0e-02 px' in capsys.readouterr().out


def test_without_nms_the_outputs_are_all_candidates(exported):
    detector = OnnxDetector(exported('cornernet', '--nms', 'none'))
    scores = detector.run(np.zeros((1, 3, 128, 128), np.float32))[1]
    assert scores.shape == (1, 1000)
    assert detector.metadata['nms'] == 'none' and detector.metadata['test_cfg']['nms']['type'] == 'soft_nms'


@pytest.mark.slow
@pytest.mark.parametrize('head', HEADS)
def test_pt2_equals_torch(head, checkpoints, tmp_path, mmdet_scope):
    out = tmp_path / 'model.pt2'
    assert main(['export', *arguments_of(head, checkpoints, out), '--cfg-options', 'model.test_cfg.max_per_img=3']) == 0
    files = {METADATA_KEY: ''}
    graph = torch.export.load(str(out), extra_files=files).module()
    images = np.random.default_rng(0).integers(0, 256, (1, 3, 64, 96)).astype(np.float32)
    cfg = export.Config.fromfile(config_of(head))
    cfg.model.test_cfg.max_per_img = 3
    model = export.build(cfg, str(checkpoints / f'{head}.pth'), 'auto')
    with torch.no_grad():
        found = [rows[0].numpy() for rows in graph(torch.from_numpy(images))]
    seen = difference(predict(model, images, 'rgb')[0], *found)
    assert seen.expected == 3 and not seen.unpaired, str(seen)
    assert json.loads(files[METADATA_KEY])['size'] == [64, 96]


@pytest.mark.parametrize('version', [1, 2])
def test_deformable_convolutions_become_onnx_operators(version, tmp_path):
    onnxruntime = pytest.importorskip('onnxruntime')
    model = small_detector('mmdet_kpheads.CenterNetHead', 3, backend='export')
    options = dict(in_channels=32, num_deconv_filters=(16, 8), num_deconv_kernels=(4, 4), use_dcn=True)
    model.neck = MODELS.build(dict(type='mmdet.CTResNetNeck', **options))
    if version == 1:
        model.neck.deconv_layers[0].conv = DeformConv2dPack(32, 16, 3, padding=1)
    for name, parameter in model.named_parameters():
        if 'conv_offset' in name:
            torch.nn.init.normal_(parameter, std=0.1)
        elif 'wh_head' in name:
            torch.nn.init.constant_(parameter, 0.5)
    graph = DetectorGraph(model).eval()
    with pytest.raises(InputError, match='--opset must be 19 or more for deformable convolutions, but is 17'):
        write(Export(graph, dict(size=[64, 64], dynamic=False), opset=17), tmp_path / 'model.onnx')
    write(Export(graph, dict(size=[64, 64], dynamic=False, classes=[])), tmp_path / 'model.onnx')
    if release(onnxruntime.__version__) < WITH_DEFORM_CONV:
        with pytest.raises(ValueError, match=r'model\.onnx cannot be run: .*DeformConv'):
            OnnxDetector(tmp_path / 'model.onnx')
        return
    images = np.random.default_rng(0).integers(0, 9, (1, 3, 64, 64)).astype(np.float32)
    found = [rows[0] for rows in OnnxDetector(tmp_path / 'model.onnx').run(images)]
    seen = difference(predict(model, images, 'bgr')[0], *found)
    assert seen.expected > 10 and not seen.unpaired, str(seen)


def test_what_cannot_be_exported_is_refused(checkpoints, images, tmp_path, capsys):
    out = tmp_path / 'model.onnx'
    for arguments, message in (
        (
            [*arguments_of('centernet', checkpoints, tmp_path / 'model.engine')],
            '--out must end in .onnx or .pt2, but is',
        ),
        ([*arguments_of('centernet', checkpoints, tmp_path / 'a.pt2'), '--verify', 'x.jpg'], '--verify compares ONNX'),
        ([config_of('centernet'), str(checkpoints / 'cornernet.pth'), '--out', str(out)], 'does not fit'),
        (
            [*arguments_of('centernet', checkpoints, out), '--verify', images[0], 'none.jpg'],
            'error: --verify none.jpg: image not found: none.jpg\n',
        ),
    ):
        assert main(['export', *arguments]) == 2
        assert message in capsys.readouterr().err
    assert not out.exists()


def test_heads_and_options_that_the_graph_lacks_are_named(mmdet_scope):
    with pytest.raises(InputError, match='RetinaNet has bbox_head RetinaHead; --drop-in'):
        require_head(dict(type='RetinaNet', bbox_head=dict(type='RetinaHead')))
    with pytest.raises(InputError, match='FasterRCNN has bbox_head None'):
        require_head(dict(type='FasterRCNN'))
    for nms in (dict(type='nms_match'), dict(iou_threshold=0.5, offset=1)):
        with pytest.raises(InputError, match=r'test_cfg\.nms is .* export knows soft_nms'):
            require_options(CenterDecoding(nms=ConfigDict(nms)))
    with pytest.raises(InputError, match=r'test_cfg\.min_bbox_size is 4'):
        require_options(GridDecoding(min_bbox_size=4))
