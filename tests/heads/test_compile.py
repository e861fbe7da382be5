"""torch.compile: one graph in the losses and in decoding, no new one for other numbers of boxes, the same numbers."""

import pytest
import torch
from torch._dynamo.testing import CompileCounterWithBackend
from torch.torch_version import TorchVersion

from mmdet_kpheads.structures import GroundTruth
from tests.scenes import metas, well_formed
from tests.training import SMALL_HEADS, features_of, samples_of, small_detector, small_head, summed

PX, CLASSES = 64, 3
BOUNDARIES = ('from_instances', 'to_instances')  # from lists of objects to tensors of fixed size, and back
HAS_TRACEABLE_CONFIGS = TorchVersion(torch.__version__) >= '2.9'
READS_CONFIG = pytest.mark.skipif(not HAS_TRACEABLE_CONFIGS, reason='reading test_cfg in one graph needs torch >= 2.9')
LOSSES = ('centernet', pytest.param('cornernet', marks=READS_CONFIG))  # CornerNet's log reads its distance threshold
CPP = pytest.mark.slow  # Inductor calls the C++ compiler for some tens of seconds


@pytest.fixture(autouse=True)
def backend():
    """Once: under torch.compile every head runs the reference."""
    return 'auto'


@pytest.fixture(autouse=True)
def fresh_compiler():
    torch._dynamo.reset()
    yield
    torch._dynamo.reset()


def scene(name, boxes=(3, 2)):
    head = small_head(name)
    maps = head(features_of(name, len(boxes), 0))
    plain = [[level.detach().requires_grad_() for level in levels] for levels in maps]
    images = [well_formed(number, CLASSES, PX, seed=i) for i, number in enumerate(boxes)]
    return head, plain, images, metas(len(boxes), PX)


def truth_of(images, img_metas):
    return GroundTruth.from_instances(images, img_metas, CLASSES, 'test')


def gradients(loss, maps):
    return torch.autograd.grad(loss, [level for levels in maps for level in levels], allow_unused=True)


@pytest.mark.parametrize('compiler', ['aot_eager', pytest.param('inductor', marks=CPP)])
@pytest.mark.parametrize('name', LOSSES)
def test_loss_is_one_graph_with_the_same_value_and_gradient(name, compiler):
    head, maps, images, img_metas = scene(name)
    eager = summed(head.loss_by_feat(*maps, images, img_metas))
    compiled = torch.compile(head.loss_by_truth, backend=compiler, fullgraph=True)
    found = summed(compiled(*maps, truth=truth_of(images, img_metas), input_size=(PX, PX)))
    torch.testing.assert_close(found, eager, rtol=1e-6, atol=1e-6)
    for ours, expected in zip(gradients(found, maps), gradients(eager, maps), strict=True):
        torch.testing.assert_close(ours, expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize('name', LOSSES)
def test_other_numbers_of_boxes_need_no_new_graph(name):
    """The first graph is for a fixed size, the second for any; none and one box are no cases of their own."""
    head, maps, _, img_metas = scene(name)
    counter = CompileCounterWithBackend('eager')
    compiled = torch.compile(head.loss_by_truth, backend=counter, fullgraph=True)
    seen = set()
    for boxes in ((3, 2), (5, 4), (1, 9), (30, 12), (0, 0), (2, 6), (0, 1), (17, 100)):
        images = [well_formed(number, CLASSES, PX, seed=i) for i, number in enumerate(boxes)]
        expected = summed(head.loss_by_feat(*maps, images, img_metas))
        found = summed(compiled(*maps, truth=truth_of(images, img_metas), input_size=(PX, PX)))
        torch.testing.assert_close(found, expected, rtol=1e-6, atol=1e-6)
        seen.add(round(expected.item(), 4))
    assert counter.frame_count <= 2
    assert len(seen) > 6  # else it would say nothing


@pytest.mark.parametrize('name', LOSSES)
def test_another_size_of_the_map_is_another_graph(name):
    """The largest Gaussian window follows the map."""
    head = small_head(name)
    counter = CompileCounterWithBackend('eager')
    compiled = torch.compile(head.loss_by_truth, backend=counter, fullgraph=True)
    for px in (64, 96, 128, 64):
        maps = [[level.detach() for level in levels] for levels in head(features_of(name, 2, 0, px // 4))]
        truth = GroundTruth.from_instances([well_formed(3, CLASSES, px)] * 2, metas(2, px), CLASSES, 'test')
        expected = summed(head.loss_by_truth(*maps, truth=truth, input_size=(px, px)))
        torch.testing.assert_close(summed(compiled(*maps, truth=truth, input_size=(px, px))), expected)
    assert counter.frame_count <= 3


@READS_CONFIG
@pytest.mark.parametrize('name', SMALL_HEADS)
def test_decoding_is_one_graph_up_to_tensors_of_fixed_size(name):
    head, maps, _, img_metas = scene(name)
    plain = [[level.detach() for level in levels] for levels in maps]
    report = torch._dynamo.explain(head.predict_by_feat)(*plain, img_metas)
    assert report.graph_count == 1
    assert all(BOUNDARIES[1] in str(reason.reason) for reason in report.break_reasons)
    expected = head.predict_by_feat(*plain, img_metas)
    torch._dynamo.reset()
    found = torch.compile(head.predict_by_feat, backend='aot_eager')(*plain, img_metas)
    for ours, theirs in zip(found, expected, strict=True):
        torch.testing.assert_close(ours.bboxes, theirs.bboxes, rtol=1e-5, atol=1e-5)
        torch.testing.assert_close(ours.labels, theirs.labels)


@READS_CONFIG
@pytest.mark.slow
@pytest.mark.usefixtures('mmdet_scope')
@pytest.mark.parametrize('head', ['CenterNetHead', 'CornerNetHead'])
@pytest.mark.parametrize('mode', ['loss', 'predict'])
def test_a_compiled_detector_does_not_break_inside_our_code(head, mode):
    options = dict(num_feat_levels=1, pool_channels=8) if head == 'CornerNetHead' else {}
    model = small_detector(f'mmdet_kpheads.{head}', CLASSES, **options)
    model.train(mode == 'loss')
    samples = samples_of([well_formed(3, CLASSES, PX), well_formed(2, CLASSES, PX)], PX)
    inputs = torch.randn(2, 3, PX, PX)
    with torch.set_grad_enabled(mode == 'loss'):
        report = torch._dynamo.explain(model)(inputs, samples, mode)
    for reason in report.break_reasons:
        ours = [frame for frame in reason.user_stack if '/mmdet_kpheads/' in frame.filename]
        assert not ours or any(name in str(reason.reason) for name in BOUNDARIES), str(reason.reason)


@pytest.mark.skipif(HAS_TRACEABLE_CONFIGS, reason='torch >= 2.9 traces configs')
def test_an_older_torch_is_named_where_the_graph_ends():
    head, maps, _, img_metas = scene('centernet')
    decode = torch.compile(head.decode, backend='eager', fullgraph=True)
    with pytest.raises(torch._dynamo.exc.Unsupported, match=r'needs torch >= 2\.9 here'):
        decode(*maps, batch_img_metas=img_metas)
