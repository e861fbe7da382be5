"""A folder with a dataset becomes a config that builds: every format and layout, the split, and bad input."""

import json
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from mmdet.datasets import CocoDataset
from mmdet.registry import DATASETS, MODELS, TRANSFORMS
from mmengine.config import Config
from mmengine.dataset import Compose
from mmengine.registry import init_default_scope
from mmengine.runner import Runner
from PIL import Image

from mmdet_kpheads.cli import init, train
from mmdet_kpheads.compat import checkpoint_loading
from mmdet_kpheads.compat.config_bases import configs_root
from mmdet_kpheads.data import layouts
from mmdet_kpheads.data.annotations import VOC_CORNERS, AnnotatedImage, read_coco
from mmdet_kpheads.data.coco_writer import coco_dict
from mmdet_kpheads.data.splitting import split_images
from mmdet_kpheads.errors import InputError
from mmdet_kpheads.hooks import LoadingReportHook

CLASSES = ('cat', 'dog')
SIZE = WIDTH, HEIGHT = 64, 48
BOX = [8.0, 6.0, 40.0, 30.0]
ROBOFLOW = ('train', 'valid', 'test')
MAX_LINES = 40
LARGEST_IN_32_96 = (32, 43)  # Resize: limits of the longer and the shorter side, in either order


@pytest.fixture(autouse=True)
def in_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def write_image(path, exif_orientation=None):
    path.parent.mkdir(parents=True, exist_ok=True)
    exif = Image.Exif()
    if exif_orientation:
        exif[0x0112] = exif_orientation
    Image.fromarray(np.zeros((HEIGHT, WIDTH, 3), np.uint8)).save(path, exif=exif)


def write(path, text):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


def write_coco(path, folder, names, classes=CLASSES, supercategory=None):
    """Images of one object each, alternating between the classes, in a folder that the file does not name."""
    for name in names:
        write_image(folder / name)
    images = [AnnotatedImage(Path(name), SIZE, [BOX], [CLASSES[i % 2]]) for i, name in enumerate(names)]
    content = coco_dict(images, classes)
    for category in content['categories']:
        category['supercategory'] = supercategory
    write(path, json.dumps(content))


def write_voc(xml, image, name='cat', written=None, size=SIZE):
    write_image(image)
    corners = ''.join(f'<{key}>{value + 1}</{key}>' for key, value in zip(VOC_CORNERS, BOX, strict=True))
    write(
        xml,
        f'<annotation><filename>{written or image.name}</filename>'
        f'<size><width>{size[0]}</width><height>{size[1]}</height></size>'
        f'<object><name>{name}</name><difficult>1</difficult><bndbox>{corners}</bndbox></object>'
        '<object><name>dog</name><bndbox>' + corners + '</bndbox></object></annotation>',
    )


def yolo_line(label=0):
    x1, y1, x2, y2 = BOX
    numbers = ((x1 + x2) / 2 / WIDTH, (y1 + y2) / 2 / HEIGHT, (x2 - x1) / WIDTH, (y2 - y1) / HEIGHT)
    return f'{label} {" ".join(map(str, numbers))}\n'


def coco_split(root):
    for name in ('train', 'val'):
        write_coco(root / f'annotations/instances_{name}2017.json', root / f'{name}2017', ['1.jpg', '2.jpg'])
        write(root / f'annotations/captions_{name}2017.json', '{"images": [], "annotations": []}')


def coco_roboflow(root):
    for name in ROBOFLOW:
        classes = ('pets', *CLASSES)
        write_coco(root / name / '_annotations.coco.json', root / name, ['1.jpg', '2.jpg'], classes, 'pets')


def coco_unsplit(root):
    write_coco(root / 'labels.json', root / 'pictures', [f'{index}.png' for index in range(10)])


