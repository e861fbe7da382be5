"""From images, videos and cameras to pictures, JSON and CSV, with an untrained narrow model."""

import csv
import json
import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import cv2
import numpy as np
import pytest
import torch
from mmdet.apis import DetInferencer, inference_detector
from mmdet.registry import MODELS
from mmengine.config import Config
from mmengine.registry import init_default_scope

import mmdet_kpheads
from mmdet_kpheads.cli import predict
from mmdet_kpheads.data import image_sources, prediction_files
from mmdet_kpheads.data.image_sources import Frame, Source, find_sources
from mmdet_kpheads.errors import InputError

CONFIG = 'demo/centernet_digits'
NAMES = ('zero', 'one', 'two', 'three', 'four', 'five', 'six', 'seven', 'eight', 'nine')
ALL = ['--score-thr', '0']


@pytest.fixture(scope='module')
def checkpoint(tmp_path_factory):
    """Weights of an untrained model, with its classes."""
    init_default_scope('mmdet')
    torch.manual_seed(0)
    model = MODELS.build(Config.fromfile(mmdet_kpheads.find_config(CONFIG)).model)
    path = tmp_path_factory.mktemp('weights') / 'untrained.pth'
    torch.save({'state_dict': model.state_dict(), 'meta': {'dataset_meta': {'classes': NAMES}}}, path)
    return str(path)


@pytest.fixture(autouse=True)
def pictures(tmp_path, monkeypatch):
    """Three images in two folders, one of another size."""
    monkeypatch.chdir(tmp_path)
    random = np.random.default_rng(0)
    for name, size in (('a.jpg', (64, 64)), ('b.png', (64, 64)), ('inner/a.jpg', (32, 48))):
        Path('photos', name).parent.mkdir(parents=True, exist_ok=True)
        cv2.imwrite(f'photos/{name}', random.integers(0, 255, (*size, 3), np.uint8))
    return tmp_path


def write_video(path, frames=3):
    video = cv2.VideoWriter(path, cv2.VideoWriter.fourcc(*'MJPG'), 5, (64, 48))
    random = np.random.default_rng(0)
    for _ in range(frames):
        video.write(random.integers(0, 255, (48, 64, 3), np.uint8))
    video.release()


def rows(folder='predictions'):
    with open(f'{folder}/predictions.csv', newline='') as file:
        return list(csv.DictReader(file))


def found(folder='predictions'):
    return json.loads(Path(folder, 'predictions.json').read_text())


def test_a_folder_becomes_pictures_json_and_csv(checkpoint, capsys):
    assert predict.main([CONFIG, checkpoint, 'photos', *ALL]) == 0
    drawn = {name: cv2.imread(f'predictions/{name}') for name in ('a.jpg', 'b.png', 'inner/a.jpg')}
    assert [picture.shape for picture in drawn.values()] == [(384, 384, 3), (384, 384, 3), (384, 576, 3)]
    written, lines = found(), rows()
    assert [image['file_name'] for image in written['images']] == ['photos/a.jpg', 'photos/b.png', 'photos/inner/a.jpg']
    assert written['images'][2] == {'id': 3, 'file_name': 'photos/inner/a.jpg', 'height': 32, 'width': 48}
    assert written['categories'][0] == {'id': 1, 'name': 'zero'} and len(written['categories']) == 10
    assert len(lines) == len(written['annotations']) > 20
    for line, annotation in zip(lines, written['annotations'], strict=True):
        x, y, width, height = annotation['bbox']
        corners = [float(line[key]) for key in ('x1', 'y1', 'x2', 'y2')]
        assert corners == pytest.approx([x, y, x + width, y + height], abs=0.01)
        assert line['class'] == NAMES[annotation['category_id'] - 1] and line['frame'] == ''
        assert float(line['score']) == annotation['score']
    printed = capsys.readouterr().out.splitlines()[-1]
    assert printed.startswith(f'3 images, {len(lines)} detections, ')
    assert printed.endswith('images per second; pictures, predictions.json and predictions.csv are in predictions')


def test_the_json_is_read_by_pycocotools(checkpoint):
    from pycocotools.coco import COCO

    predict.main([CONFIG, checkpoint, 'photos', *ALL, '--no-pictures'])
    coco = COCO('predictions/predictions.json')
    assert len(coco.loadRes(found()['annotations']).anns) == len(coco.anns) > 20
    assert sorted(os.listdir('predictions')) == ['predictions.csv', 'predictions.json']


