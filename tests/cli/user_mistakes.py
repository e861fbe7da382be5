"""Mistakes of users, and the line that each ends in. ``docs/troubleshooting.md`` shows the table."""
# A row of the table is a line, as far as it goes.
# ruff: noqa: E501

from typing import NamedTuple

CENTERNET, AUTOASSIGN = "_base_ = 'centernet.py'\n", "_base_ = 'autoassign.py'\n"
LOAD = "dict(type='LoadImageFromFile'), dict(type='LoadAnnotations', with_bbox=True)"


class Mistake(NamedTuple):
    """What a user does wrong.

    Attributes:
        command: The command, in a folder with the files of the fixture ``folder``.
        message: The line that it ends in, ``...`` for what varies, without the leading ``error:``.
        cause: What is wrong.
        fix: What to do.
        config: Content of ``own.py``.
        code: Exit code.
        without: A package that is not installed.
        read_only: Whether no folder is writable.
    """

    command: str
    message: str
    cause: str
    fix: str
    config: str = ''
    code: int = 2
    without: str = ''
    read_only: bool = False


def own(command: str, config: str, message: str, cause: str, fix: str, code: int = 2) -> Mistake:
    """A mistake in ``own.py``, which inherits from the CenterNet config unless it has a base."""
    return Mistake(command, message, cause, fix, config if '_base_' in config else CENTERNET + config, code)


def train(config: str, message: str, cause: str, fix: str) -> Mistake:
    """A mistake in ``own.py`` that ``train`` finds."""
    return own('train own.py', config, message, cause, fix)


def model(config: str, message: str, cause: str, fix: str) -> Mistake:
    """A mistake in the model of ``own.py``."""
    line = f'the config does not work: {message} (traceback: ...)'
    return train(f'model = dict({config})', line, cause, fix)


def data(config: str, message: str, cause: str, fix: str) -> Mistake:
    """A mistake in the training set of ``own.py``."""
    return train(f'train_dataloader = dict(dataset=dict({config}))', message, cause, fix)


def option(options: str, message: str, cause: str, fix: str) -> Mistake:
    """A mistake in --cfg-options of ``train``."""
    return Mistake(f'train centernet.py --cfg-options {options}', message, cause, fix)


SEE_HELP = 'see the help of the subcommand'
NOT_A_BASE = 'config has no {}; is it meant to be a base of another one?'
INCOMPLETE = 'the config, or a base of it, does not define this key'
COMPLETE = 'name a base that defines it, or define it'
DOES_NOT_FIT = 'checkpoint ... does not fit ...: ... Take the config that it was trained with'
OTHER_CONFIG = 'weights are missing, unexpected or of another shape: the checkpoint is of another model'
TAKE_ITS_CONFIG = 'take the config of its work dir; `mmdet-kpheads convert` for files of other repositories'
COPY_AGAIN = 'copy or download it again'
REFUSED = (
    'checkpoint ... is refused: it references ..., which is not a tensor or plain data. Nothing was executed. If you '
    'trust its origin, first declare that with torch.serialization.add_safe_globals.'
)
A_FILE = '...: ... is not a folder; a part of the path is a file'
EPOCHS = '... must be a whole number of at least ..., but is ...'
TYPE_UNKNOWN = '...: type ... is not known; did you mean ...?'