def voc_lists(root):
    for name in ('a', 'b'):
        write_voc(root / f'VOC2007/Annotations/{name}.xml', root / f'VOC2007/JPEGImages/{name}.jpg')
    write(root / 'VOC2007/ImageSets/Main/train.txt', 'a\n')
    write(root / 'VOC2007/ImageSets/Main/val.txt', 'b\n')
    write(root / 'VOC2007/ImageSets/Main/cat_train.txt', 'a 1\n')


def voc_flat(root):
    """Extensions and names as they come: upper case, another name than the annotation, a path of another system."""
    write_voc(root / 'a.xml', root / 'IMG_2385.JPG')
    write_voc(root / 'b.xml', root / 'b.PNG', written=r'C:\photos\b.png')
    for index in range(8):
        write_voc(root / f'{index}.xml', root / f'{index}.jpeg', written='no.jpg', size=(0, 0))


def voc_folders(root):
    for name in ROBOFLOW:
        write_voc(root / name / 'x.xml', root / name / 'x.jpg')


def yolo_roboflow(root):
    for name in ROBOFLOW:
        for index in range(2):
            write_image(root / name / f'images/{index}.jpg')
            write(root / name / f'labels/{index}.txt', yolo_line(index))
    paths = {name: f'../{name}/images' for name in ROBOFLOW}
    write(root / 'data.yaml', json.dumps({'names': CLASSES} | paths | {'val': paths['valid']}))


def yolo_other_names(root):
    for name in ('first', 'second'):
        write_image(root / f'images/{name}/0.jpg')
        write(root / f'labels/{name}/0.txt', yolo_line() + yolo_line(1))
    content = {'names': dict(enumerate(CLASSES)), 'train': 'images/first', 'val': ['images/second']}
    write(root / 'data.yml', json.dumps(content))


def yolo_links(root):
    yolo_roboflow(Path('elsewhere'))
    for path in [path for path in Path('elsewhere').rglob('*') if path.is_file()]:
        link = root / path.relative_to('elsewhere')
        link.parent.mkdir(parents=True, exist_ok=True)
        link.symlink_to(path.resolve())


def yolo_flat(root):
    for index in range(10):
        write_image(root / f'{index}.jpg')
        write(root / f'{index}.txt', yolo_line(index % 2))
    write(root / 'classes.txt', '\n'.join(CLASSES))


LAYOUTS = {
    coco_split: ('coco', {'train': 2, 'val': 2}),
    coco_roboflow: ('coco', {'train': 2, 'val': 2, 'test': 2}),
    coco_unsplit: ('coco', {'train': 8, 'val': 2}),
    voc_lists: ('voc', {'train': 1, 'val': 1}),
    voc_flat: ('voc', {'train': 8, 'val': 2}),
    voc_folders: ('voc', {'train': 1, 'val': 1, 'test': 1}),
    yolo_roboflow: ('yolo', {'train': 2, 'val': 2, 'test': 2}),
    yolo_links: ('yolo', {'train': 2, 'val': 2, 'test': 2}),
    yolo_other_names: ('yolo', {'train': 1, 'val': 1}),
    yolo_flat: ('yolo', {'train': 8, 'val': 2}),
}


def written(*arguments):
    Path('my.py').unlink(missing_ok=True)
    init.main(['--data', 'mine', '--out', 'my.py', *arguments])
    init_default_scope('mmdet')
    return Config.fromfile('my.py')


def loaders(cfg):
    return {name: cfg[f'{name}_dataloader'].dataset for name in ('train', 'val', 'test')}