def test_batches_change_nothing(checkpoint):
    predict.main([CONFIG, checkpoint, 'photos/*.*', 'photos/inner/a.jpg', *ALL, '--batch-size', '1', '--out', 'single'])
    predict.main([CONFIG, checkpoint, 'photos', *ALL, '--batch-size', '3', '--out', 'batch'])
    assert found('single')['images'] == found('batch')['images']
    for one, other in zip(found('single')['annotations'], found('batch')['annotations'], strict=True):
        assert one['bbox'] == pytest.approx(other['bbox'], abs=0.02)


def test_a_batch_has_images_of_one_shape():
    source = Source('x', Path('x'))
    frames = [Frame(source, np.zeros((side, 2, 3), np.uint8)) for side in (4, 4, 4, 5, 5)] + [Frame(source, None)]
    assert [len(batch) for batch in predict.batches(frames, 2)] == [2, 1, 2, 1]


def test_fast_finds_the_same(checkpoint, capsys):
    options = [CONFIG, checkpoint, 'photos/a.jpg', *ALL, '--no-pictures', '--device', 'cpu']
    for words in ([], ['--fast', '--out', 'fast']):
        predict.main([*options, *words])
    assert 'channels last' in capsys.readouterr().out
    best, fast = (max(item['score'] for item in found(folder)['annotations']) for folder in ('predictions', 'fast'))
    assert best == pytest.approx(fast, rel=0.05)