ARGUMENTS = (
    Mistake(
        'trian centernet.py',
        'there is no subcommand ...; did you mean ...?',
        'a misspelled subcommand',
        'follow the message',
    ),
    Mistake('train', 'the following arguments are required: ...; see ... --help', 'an argument is missing', SEE_HELP),
    Mistake(
        'doctor x', 'unrecognized arguments: ...; see ... --help', 'an argument that the subcommand lacks', SEE_HELP
    ),
    Mistake('train centernet.py --device cuda', 'unrecognized arguments: ...; see ... --help', '', ''),
    Mistake(
        'train centernet.py --launcher x',
        'argument ...: invalid choice: ... (choose from ...); see ... --help',
        'a value that the argument does not have',
        'use one of those listed',
    ),
    Mistake('demo --head yolo', 'argument ...: invalid choice: ... (choose from ...); see ... --help', '', ''),
    Mistake(
        'init --data data --format coc', 'argument ...: invalid choice: ... (choose from ...); see ... --help', '', ''
    ),
    Mistake(
        'check-dataset centernet.py --split all',
        'argument ...: invalid choice: ... (choose from ...); see ... --help',
        '',
        '',
    ),
    Mistake(
        'make-digits digits --num-train many',
        'argument ...: invalid ... value: ...; see ... --help',
        'a text instead of a number',
        'write a number',
    ),
    Mistake(
        'init --data data --epochs 0',
        'argument ...: must be at least ..., but is ...; see ... --help',
        'a number that is too small',
        'follow the message',
    ),
    Mistake(
        'predict centernet.py good.pth photo.jpg --batch-size 0',
        'argument ...: must be at least ..., but is ...; see ... --help',
        '',
        '',
    ),
    Mistake(
        'make-digits digits --objects -2', 'argument ...: must be at least ..., but is ...; see ... --help', '', ''
    ),
    Mistake(
        'show-assignment autoassign.py autoassign.pth --image -1',
        'argument ...: must be at least ..., but is ...; see ... --help',
        '',
        '',
    ),
    Mistake(
        'predict centernet.py good.pth photo.jpg --score-thr 30',
        'argument ...: must be from ... to ..., but is ...; see ... --help',
        'a number out of range',
        'a score is a probability',
    ),
    Mistake(
        'train centernet.py --cfg-options foo',
        'argument --cfg-options: ... is not of the form key=value; see ... --help',
        'a word without `=`',
        'write `key=value` without spaces',
    ),
    Mistake(
        'convert centernet.py good.pth out.pth --ignore (',
        'argument --ignore: ... is not a regular expression: ...; see ... --help',
        'a parenthesis or bracket that is not closed',
        'put a backslash before it',
    ),
    Mistake(
        'train centernet.py --launcher slurm',
        '--launcher ...: ... is not set, so the launcher did not start this process; use tools/dist_train.sh or '
        'tools/slurm_train.sh, or leave it out',
        'the command was started by hand',
        'see [distributed.md](distributed.md)',
    ),
    Mistake(
        'train centernet.py --amp fp16',
        '--amp fp16 needs a GPU: ...',
        'float16 on a CPU',
        'leave it out, or use `--fast`',
    ),
    own(
        'train own.py --auto-scale-lr',
        'auto_scale_lr = None',
        '--auto-scale-lr needs auto_scale_lr.base_batch_size in the config',
        'the config does not say for which total batch size its rate is',
        '`auto_scale_lr = dict(base_batch_size=16)`',
    ),
    Mistake('train centernet.py --work-dir file', A_FILE, 'an output folder that is a file', 'name another folder'),
    Mistake('train centernet.py --work-dir file/run', A_FILE, '', ''),
    Mistake('test centernet.py good.pth --out file/found.pkl', A_FILE, '', ''),
    Mistake(
        'report nowhere',
        'work dir not found: nowhere',
        'there is no such folder',
        'name the --work-dir of the training',
    ),
    Mistake(
        'report data',
        'data has no config: name it with --config, or is it not the --work-dir of a run?',
        'the folder is not the work dir of a training',
        'name the --work-dir of the training',
    ),
    Mistake('report run --checkpoint no.pth', 'checkpoint not found: no.pth', '', ''),
    Mistake('predict centernet.py good.pth photo.jpg --out file', A_FILE, '', ''),
    Mistake('export centernet.py good.pth --out file/model.onnx --size 64 64', A_FILE, '', ''),
    Mistake('init --data data/digits --out file/own.py', A_FILE, '', ''),
    Mistake('check-dataset centernet.py --show-dir file', A_FILE, '', ''),
    Mistake(
        'check-dataset centernet.py --stride 0',
        'argument ...: must be at least ..., but is ...; see ... --help',
        '',
        '',
    ),
    Mistake('convert centernet.py good.pth file/out.pth', A_FILE, '', ''),
    Mistake('show-assignment autoassign.py autoassign.pth --out file', A_FILE, '', ''),
    Mistake('make-digits file', A_FILE, '', ''),
    Mistake('demo --folder file', A_FILE, '', ''),
    Mistake(
        'train centernet.py --work-dir nowhere/run',
        '...: folder ... is not writable',
        'no permission, or a file system that is read-only',
        'name another folder',
        read_only=True,
    ),
    Mistake('report run', '--out: folder run is not writable', '', '', read_only=True),
)
CONFIGS = (
    Mistake(
        'train nowhere.py',
        'config not found: ..., neither here nor in ...; is it one of ...?',
        'a path that does not exist from this folder',
        'check the path; names of our configs work from everywhere',
    ),
    Mistake('train data', 'config ... is a folder; is it one of ...?', 'a folder instead of a config', 'name a file'),
    Mistake(
        'test good.pth centernet.py',
        'config ... must end in .py, .json, .yaml, .yml',
        'config and checkpoint in the wrong order, or another file',
        'first the config, then the checkpoint',
    ),
    train(
        'a = (',
        'config own.py cannot be read: own.py, line 2: SyntaxError: ...',
        'a Python syntax error',
        'correct that line',
    ),
    train(
        '1 / 0',
        'config own.py cannot be read: own.py, line 2: ZeroDivisionError: ...',
        'code of the config fails',
        'correct that line',
    ),
    train(
        'import nothing_such',
        'config own.py cannot be read: own.py, line 2: ModuleNotFoundError: ...',
        'a package is not installed',
        'install it, or remove the import',
    ),
    train(
        CENTERNET + '_base_.nothing',
        'config own.py cannot be read: own.py, line 2: AttributeError: ...',
        'a key that the base does not have',
        'look at the base',
    ),
    train(
        "custom_imports = dict(imports=['nothing_such'])",
        'config own.py cannot be read: ImportError: Failed to import custom modules from ...',
        'a module that Python does not find',
        'set PYTHONPATH, or correct the name',
    ),
    train(
        "_base_ = 'nowhere.py'",
        'config own.py cannot be read: FileNotFoundError: ...',
        'a base that does not exist',
        'paths are relative to the config',
    ),
    train(
        "_base_ = 'mmdet::nowhere.py'",
        'config own.py cannot be read: FileNotFoundError: ...: there is no ...',
        'a config or package of that name does not exist',
        'correct the name',
    ),
    train(
        "custom_hooks = dict(type='EMAHook')",
        'config own.py cannot be read: TypeError: ...',
        'another type than in the base',
        'write a list, or `_delete_=True`',
    ),
    train(
        "optim_wraper = dict(type='OptimWrapper')",
        'config has the key ..., which nothing reads; did you mean ...?',
        'a misspelled top-level key',
        'follow the message',
    ),
    own(
        'check-dataset own.py',
        "optimizer = dict(type='SGD')",
        'warning: nothing reads ... of mmdet 2; it is now ...',
        'a key of mmdet 2',
        'use the new key',
        code=0,
    ),
    option(
        'foo=1',
        '--cfg-options: nothing reads the top-level key ...',
        'a key that does not exist',
        'give the whole path, such as `model.test_cfg.topk=50`',
    ),
    option(
        'modle.bbox_head.num_classes=3',
        '--cfg-options: nothing reads the top-level key ...; did you mean ...?',
        'a misspelled key',
        'follow the message',
    ),
    option(
        'max_epochs=3',
        '--cfg-options: nothing reads the top-level key ...; it is a variable, and what uses it is set already: change it in the file, or set what uses it',
        'a variable of the config',
        '`train_cfg.max_epochs=3`, or edit the file',
    ),
    own('train own.py', '_base_ = []', NOT_A_BASE.format('model, no ...'), INCOMPLETE, COMPLETE),
    train('model = None', NOT_A_BASE.format('model'), INCOMPLETE, COMPLETE),
    own('predict own.py good.pth photo.jpg', '_base_ = []', NOT_A_BASE.format('model, no ...'), '', ''),
    own('export own.py good.pth --out model.onnx', '_base_ = []', NOT_A_BASE.format('model, no ...'), '', ''),
    own('convert own.py good.pth out.pth', '_base_ = []', NOT_A_BASE.format('model, no ...'), '', ''),
    own('show-assignment own.py good.pth', '_base_ = []', NOT_A_BASE.format('model, no ...'), '', ''),
    own(
        'check-dataset own.py --split val',
        'val_dataloader = None',
        NOT_A_BASE.format('val_dataloader'),
        INCOMPLETE,
        COMPLETE,
    ),
    train(
        'val_dataloader = None',
        'config has no ...: set all of val_dataloader, val_cfg, val_evaluator, or set all to None',
        'a validation without a dataset',
        'set the three keys to None to train without validation',
    ),
    option(
        'train_dataloader.batch_size=0',
        EPOCHS,
        'an invalid batch size, number of epochs or number of workers',
        'correct it',
    ),
    option('train_cfg.max_epochs=0', EPOCHS, '', ''),
    option('train_cfg.val_interval=0', EPOCHS, '', ''),
    option('optim_wrapper.optimizer.type=Addam', TYPE_UNKNOWN, 'a misspelled type', 'follow the message'),
    option(
        'optim_wrapper.optimizer.lr=-1',
        'the config does not work: ValueError: Invalid learning rate: ... (traceback: ...)',
        'a negative learning rate',
        'correct it',
    ),
    train(
        "val_evaluator = dict(ann_file='no.json')",
        'the config does not work: FileNotFoundError: ... (traceback: ...)',
        'a file that the config names does not exist',
        'correct the path',
    ),
    train(
        "default_scope = 'nowhere'",
        "the config does not work: ...: type ... is not known; default_scope must be 'mmdet' (traceback: ...)",
        'the types of mmdet are not found',
        "`default_scope = 'mmdet'`",
    ),
)
MODELS = (
    model(
        "bbox_head=dict(type='NoHead')",
        TYPE_UNKNOWN,
        'a misspelled type, or one without its scope',
        'follow the message; our types begin with `mmdet_kpheads.`',
    ),
    model(
        "bbox_head=dict(type='CornerNetHead')",
        "model.bbox_head: type 'CornerNetHead' is not known; did you mean 'mmdet_kpheads.CornerNetHead'?",
        'a head of ours without its scope',
        "`type='mmdet_kpheads.CornerNetHead'`",
    ),
    model("bbox_head=dict(type='mmdet.CornerNetHead')", TYPE_UNKNOWN, '', ''),
    model(
        'backbone=dict(depht=50)',
        '...: ... does not take ...; did you mean ...?',
        'a misspelled key',
        'follow the message',
    ),
    model('bbox_head=dict(feat_levle=1)', '...: ... does not take ...; did you mean ...?', '', ''),
    model(
        'bbox_head=dict(anchor_generator=1)',
        '...: ... does not take ...; if a base config sets it, write ...=dict(_delete_=True, ...)',
        'a key that this type does not have, often from the head that a base config has',
        'add `_delete_=True` and set all keys of the new head',
    ),
    own(
        'export own.py good.pth --out model.onnx --size 64 64',
        "_base_ = 'mmdet::retinanet/retinanet_r50_fpn_1x_coco.py'\nmodel = dict(bbox_head=dict(type='mmdet_kpheads.AutoAssignHead'))",
        'the config does not work: model.bbox_head: mmdet_kpheads.AutoAssignHead does not take ...; if a base config sets it, write bbox_head=dict(_delete_=True, ...) (--traceback shows where)',
        'only the `type` of another head is changed (RetinaNet)',
        '`_delete_=True`: see [swap_a_head.md](swap_a_head.md#autoassign-in-retinanet)',
    ),
    model(
        'bbox_head=dict(in_channels=16)',
        '... of the model takes ... channels, but gets ...: set in_channels of ...',
        '`in_channels` is not what the layer before returns',
        'set it to the second number',
    ),
    model(
        'neck=dict(in_channels=[1, 2, 3, 4])',
        '... of the model takes ... channels, but gets ...: set in_channels of ...',
        '',
        '',
    ),
    train(
        'model = dict(bbox_head=dict(num_classes=3))',
        'classes do not agree: ... Define them once: num_classes = len(classes)',
        'head and dataset have different classes',
        "write them once; a single class is a tuple, `('ship',)`",
    ),
    train(
        AUTOASSIGN + 'model = dict(bbox_head=dict(strides=(4, 8, 16)))',
        'the config does not work: ValueError in ...bbox_head of the model: strides ... do not fit the feature maps: ... (traceback: ...)',
        'strides of the head are not those of the neck',
        'set `strides` in the head',
    ),
    own(
        'test own.py autoassign.pth',
        AUTOASSIGN + 'model = dict(bbox_head=dict(strides=(4, 8, 16)))',
        'the config does not work: ValueError in ...bbox_head of the model: strides ... do not fit the feature maps: ... (traceback: ...)',
        '',
        '',
    ),
    own(
        'export own.py autoassign.pth --out model.onnx --size 64 64',
        AUTOASSIGN + 'model = dict(bbox_head=dict(strides=(4, 8, 16)))',
        'the config does not work: ValueError in model.bbox_head of the model: strides ... do not fit the feature maps: ... (--traceback shows where)',
        '',
        '',
    ),
    train(
        AUTOASSIGN + 'model = dict(bbox_head=dict(strides=(8, 16)))',
        'the config does not work: ValueError in bbox_head of the model: ... got ... feature levels, configured for ... (traceback: ...)',
        'neck and head have different numbers of levels',
        'as many `strides` in the head as `num_outs` in the neck; `feat_level=0` for one map of a pyramid',
    ),
    model(
        'bbox_head=dict(feat_level=None)',
        'ValueError in bbox_head of the model: ... got ... feature levels, configured for ...',
        '',
        '',
    ),
    model(
        "bbox_head=dict(loss_center_heatmap=dict(type='mmdet.GaussianFocalLoss'))",
        'TypeError: ...: cannot use ...: it takes probabilities, but the head returns logits: ...',
        'a loss of mmdet that needs probabilities',
        'leave out its scope, or write `mmdet_kpheads.GaussianFocalLoss`',
    ),
    model(
        "bbox_head=dict(loss_wh=dict(type='GIoULoss'))",
        'TypeError: ...: cannot use ...: it must return one value per ...: use ...',
        'a loss of another kind',
        'follow the message',
    ),
    model(
        'bbox_head=dict(loss_wh=dict(loss_weight=1.0))',
        'ValueError: ... has no type: ...',
        'a loss without a type',
        "add `type='L1Loss'`",
    ),
    model(
        "bbox_head=dict(loss_wh=dict(type='L1Loss', loss_weight=-1.0))",
        'ValueError: ... must be a finite number, 0 or more, but is ...',
        'the weight of a loss is negative, or no number',
        'correct it',
    ),
    train(
        AUTOASSIGN + 'model = dict(bbox_head=dict(neg_loss_weight=-1.0))',
        'the config does not work: ValueError: ... must be a finite number, 0 or more, but is ... (traceback: ...)',
        '',
        '',
    ),
    model(
        'test_cfg=dict(topkk=1)',
        'ValueError: test_cfg of ...: unknown ...; it reads ...',
        'a misspelled key of `test_cfg`',
        'use one of those listed',
    ),
    model(
        'test_cfg=dict(local_maximum_kernel=2)',
        'ValueError: test_cfg of ...: ... must be ..., but is ...',
        'a value that decoding cannot use',
        'follow the message',
    ),
    model("test_cfg=dict(score_thr='high')", 'ValueError: test_cfg of ...: ... must be ..., but is ...', '', ''),
    model(
        "test_cfg=dict(nms=dict(type='nmss', iou_threshold=0.5))",
        'ValueError: test_cfg of ...: ... must be ..., but is ...',
        '',
        '',
    ),
    model(
        "data_preprocessor=dict(mean='123.675, 116.28, 103.53')",
        'AssertionError: `mean` should have 1 or 3 values, ...',
        '`mean` or `std` is a string or has another length',
        'write a list of three numbers',
    ),
)
DATA = (
    data(
        "data_root='nowhere'",
        'annotation file not found: ...',
        '`data_root` or `ann_file` is wrong',
        'both are joined, from the current folder',
    ),
    data("ann_file='no.json'", 'annotation file not found: ...', '', ''),
    own(
        'test own.py good.pth',
        "test_dataloader = dict(dataset=dict(ann_file='no.json'))",
        'annotation file not found: ...',
        '',
        '',
    ),
    data(
        "data_prefix=dict(img='no')",
        'image folder not found: ...',
        '`data_prefix` is wrong',
        'it is joined to `data_root`',
    ),
    data(
        "data_prefix=dict(image='no')",
        '... of a dataset has the key ..., which nothing reads; did you mean ...?',
        'a misspelled key',
        'follow the message',
    ),
    data(
        "metainfo=dict(CLASSES=('zero',))",
        '... of a dataset has the key ..., which nothing reads; did you mean ...?',
        '',
        '',
    ),
    data(
        "metainfo=dict(classes=('nil', 'one'))",
        'class names differ: ...; not found there: ...',
        'a misspelled class',
        'take the names of the file',
    ),
    data(
        "metainfo=dict(classes='zero')",
        'metainfo.classes is the string ..., but must be a tuple of names: ...',
        'the comma of a tuple is missing',
        "`classes = ('zero',)`",
    ),
    data("type='CocoDatset'", 'the config does not work: ' + TYPE_UNKNOWN + ' (traceback: ...)', '', ''),
    data(
        "type='XMLDataset'",
        'data_prefix of the dataset of ... has no ...: set it, if only to an empty text',
        'a VOC dataset needs `sub_data_root`, a COCO dataset `img`',
        "`data_prefix=dict(sub_data_root='VOC2007/')`",
    ),
    train(
        'train_dataloader = dict(dataset=None)',
        'a dataset must be a dict, but is ...',
        'a loader without a dataset',
        'define `dataset`',
    ),
    data(
        f"pipeline=[{LOAD}, dict(type='Resize', scale='512'), dict(type='PackDetInputs')]",
        'the config does not work: the scale of Resize must be two positive numbers, (width, height) (...) (traceback: ...)',
        'a size that is a string or zero',
        '`scale=(512, 512)`',
    ),
    data(
        "pipeline=[dict(type='LoadImageFromFile'), dict(type='PackDetInputs')]",
        'the config does not work: the pipeline needs LoadAnnotations with with_bbox=True (...) (traceback: ...)',
        'the training pipeline loads no boxes',
        'follow the message',
    ),
    data(
        f'pipeline=[{LOAD}]',
        'the config does not work: the pipeline must end in PackDetInputs (...) (traceback: ...)',
        'the pipeline ends too early',
        'follow the message',
    ),
    own(
        'check-dataset own.py',
        "train_dataloader = dict(dataset=dict(_delete_=True, type='LVISV1Dataset'))",
        '... has no COCO or VOC dataset in ...',
        'a dataset of another format',
        'only these two are checked',
    ),
    Mistake('init --data nowhere', 'dataset folder not found: ...', 'a folder that does not exist', 'check the path'),
    Mistake(
        'init --data data --format yolo',
        'no ... dataset in ...: it has ... images, ... Expected are ...',
        'a folder without annotations that are known',
        'see [own_data.md](own_data.md)',
    ),
    Mistake(
        'init --data data/digits --out centernet.py',
        '... exists: delete it, or name another file with --out',
        'the config exists already',
        'follow the message',
    ),
    Mistake(
        'init --data data/digits --image-size 1 2 3',
        '--image-size takes one or two numbers, but got ...',
        'too many numbers',
        '`--image-size 640 480` is width and height',
    ),
    Mistake(
        'make-digits digits --size 256',
        '--size must be from ... to ... pixels, but is ...',
        'the photos of the background are not larger',
        'take a size in this range',
    ),
    Mistake(
        'show-assignment autoassign.py autoassign.pth --image 99',
        '--image must be from ... to ..., but is ...',
        'the training set is smaller',
        'follow the message',
    ),
    Mistake(
        'show-assignment centernet.py good.pth',
        '... has a ...: only AutoAssignHead learns a prior',
        'the config has another head',
        'take one with AutoAssignHead',
    ),
)
CHECKPOINTS = (
    Mistake(
        'test centernet.py nowhere.pth', 'checkpoint not found: ...', 'a path that does not exist', 'check the path'
    ),
    own('train own.py', "load_from = 'nowhere.pth'", 'checkpoint not found: ...', '', ''),
    Mistake(
        'test centernet.py data',
        'checkpoint ... is a folder',
        'a folder instead of a checkpoint',
        'name a `.pth` file in it',
    ),
    Mistake(
        'test centernet.py empty.pth',
        'checkpoint ... cannot be read: the file is empty; copy it again',
        'a download or copy that failed',
        COPY_AGAIN,
    ),
    Mistake(
        'test centernet.py cut.pth',
        'checkpoint ... cannot be read: the file is cut off; copy it again',
        'a download or copy that ended early',
        COPY_AGAIN,
    ),
    own(
        'train own.py',
        "load_from = 'cut.pth'",
        'checkpoint ... cannot be read: the file is cut off; copy it again',
        '',
        '',
    ),
    Mistake(
        'train centernet.py --resume cut.pth',
        'checkpoint ... cannot be read: the file is cut off; copy it again',
        '',
        '',
    ),
    Mistake(
        'predict centernet.py cut.pth photo.jpg',
        'checkpoint ... cannot be read: the file is cut off; copy it again',
        '',
        '',
    ),
    Mistake(
        'export centernet.py cut.pth --out model.onnx --size 64 64',
        'checkpoint ... cannot be read: the file is cut off; copy it again',
        '',
        '',
    ),
    Mistake(
        'convert centernet.py cut.pth out.pth',
        'checkpoint ... cannot be read: the file is cut off; copy it again',
        '',
        '',
    ),
    Mistake(
        'show-assignment autoassign.py cut.pth',
        'checkpoint ... cannot be read: the file is cut off; copy it again',
        '',
        '',
    ),
    own(
        'train own.py',
        "model = dict(backbone=dict(init_cfg=dict(type='Pretrained', checkpoint='cut.pth')))",
        'checkpoint ... cannot be read: the file is cut off; copy it again',
        '',
        '',
    ),
    Mistake(
        'test centernet.py text.pth',
        'checkpoint ... cannot be read: it is not a checkpoint; it is ...',
        'another kind of file, which is named if it is known',
        'take the file that training wrote',
    ),
    Mistake(
        'test centernet.py page.pth',
        'checkpoint ... cannot be read: it is not a checkpoint; it is a web page or XML: was the download refused?',
        'a web page that a server sent instead of the file',
        'open the address in a browser',
    ),
    Mistake('test centernet.py zip.pth', 'checkpoint ... cannot be read: it is not a checkpoint; it is ...', '', ''),
    Mistake('test centernet.py onnx.pth', 'checkpoint ... cannot be read: it is not a checkpoint; it is ...', '', ''),
    Mistake(
        'test centernet.py script.pth',
        'checkpoint ... cannot be read: it is a TorchScript archive; take the checkpoint that it was made from',
        'a file of `torch.jit.save`',
        'follow the message',
    ),
    Mistake(
        'test centernet.py raw.pth',
        'checkpoint ... cannot be read: it is cut off, or a plain pickle; nothing was executed. A checkpoint is a file that torch.save wrote',
        'a file of `pickle.dump`',
        'save it with `torch.save`',
    ),
    Mistake(
        'test centernet.py code.pkl',
        'checkpoint ... cannot be read: it is cut off, or a plain pickle; nothing was executed. A checkpoint is a file that torch.save wrote',
        '',
        '',
    ),
    Mistake(
        'test centernet.py code.pth',
        REFUSED,
        'a file that would run code, or holds a whole model',
        'save the `state_dict` alone; see [security.md](security.md)',
    ),
    own('train own.py', "load_from = 'code.pth'", REFUSED, '', ''),
    Mistake('train centernet.py --resume code.pth', REFUSED, '', ''),
    Mistake('predict centernet.py code.pth photo.jpg', REFUSED, '', ''),
    Mistake('export centernet.py code.pth --out model.onnx --size 64 64', REFUSED, '', ''),
    Mistake('convert centernet.py code.pth out.pth', REFUSED, '', ''),
    Mistake('show-assignment autoassign.py code.pth', REFUSED, '', ''),
    Mistake('predict centernet.py object.pth photo.jpg', REFUSED, '', ''),
    Mistake('test centernet.py module.pth', REFUSED, '', ''),
    Mistake(
        'test centernet.py list.pth',
        'checkpoint ... holds no weights by name, but a ...',
        'a file of `torch.save` with something else',
        'save a `state_dict`',
    ),
    Mistake('test centernet.py autoassign.pth', DOES_NOT_FIT, OTHER_CONFIG, TAKE_ITS_CONFIG),
    Mistake('predict centernet.py autoassign.pth photo.jpg', DOES_NOT_FIT, '', ''),
    Mistake('export centernet.py autoassign.pth --out model.onnx --size 64 64', DOES_NOT_FIT, '', ''),
    Mistake('convert centernet.py autoassign.pth out.pth', DOES_NOT_FIT, '', ''),
    Mistake('show-assignment autoassign.py good.pth', DOES_NOT_FIT, '', ''),
    Mistake('train autoassign.py --resume good.pth', DOES_NOT_FIT, '', ''),
    Mistake(
        'test centernet.py more.pth',
        'checkpoint ... does not fit ...: 1 unexpected, ... Take the config that it was trained with',
        '',
        '',
    ),
    Mistake(
        'predict centernet.py more.pth photo.jpg',
        'checkpoint ... does not fit ...: 1 unexpected, ... Take the config that it was trained with',
        '',
        '',
    ),
    own(
        'train own.py',
        "load_from = 'autoassign.pth'",
        '... of ... weights are loaded; not loaded: (...)',
        'weights of the checkpoint do not fit; training starts from the others',
        'nothing if the list has only the layers that changed',
        code=0,
    ),
    own(
        'train own.py',
        "load_from = 'noweights.pth'",
        'no weight of the checkpoint ... fits the ... of the config: ...; weights of a backbone go into its init_cfg',
        'a checkpoint of another model, or of a backbone',
        "`backbone=dict(init_cfg=dict(type='Pretrained', checkpoint=...))`",
    ),
    Mistake(
        'train centernet.py --resume autoassign.pth',
        'checkpoint ... is not of a training: it does not say at which iteration it was saved',
        'weights alone cannot be resumed',
        'set `load_from` instead',
    ),
    Mistake(
        'convert centernet.py noweights.pth out.pth',
        'the checkpoint contains no weights; its keys are ...',
        'the file has no tensors',
        'take another file',
    ),
    Mistake(
        'convert centernet.py other.pth out.pth',
        'the checkpoint is from none of the known sources (...); its first names are ...',
        'another repository',
        'see [zoo.md](zoo.md) for those that are known',
    ),
    Mistake(
        'convert centernet.py good.pth data',
        'the output ... is a folder: name a file',
        'a folder as the output',
        'follow the message',
    ),
    Mistake(
        'convert centernet.py good.pth good.pth',
        'the output ... would replace the checkpoint: name another file',
        'input and output are one file',
        'follow the message',
    ),
)
INPUTS = (
    Mistake(
        'predict centernet.py good.pth nowhere.jpg',
        'input not found: ... is no file, folder, glob or number of a camera',
        'a path or glob without a match',
        'check the path; put globs in quotes',
    ),
    Mistake(
        'predict centernet.py good.pth no/*.jpg',
        'input not found: ... is no file, folder, glob or number of a camera',
        '',
        '',
    ),
    Mistake(
        'predict centernet.py good.pth empty',
        'no image or video found in ...; the suffixes are ...',
        'a folder without images',
        'check the folder and the suffixes',
    ),
    Mistake(
        'predict centernet.py good.pth text.jpg',
        'skipped: ...: cv2 cannot decode it: it is truncated, or no image',
        'a broken image; the others are predicted',
        COPY_AGAIN,
        code=1,
    ),
    Mistake(
        'predict centernet.py good.pth text.mp4',
        'skipped: ...: OpenCV finds no frame in it',
        'a broken video, or a codec that OpenCV lacks',
        'convert it with ffmpeg',
        code=1,
    ),
    Mistake(
        'predict centernet.py good.pth 99',
        'skipped: ...: there is no camera of this number, or another program uses it',
        'a number is a camera unless it is a file',
        'check the number, or name a file',
        code=1,
    ),
    Mistake(
        'predict centernet.py good.pth photo.jpg --out .',
        '--out ... would replace the input ...: take another folder',
        'the picture would replace the image',
        'follow the message',
    ),
    Mistake(
        'predict centernet.py good.pth photo.jpg --classes dog',
        '--classes: the model has no ...; its classes are ...',
        'a misspelled class',
        'use one of those listed',
    ),
    Mistake(
        'predict centernet.py good.pth photo.jpg --device gpu',
        'device ... cannot be used: ...',
        'no GPU, a torch without CUDA, or a misspelled device',
        'take `cpu`; `mmdet-kpheads doctor` reports the torch',
    ),
    Mistake(
        'predict centernet.py good.pth photo.jpg --show',
        '--show needs a display, and DISPLAY is not set: ...',
        'no screen, as over ssh',
        'leave it out',
    ),
    Mistake('test centernet.py good.pth --show', '--show needs a display, and DISPLAY is not set: ...', '', ''),
    Mistake(
        'predict centernet.py good.pth photo.jpg --cfg-options model.bbox_head.num_classes=3',
        'checkpoint ... has ... classes ..., but ... of ... has num_classes ...: take the config that it was trained with',
        'the config has other classes',
        'follow the message',
    ),
    Mistake(
        'test centernet.py good.pth --out found.txt',
        '--out must end in ..., but is ...',
        'a format that the command does not write',
        'follow the message',
    ),
    Mistake('export centernet.py good.pth --out model.pb', '--out must end in ..., but is ...', '', ''),
    Mistake(
        'export centernet.py good.pth --out model.onnx',
        'the test pipeline keeps the size of each image: say one with --size HEIGHT WIDTH',
        'an exported file needs a size',
        '`--size 512 512`',
    ),
    Mistake(
        'export centernet.py good.pth --out model.onnx --size 65 64 --dynamic',
        '--size must be positive multiples of ..., but is ...',
        'the strides of the model do not divide the size',
        'round it up',
    ),
    Mistake(
        'export centernet.py good.pth --out model.onnx --size 64 64',
        '... is not installed: pip install "mmdet-kpheads[export]"',
        'a package for the export is missing',
        'follow the message',
        without='onnx',
    ),
    Mistake(
        'export centernet.py good.pth --out model.onnx --size 64 64 --verify nowhere.jpg',
        '--verify ...: image not found: ...',
        'a path that does not exist',
        'check the path',
    ),
    Mistake(
        'test centernet.py --onnx nowhere.onnx',
        'ONNX file not found: ...',
        'a path that does not exist',
        'check the path',
    ),
    Mistake(
        'report run --out data',
        '--out: ... is a folder: name a file',
        'a folder as the report',
        'follow the message',
    ),
    Mistake(
        'export centernet.py good.pth --out model.pt2 --size 64 64 --verify photo.jpg',
        '--verify compares ONNX files, but --out is ...',
        '`--verify` with another format',
        'leave it out',
    ),
    own(
        'export own.py good.pth --out model.onnx --size 64 64',
        "model = dict(bbox_head=dict(_delete_=True, type='mmdet.CenterNetHead', in_channels=32, feat_channels=32, num_classes=10))",
        'export needs a single-stage detector with a head of mmdet_kpheads, but ...',
        'a head of mmdet',
        'add `--drop-in`',
    ),
)
MISTAKES = (*ARGUMENTS, *CONFIGS, *MODELS, *DATA, *CHECKPOINTS, *INPUTS)


def essence(message: str) -> str:
    """A message without what each message about a config begins and ends with, or each about an argument."""
    inner = message.removeprefix('the config does not work: ').removesuffix('; see ... --help')
    return inner.removesuffix(' (traceback: ...)').removesuffix(' (--traceback shows where)')


def table() -> list[list[str]]:
    """The rows of the table in the docs: each message once."""
    rows: dict[str, list[str]] = {}
    for mistake in MISTAKES:
        if mistake.cause:
            message = essence(mistake.message)
            quote = '``' if '`' in message else '`'
            rows.setdefault(message, [f'{quote}{message}{quote}', mistake.cause, mistake.fix])
    return [[cell.replace('|', '\\|') for cell in row] for row in rows.values()]