@pytest.mark.parametrize('layout', LAYOUTS, ids=lambda layout: layout.__name__)
def test_every_layout_gives_datasets_that_load(layout, capsys):
    kind, counts = LAYOUTS[layout]
    layout(Path('mine'))
    cfg = written()
    printed = capsys.readouterr().out
    assert cfg.classes == CLASSES and cfg.model.bbox_head.num_classes == 2
    for name, dataset in loaders(cfg).items():
        data = DATASETS.build(dict(dataset, serialize_data=False))
        assert len(data) == counts.get(name, counts['val'])
        annotations = read_coco(Path(dataset.ann_file), Path(dataset.data_prefix.img))
        for image in annotations.images:
            assert image.path.is_file() and image.size == SIZE and image.boxes
            assert all(box == pytest.approx(BOX) for box in image.boxes)
        assert data[0]['inputs'].ndim == 3
    assert printed.startswith(f"mine: {kind.upper()}, 2 classes: ('cat', 'dog')\n")
    assert f'train: {counts["train"]} images, ' in printed and 'from 32 x 24 to 32 x 24 pixels' in printed
    assert printed.endswith('next: mmdet-kpheads check-dataset my.py\n      mmdet-kpheads train my.py\n')
    assert ('no split' in printed) == (counts['train'] == 8)


def test_the_named_format_is_read():
    for layout in (coco_split, voc_folders, yolo_roboflow):
        layout(Path('mine'))
    for kind in layouts.FORMATS:
        assert layouts.find_dataset(Path('mine'), kind).format == kind


def test_difficult_objects_of_voc_stay_ignored():
    voc_folders(Path('mine'))
    data = DATASETS.build(loaders(written())['train'])
    assert [instance['ignore_flag'] for instance in data.get_data_info(0)['instances']] == [1, 0]


def test_a_polygon_of_yolo_is_its_box():
    yolo_flat(Path('mine'))
    x1, y1, x2, y2 = np.array(BOX) / [*SIZE, *SIZE]
    write(Path('mine/0.txt'), f'1 {x1} {y1} {x2} {y1} {x2} {y2} {x1} {(y1 + y2) / 2}\n')
    found = layouts.find_dataset(Path('mine')).splits['all'].images[0]
    assert found.names == ['dog'] and found.boxes[0] == pytest.approx(BOX)


def test_a_split_has_a_fifth_of_each_class_and_follows_its_seed():
    names = [['cat']] * 50 + [['cat', 'dog']] * 10 + [[]] * 5
    images = [AnnotatedImage(Path(f'{index}.jpg'), SIZE, [BOX] * len(n), n) for index, n in enumerate(names)]
    train_images, val_images = split_images(images, 0)
    assert sorted(image.path for image in train_images + val_images) == sorted(image.path for image in images)
    assert [sum(name in image.names for image in val_images) for name in CLASSES] == [12, 2]
    assert split_images(images[::-1], 0) == (train_images, val_images)
    assert split_images(images, 1) != (train_images, val_images)
    assert [len(part) for part in split_images(images[:2], 0)] == [1, 1]


@pytest.mark.parametrize('head', init.TEMPLATES)
@pytest.mark.parametrize(
    'words', [[], ['--from-scratch'], ['--model', 'small']], ids=['published', 'from scratch', 'small']
)
def test_the_first_lines_take_effect(head, words):
    """The size reaches every pipeline, that of --tta too; epochs and batch size reach the loops."""
    coco_split(Path('mine'))
    values = ['--image-size', '32', '96', '--epochs', '7', '--batch-size', '3']
    cfg = written('--head', head, *values, *words)
    lines = Path('my.py').read_text().splitlines()
    assert len(lines) <= MAX_LINES and lines.index('image_size = (32, 96)  # width, height') < 15
    steps = cfg.train_dataloader.dataset.pipeline
    assert tuple(steps[2].scale) == tuple(steps[3].crop_size) == (32, 96)
    shapes = [Compose([TRANSFORMS.build(step) for step in steps])(dict(**image_info()))['inputs'].shape]
    test_steps = cfg.test_dataloader.dataset.pipeline
    shapes += [Compose([TRANSFORMS.build(step) for step in test_steps])(image_info())['inputs'].shape]
    assert shapes[0][1] <= 96 and shapes[0][2] <= 32  # the crop
    assert shapes[1][1:] == LARGEST_IN_32_96
    assert 'tta_pipeline' not in cfg or cfg.tta_pipeline == test_steps
    assert cfg.train_dataloader.batch_size == 3 and cfg.train_cfg.max_epochs == 7
    assert cfg.default_hooks.checkpoint.save_best == 'auto'
    starts = [cfg.load_from, cfg.pretrained]
    assert starts.count(None) == (2 if words else 1)
    assert cfg.optim_wrapper.optimizer.lr == (2e-4 if cfg.load_from else 2e-3 if '--model' in words else 1e-3)
    assert MODELS.build(cfg.model).bbox_head.num_classes == 2