def test_score_and_classes_choose_what_is_kept(checkpoint):
    predict.main([CONFIG, checkpoint, 'photos', *ALL, '--no-pictures'])
    everything = rows()
    some = sorted({row['class'] for row in everything})[:2]
    limit = sorted(float(row['score']) for row in everything)[len(everything) // 2] + 5e-5
    predict.main([CONFIG, checkpoint, 'photos', '--score-thr', str(limit), '--no-pictures', '--classes', *some])
    kept = [row for row in everything if row['class'] in some and float(row['score']) > limit]
    assert rows() == kept and 0 < len(kept) < len(everything)


def test_a_video_becomes_an_annotated_video(checkpoint):
    write_video('clip.avi')
    assert predict.main([CONFIG, checkpoint, 'clip.avi', *ALL, '--batch-size', '2']) == 0
    capture = cv2.VideoCapture('predictions/clip.mp4')
    assert [capture.get(key) for key in (cv2.CAP_PROP_FRAME_COUNT, cv2.CAP_PROP_FPS)] == [3, 5]
    read, picture = capture.read()
    assert read and picture.shape == (384, 512, 3)
    assert {row['frame'] for row in rows()} == {'0', '1', '2'}
    assert [image['frame'] for image in found()['images']] == [0, 1, 2]


class FakeCamera:
    """Sends two frames, and then the user presses Ctrl-C."""

    def __init__(self, number):
        assert number == 0
        self.left = 2

    def get(self, key):
        return 0.0  # no rate

    def read(self):
        self.left -= 1
        if self.left < 0:
            raise KeyboardInterrupt
        return True, np.zeros((48, 64, 3), np.uint8)

    def release(self):
        pass


def test_a_camera_runs_until_it_is_interrupted(checkpoint, monkeypatch):
    with monkeypatch.context() as patch:
        patch.setattr(image_sources.cv2, 'VideoCapture', FakeCamera)
        assert predict.main([CONFIG, checkpoint, '0', *ALL]) == 0
    assert len(found()['images']) == 2
    assert cv2.VideoCapture('predictions/camera_0.mp4').get(cv2.CAP_PROP_FPS) == image_sources.DEFAULT_RATE


def test_what_cannot_be_read_is_named_and_skipped(checkpoint, capfd):
    """In a line each, without those of OpenCV and FFmpeg."""
    for name in ('photos/broken.jpg', 'photos/broken.mp4'):
        Path(name).write_bytes(b'not an image')
    assert predict.main([CONFIG, checkpoint, 'photos', '99', *ALL, '--no-pictures']) == 1
    printed = capfd.readouterr()
    lines = [line for line in printed.err.splitlines() if not line.startswith('[mov')]  # of FFmpeg: see below
    assert lines == [
        'skipped: photos/broken.jpg: cv2 cannot decode it: it is truncated, or no image',
        'skipped: photos/broken.mp4: OpenCV finds no frame in it',
        'skipped: 99: there is no camera of this number, or another program uses it',
    ]
    assert '3 images, ' in printed.out and ', 3 could not be read; ' in printed.out


@pytest.mark.slow
def test_ffmpeg_is_silent(pictures):
    """It reads its level once in a process."""
    Path('broken.mp4').write_bytes(b'not a video')
    script = (
        'import sys; from pathlib import Path; from mmdet_kpheads.data.image_sources import Source, read_stream;'
        'print([frame.problem for frame in read_stream(Source(sys.argv[1], Path("x")))])'
    )
    command, package = [sys.executable, '-c', script, str(pictures / 'broken.mp4')], Path(mmdet_kpheads.__file__)
    seen = subprocess.run(command, capture_output=True, text=True, check=True, cwd=package.parents[1])
    assert 'moov' not in seen.stderr
    assert seen.stdout == "['OpenCV finds no frame in it']\n"


def test_an_image_that_would_be_resized_to_nothing_is_skipped(checkpoint, capsys):
    """A config with a wrong size is an error for every image, of whatever shape."""
    cv2.imwrite('photos/line.png', np.zeros((1, 800, 3), np.uint8))
    cfg = Config.fromfile(mmdet_kpheads.find_config(CONFIG))
    cfg.test_dataloader.dataset.pipeline.insert(1, dict(type='Resize', scale=(64, 64), keep_ratio=True))
    cfg.dump('resized.py')
    assert predict.main(['resized.py', checkpoint, 'photos', *ALL]) == 1
    assert capsys.readouterr().err == (
        'skipped: photos/line.png: 800 x 1 pixels are too narrow for the test pipeline\n'
    )
    assert len(found()['images']) == 3
    cfg.test_dataloader.dataset.pipeline[1]['scale'] = (0, 0)
    cfg.dump('resized.py')
    with pytest.raises(InputError, match='the scale of Resize must be two positive numbers'):
        predict.main(['resized.py', checkpoint, 'photos', *ALL])


@pytest.mark.parametrize(
    ('arguments', 'message'),
    [
        (['nowhere.jpg'], r'input not found: nowhere\.jpg is no file, folder, glob'),
        (['*.gif'], r'input not found: \*\.gif'),
        (['empty'], 'no image or video found in empty; the suffixes are .jpg'),
        (['photos', '--out', 'photos'], r'--out photos would replace the input photos/'),
        (
            ['photos', '--classes', 'one', 'ten'],
            r"--classes: the model has no \('ten'\); its classes are \('zero', .*'nine'\)",
        ),
        (['photos', '--device', 'gpu'], "device 'gpu' cannot be used: "),
        (['photos', '--show'], '--show needs a display, and DISPLAY is not set'),
        (
            ['photos', '--cfg-options', 'model.bbox_head.num_classes=3'],
            r'has 10 classes \(.*CenterNetHead .* num_classes 3',
        ),
        (
            ['photos', '--cfg-options', 'model.bbox_head.feat_channels=8'],
            'does not fit .*centernet_digits.py: .*bbox_head',
        ),
    ],
)
def test_bad_input_is_one_line(arguments, message, checkpoint, monkeypatch):
    Path('empty').mkdir()
    for name in ('DISPLAY', 'WAYLAND_DISPLAY'):
        monkeypatch.delenv(name, raising=False)
    with pytest.raises(InputError, match=message) as raised:
        predict.main([CONFIG, checkpoint, *arguments])
    assert '\n' not in str(raised.value)
    assert not Path('predictions').exists()


def test_a_checkpoint_must_exist():
    with pytest.raises(InputError, match=r'checkpoint not found: no\.pth'):
        predict.main([CONFIG, 'no.pth', 'photos'])


def test_an_opencv_without_windows_is_named(monkeypatch):
    def fail(*_):
        raise cv2.error('not implemented')

    monkeypatch.setenv('DISPLAY', ':0')
    monkeypatch.setattr(prediction_files.cv2, 'namedWindow', fail)
    with pytest.raises(InputError, match='--show needs an OpenCV with windows'):
        prediction_files.open_window()


def test_q_in_the_window_ends(checkpoint, monkeypatch):
    shown: list[tuple] = []
    monkeypatch.setattr(predict, 'open_window', lambda: None)
    monkeypatch.setattr(prediction_files.cv2, 'imshow', lambda name, picture: shown.append(picture.shape))
    monkeypatch.setattr(prediction_files.cv2, 'waitKey', lambda wait: ord('q') if len(shown) == 2 else ord(' '))
    assert predict.main([CONFIG, checkpoint, 'photos', *ALL, '--show', '--batch-size', '1']) == 0
    assert len(shown) == len(found()['images']) == 2


def test_files_are_taken_once_and_not_from_the_output():
    Path('photos/out').mkdir()
    for name in ('photos/out/a.jpg', 'photos/notes.txt', 'photos/c.avi', 'photos/c.mp4'):
        Path(name).touch()
    sources = find_sources(['photos/b.png', 'photos', 'photos/**/*.jpg', '3'], Path('photos/out'))
    assert {source.name: str(source.target) for source in sources} == {
        'photos/b.png': 'b.png',
        'photos/a.jpg': 'a.jpg',
        'photos/c.avi': 'c.mp4',
        'photos/c.mp4': 'c.mp4.mp4',
        'photos/inner/a.jpg': 'inner/a.jpg',
        'photos/out/a.jpg': 'out/a.jpg',  # the glob names it
        '3': 'camera_3.mp4',
    }
    assert [source.name for source in sources[:2]] == ['photos/b.png', 'photos/a.jpg']


def test_an_image_of_another_suffix_becomes_png(tmp_path):
    Path('scan').write_bytes(Path('photos/b.png').read_bytes())
    (source,) = find_sources(['scan'], tmp_path / 'out')
    assert source.target == Path('scan.png')


def test_a_picture_that_cannot_be_written_is_named(tmp_path):
    (tmp_path / 'a.jpg').mkdir()
    files = prediction_files.Pictures(tmp_path)
    with pytest.raises(InputError, match=r'a\.jpg cannot be written'):
        files.write(Frame(Source('x.jpg', Path('a.jpg')), None), np.zeros((4, 4, 3), np.uint8))


def test_a_model_by_name_serves_mmdet(checkpoint):
    model: Any = mmdet_kpheads.load_model(CONFIG, checkpoint, 'cpu')
    assert model.dataset_meta['classes'] == NAMES and not model.training
    single = inference_detector(model, 'photos/a.jpg').pred_instances
    path = str(mmdet_kpheads.find_config(CONFIG))
    inferencer = DetInferencer(model=path, weights=checkpoint, device='cpu', show_progress=False)
    (same,) = inferencer('photos/a.jpg', no_save_vis=True)['predictions']
    assert same['scores'] == pytest.approx(single.scores.tolist()) and len(same['scores']) > 5


def test_detections_go_into_supervision(checkpoint):
    supervision = pytest.importorskip('supervision')
    result = inference_detector(mmdet_kpheads.load_model(CONFIG, checkpoint, 'cpu'), 'photos/a.jpg')
    detections = supervision.Detections.from_mmdetection(result)
    assert len(detections) == len(result.pred_instances) > 5
    np.testing.assert_array_equal(detections.xyxy, result.pred_instances.bboxes.numpy())


def test_detections_in_a_zone_and_in_slices(checkpoint):
    supervision = pytest.importorskip('supervision')
    model = mmdet_kpheads.load_model(CONFIG, checkpoint, 'cpu')
    image = cv2.imread('photos/a.jpg')
    height, width = image.shape[:2]

    def detect(part):
        return supervision.Detections.from_mmdetection(inference_detector(model, part))

    everywhere = supervision.PolygonZone(
        np.array([[-9, -9], [width + 9, -9], [width + 9, height + 9], [-9, height + 9]])
    )
    detections = detect(image)
    assert everywhere.trigger(detections).all() and len(detections) > 5
    slicer = supervision.InferenceSlicer(detect, slice_wh=max(height, width), overlap_wh=0, iou_threshold=1.0)
    assert len(slicer(np.hstack([image, image]))) > len(detections)


def test_detections_are_tracked(checkpoint):
    supervision, trackers = (pytest.importorskip(name) for name in ('supervision', 'trackers'))
    result = inference_detector(mmdet_kpheads.load_model(CONFIG, checkpoint, 'cpu'), 'photos/a.jpg')
    detections = supervision.Detections.from_mmdetection(result)[:1]
    detections.confidence[:] = 0.9
    tracker = trackers.ByteTrackTracker()
    ids = [tracker.update(detections).tracker_id[0] for _ in range(5)]
    assert ids[-1] == ids[-2] >= 0  # a track that lasts


@pytest.mark.parametrize('meta', [{}, {'dataset_meta': {'CLASSES': ['one']}}, {'CLASSES': ('one',)}])
def test_classes_of_older_checkpoints(meta):
    cfg = Config.fromfile(mmdet_kpheads.find_config(CONFIG))
    names = mmdet_kpheads.inference.saved_meta({'meta': meta}, cfg)['classes']
    assert names == (('one',) if meta else NAMES)
    cfg.test_dataloader.dataset = {'type': 'mmdet_kpheads.Unknown'}
    if not meta:
        with pytest.raises(
            InputError, match=r'neither the checkpoint nor the test set of .*digits\.py names the classes'
        ):
            mmdet_kpheads.inference.saved_meta({}, cfg)


def test_total_is_unknown_with_a_camera():
    write_video('clip.avi', 4)
    sources = find_sources(['photos', 'clip.avi'], Path('out'))
    assert predict.total_frames(sources) == 7
    assert predict.total_frames([*sources, SimpleNamespace(count_frames=lambda: None)]) is None