@pytest.mark.parametrize('words', [[], ['--image-size', '64']])
def test_a_small_model_has_fewer_parameters_smaller_images_and_more_epochs_for_few_images(words):
    coco_split(Path('mine'))
    small = written('--model', 'small', *words)
    standard = written('--from-scratch', *words)
    assert tuple(small.image_size) == ((64, 64) if words else (320, 320))
    assert tuple(standard.image_size) == ((64, 64) if words else (512, 512))
    assert small.model.data_preprocessor.pad_size_divisor == max(small.image_size)  # tests are padded as batches are
    assert small.train_cfg.max_epochs == 300 and small.train_dataloader.num_workers == 0
    parameters = [sum(p.numel() for p in MODELS.build(cfg.model).parameters()) for cfg in (small, standard)]
    assert parameters[0] < 1e6 < 10 * parameters[0] < parameters[1]


def test_a_cpu_user_is_told_of_the_small_model(monkeypatch, capsys):
    coco_split(Path('mine'))
    for device, words, told in (
        ('cpu', [], True),
        ('cpu', ['--from-scratch'], True),
        ('cuda', ['--from-scratch'], False),
        ('cpu', ['--model', 'small'], False),
    ):
        monkeypatch.setattr(init, 'get_device', lambda device=device: device)
        written(*words)
        assert ('no GPU was found: --model small' in capsys.readouterr().out) == told, (device, words)


def test_images_beside_a_voc_layout_are_found_where_they_are_least_deep():
    coco_split(Path('mine'))
    cfg = written()
    folder = Path(cfg.train_dataloader.dataset.data_prefix.img)
    for path in list(folder.glob('*')):
        write_image(folder.parent / 'VOC2007/JPEGImages' / path.name)
    assert Path(written().train_dataloader.dataset.data_prefix.img) == folder


def test_many_classes_are_wrapped_and_those_without_training_boxes_are_listed_once(capsys):
    classes = ('x' * 200, "it's", *CocoDataset.METAINFO['classes'])
    for name in ('train', 'val'):
        write_coco(Path(f'mine/{name}.json'), Path('mine'), ['1.jpg', '2.jpg'], classes)
    assert tuple(written('--model', 'small').classes) == classes
    lines = Path('my.py').read_text().splitlines()
    assert all(len(line) <= init.LINE_LENGTH for line in lines if 'xxx' not in line) and '  # ' not in lines[4]
    printed = capsys.readouterr().out
    assert "80 of 82 classes have no training box: ('xxx" in printed and printed.count('person') == 2, printed
    assert 'train: 2 images, 2 boxes of 2 classes: cat 1, dog 1\n' in printed


def test_the_eighty_classes_of_coco_fit_into_forty_lines():
    coco = CocoDataset.METAINFO['classes']
    for name in ('train', 'val', 'test'):
        write_coco(Path(f'mine/{name}.json'), Path('mine'), ['1.jpg', '2.jpg'], coco)
    assert tuple(written('--model', 'small').classes) == coco
    assert len(Path('my.py').read_text().splitlines()) == MAX_LINES


def image_info():
    return dict(img_id=0, img_path='mine/val2017/1.jpg', height=HEIGHT, width=WIDTH, instances=[])


@pytest.mark.parametrize('epochs', [1, 3, 50])
def test_the_schedule_ends_with_the_last_epoch(epochs, tmp_path):
    """Without an end in the config, and though the warm-up is longer than one epoch."""
    schedule = Config.fromfile(configs_root() / '_base_/schedules/adamw_cosine.py')
    loader = dict(dataset=[0] * 8, batch_size=1, sampler=dict(type='DefaultSampler', shuffle=False))
    runner = Runner(
        torch.nn.Linear(1, 1), str(tmp_path), train_dataloader=loader, train_cfg=dict(by_epoch=True, max_epochs=epochs),
        optim_wrapper=schedule.optim_wrapper, param_scheduler=schedule.param_scheduler, experiment_name=str(epochs),
    )  # fmt: skip
    runner._train_loop = runner.build_train_loop(runner._train_loop)
    runner.optim_wrapper = runner.build_optim_wrapper(runner.optim_wrapper)
    rates = []
    schedulers = runner.build_param_scheduler(runner.param_schedulers)
    for _ in range(8 * epochs):
        rates += runner.optim_wrapper.get_lr()['lr']
        for scheduler in schedulers:
            scheduler.step()
    assert rates[0] == pytest.approx(1e-5) and all(0 < rate <= 1e-3 for rate in rates)
    if epochs == 50:
        assert max(rates) > 0.98e-3 and rates[-1] < 2e-5
        assert rates[200] == pytest.approx(0.5e-3, rel=0.05)


def test_the_templates_share_all_but_the_model():
    """What depends on the first lines must be in the file that sets them, and is the same for every head."""
    for kind in ('custom', 'custom-voc'):
        texts = set()
        for path in configs_root().glob(f'*/*_{kind}.py'):
            rest = path.read_text().partition('train_pipeline, test_pipeline')[2]
            texts.add(rest.replace('tta_pipeline = test_pipeline\n', ''))
        assert len(texts) == 1 and len(texts.pop().splitlines()) > 8


def test_fine_tuning_names_what_is_left_out():
    """The log has the class layer of a checkpoint with other classes; everything else is taken over."""
    coco_split(Path('mine'))
    cfg = written('--head', 'centernet', '--from-scratch')
    small = {
        'model.backbone.base_channels': 8,
        'model.neck.in_channels': 64,
        'model.neck.num_deconv_filters': (8, 8, 64),
    }
    cfg.merge_from_dict(small | {'model.bbox_head.num_classes': 80})
    model = MODELS.build(cfg.model)
    torch.save(dict(state_dict=model.state_dict()), 'published.pth')
    Path('my.py').unlink()
    assert written('--head', 'centernet', '--checkpoint', 'published.pth').load_from == 'published.pth'
    options = [f'{key}={value}'.replace(' ', '') for key, value in small.items()]
    options += ['train_cfg.max_epochs=1', 'optim_wrapper.optimizer.lr=0.0']
    options += [
        f'{split}_dataloader.{key}'
        for split in ('train', 'val')
        for key in ('num_workers=0', 'persistent_workers=False')
    ]
    train.main(['my.py', '--cfg-options', *options])
    log = next(Path('work_dirs/my').glob('*/*.log')).read_text()
    assert "not loaded: ('bbox_head.heatmap_head.2.weight', 'bbox_head.heatmap_head.2.bias')\n" in log
    trained = torch.load('work_dirs/my/epoch_1.pth', weights_only=False)['state_dict']
    torch.testing.assert_close(trained['backbone.conv1.weight'], model.state_dict()['backbone.conv1.weight'])


def test_weights_that_fit_nothing_stop_the_training():
    runner = SimpleNamespace(model=torch.nn.Linear(2, 2), _load_from='w.pth')
    with pytest.raises(InputError, match=r"no weight of .* w\.pth fits the Linear .*'conv1'.*'weight', 'bias'"):
        LoadingReportHook().after_load_checkpoint(runner, {'conv1': torch.ones(2)})


def test_a_failed_download_is_one_line(monkeypatch):
    def fail(url, **options):
        raise OSError('no network')

    monkeypatch.setattr(torch.hub, 'load_state_dict_from_url', fail)
    message = r'https://x/y\.pth cannot be downloaded: no network\. Download it elsewhere and set load_from'
    with pytest.raises(InputError, match=message):
        checkpoint_loading.load_url('https://x/y.pth')


def no_image(root):
    write_voc(root / 'a.xml', root / 'other.jpg', written='a.jpg')


def lost_images(root):
    write_coco(root / 'train.json', root / 'x', ['1.jpg', '2.jpg'])
    (root / 'x/2.jpg').unlink()


def no_images(root):
    write(root / 'train.json', '{"images": [], "annotations": [], "categories": []}')


def all_lost(root):
    lost_images(root)
    (root / 'x/1.jpg').unlink()


def twice(root):
    for name in ('train', 'train_old'):
        write_coco(root / f'{name}.json', root, ['1.jpg'])


def missing_in_list(root):
    voc_lists(root)
    write(root / 'VOC2007/ImageSets/Main/val.txt', 'b\nc\n')


def bad_class(root):
    yolo_flat(root)
    write(root / '3.txt', yolo_line() + yolo_line(2))


def negative_class(root):
    yolo_flat(root)
    write(root / '3.txt', yolo_line(-1))


def bad_yaml(root):
    yolo_flat(root)
    write(root / 'data.yaml', 'names: [')


def not_an_image(root):
    yolo_flat(root)
    write(root / '3.jpg', 'text')


def one_image(root):
    write_coco(root / 'labels.json', root, ['1.jpg'])


@pytest.mark.parametrize(
    ('layout', 'message'),
    [
        (lambda root: None, 'dataset folder not found: mine'),
        (lambda root: root.mkdir(), 'no COCO, VOC or YOLO dataset in mine: it has 0 images, 0 .json'),
        (lambda root: write(root / 'x.json', '{'), r'broken JSON in mine/x\.json'),
        (no_image, r'mine/a\.xml: its image a\.jpg is not in mine, with any extension'),
        (lost_images, r'image not found: mine/train\.json, image 2: mine/x/2\.jpg'),
        (no_images, r'mine/train\.json lists no images'),
        (all_lost, r'mine/train\.json: none of its images is in mine, for example 1\.jpg'),
        (twice, r"2 COCO files for the split 'train': .*train_old\.json"),
        (missing_in_list, r'val\.txt: no annotation c\.xml \(1 of 2 are missing\)'),
        (bad_class, r'mine/3\.txt, line 2: expected a class below 2'),
        (negative_class, r'mine/3\.txt, line 1: expected a class below 2'),
        (bad_yaml, r'broken YAML in mine/data\.yaml'),
        (not_an_image, r'mine/3\.jpg cannot be read as an image'),
        (one_image, '1 images cannot be split'),
    ],
)
def test_a_folder_that_cannot_be_read_is_one_line(layout, message):
    layout(Path('mine'))
    with pytest.raises(InputError, match=message) as raised:
        written()
    assert '\n' not in str(raised.value)
    assert not Path('my.py').exists() and not Path('my_annotations').exists()


@pytest.mark.parametrize(
    ('words', 'message'),
    [
        (['--format', 'voc'], 'no voc dataset in mine'),
        (['--image-size', '1', '2', '3'], '--image-size takes one or two numbers'),
        (['--checkpoint', 'no.pth'], r'checkpoint not found: no\.pth'),
        (['--out', 'my.txt'], r'--out must end in \.py'),
        (['--out', 'taken.py'], r'taken\.py exists'),
    ],
)
def test_bad_arguments_are_named(words, message):
    coco_split(Path('mine'))
    Path('taken.py').touch()
    with pytest.raises(InputError, match=message):
        init.main(['--data', 'mine', *words])


def test_the_config_is_named_after_head_and_folder():
    coco_split(Path('my data'))
    init.main(['--data', 'my data', '--head', 'centernet'])
    assert Path('centernet_my_data.py').is_file()
