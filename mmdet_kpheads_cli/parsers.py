"""The arguments of each subcommand."""

import argparse
import re
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, NoReturn

PROG = 'mmdet-kpheads'
SUMMARIES = {
    'init': 'write a config for the dataset in a folder',
    'train': 'train a detector',
    'test': 'test a detector, save predictions and visualizations',
    'predict': 'detect objects in images, videos and camera streams',
    'report': 'write one HTML file about a finished training: curves, metrics, errors',
    'check-dataset': 'report class counts and annotation errors of a dataset',
    'export': 'write a detector as ONNX or .pt2 for other runtimes',
    'convert': 'convert a checkpoint of mmdet or of an original repository',
    'show-assignment': 'draw what AutoAssign has learned',
    'make-digits': 'write a small dataset of handwritten digits',
    'demo': 'write the digits, train, test, draw, predict and export',
    'doctor': 'report what is installed and what is missing',
}
DESCRIPTIONS = {  # where the summary is too short
    'report': (
        'Test the best checkpoint of a training and write one HTML file: curves, precision and recall, AP by class and '
        'size, confusion, calibration, the worst images, what the head saw. It needs no network.'
    ),
    'convert': 'Convert a checkpoint of mmdet, CornerNet, CenterNet or AutoAssign for a config of this package.',
    'show-assignment': 'Draw the center prior per class and the points assigned to each object.',
    'doctor': 'Report whether this environment is tested, and which op comes from where.',
}
CONFIG_HELP = 'path of a config, or name of one of ours such as centernet/centernet_r18_custom.py'
HEADS = ('autoassign', 'centernet', 'cornernet')
MODELS = ('standard', 'small')
FORMATS = ('coco', 'voc', 'yolo')
LAUNCHER_VARIABLES = {'pytorch': 'RANK', 'slurm': 'SLURM_PROCID', 'mpi': 'OMPI_COMM_WORLD_LOCAL_RANK'}
AMP_CHOICES = ('auto', 'bf16', 'fp16')


class Parser(argparse.ArgumentParser):
    """Reports a wrong argument in one line."""

    def error(self, message: str) -> NoReturn:
        """End the process with the message."""
        self.exit(2, f'error: {message}; see {self.prog} --help\n')


def parse(command: str, argv: list[str] | None) -> argparse.Namespace:
    """Parse the arguments of a subcommand. Help and wrong arguments end the process.

    Args:
        command: Name of the subcommand.
        argv: Its arguments; None for those of the process.
    """
    summary = SUMMARIES[command]
    description = DESCRIPTIONS.get(command, f'{summary[0].upper()}{summary[1:]}.')
    parser = Parser(f'{PROG} {command}', description=description)
    if add := ADDERS.get(command):
        add(parser)
    parser.add_argument('--traceback', action='store_true', help='print the traceback of an error, too')
    argv = sys.argv[1:] if argv is None else argv
    return parser.parse_args(_with_explicit_amp(argv) if command == 'train' else argv)


def add_common_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments that mmdet's train.py and test.py share."""
    parser.add_argument('--work-dir', help='folder for logs and checkpoints; default: work_dirs/<config name>')
    add_config_arguments(parser)
    parser.add_argument('--launcher', choices=['none', *LAUNCHER_VARIABLES], default='none')
    parser.add_argument('--local_rank', '--local-rank', type=int, default=0, help='set by the launcher')


def add_config_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments that change a config."""
    parser.add_argument(
        '--cfg-options',
        nargs='+',
        action='extend',
        type=_key_and_value,
        metavar='KEY=VALUE',
        help='change the config: key.in.config=value; lists as key="[a,b]" or key=a,b, without spaces',
    )
    parser.add_argument(
        '--drop-in', action='store_true', help="replace mmdet's heads with ours, so that mmdet's configs use them"
    )
    parser.add_argument(
        '--verbose', action='store_true', help='show everything: the config, hooks, messages of other packages'
    )


def _key_and_value(text: str) -> str:
    """Check the form of an option; mmengine parses the value when the config is read."""
    if '=' not in text:
        raise argparse.ArgumentTypeError(f'{text!r} is not of the form key=value')
    return text


def _number(kind: type, least: float, most: float = float('inf')) -> Callable[[str], Any]:
    """A parser of numbers in a range."""

    def parsed(text: str) -> Any:
        number = kind(text)
        if not least <= number <= most:
            limits = f'at least {least}' if most == float('inf') else f'from {least} to {most}'
            raise argparse.ArgumentTypeError(f'must be {limits}, but is {number}')
        return number

    parsed.__name__ = kind.__name__  # argparse names it for a text that is no number
    return parsed


def _pattern(text: str) -> str:
    """Check a regular expression."""
    try:
        re.compile(text)
    except re.error as error:
        raise argparse.ArgumentTypeError(f'{text!r} is not a regular expression: {error}') from None
    return text


_positive, _not_negative = _number(int, 1), _number(int, 0)


def _add_init(parser: argparse.ArgumentParser) -> None:
    parser.add_argument('--data', required=True, type=Path, help='folder with images and annotations')
    parser.add_argument('--head', choices=HEADS, default='autoassign', help='default %(default)s')
    parser.add_argument('--format', choices=FORMATS, help='format of the annotations; default: what is found')
    parser.add_argument(
        '--model',
        choices=MODELS,
        default='standard',
        help='small: a slim ResNet-18 that starts from random weights and trains in minutes on a CPU',
    )
    parser.add_argument(
        '--image-size',
        type=_positive,
        nargs='+',
        help='side in pixels, or width and height; default 512, with --model small 320',
    )
    parser.add_argument(
        '--epochs',
        type=_positive,
        help='default 50, with --from-scratch 100, with --model small more for fewer images (10 to 300)',
    )
    parser.add_argument('--batch-size', type=_positive, help='images per step and GPU; default 8')
    parser.add_argument(
        '--seed', type=_not_negative, default=0, help='seed of the split, if one is made; default %(default)s'
    )
    parser.add_argument('--out', type=Path, help='config to write; default <head>_<folder>.py')
    start = parser.add_mutually_exclusive_group()
    start.add_argument('--checkpoint', help="start from this file or address; default: mmdet's COCO checkpoint")
    start.add_argument('--from-scratch', action='store_true', help='start from random weights, without a download')


def _add_train(parser: argparse.ArgumentParser) -> None:
    parser.add_argument('config', help=CONFIG_HELP)
    add_common_arguments(parser)
    parser.add_argument(
        '--amp',
        nargs='?',
        const='auto',
        choices=AMP_CHOICES,
        help='mixed precision: bf16, or fp16 with loss scaling; by itself what is native on the device',
    )
    parser.add_argument(
        '--fast',
        action='store_true',
        help='what is faster on the device: mixed precision, convolutions channels last, a fused optimizer',
    )
    parser.add_argument(
        '--compile', action='store_true', help='compile backbone and neck: a minute first; measure whether it pays'
    )
    parser.add_argument('--show-dir', help='draw ground truth and predictions of validation images into this folder')
    parser.add_argument(
        '--show-every', type=_positive, default=50, metavar='N', help='draw each N-th of them; default %(default)s'
    )
    parser.add_argument('--auto-scale-lr', action='store_true', help='scale the learning rate to the total batch size')
    parser.add_argument(
        '--resume',
        nargs='?',
        const='auto',
        help='resume from this checkpoint; without a path, from the latest one in the work dir',
    )


def _with_explicit_amp(argv: list[str]) -> list[str]:
    """``--amp`` by itself as ``--amp=auto``: as in mmdet's script the config may follow it."""
    following = [*argv[1:], ''][: len(argv)]
    return [
        '--amp=auto' if word == '--amp' and after not in AMP_CHOICES else word
        for word, after in zip(argv, following, strict=True)
    ]


def _add_test(parser: argparse.ArgumentParser) -> None:
    parser.add_argument('config', help=CONFIG_HELP)
    parser.add_argument('checkpoint', nargs='?', help='checkpoint file')
    parser.add_argument('--onnx', metavar='FILE', help='test this exported file instead of a checkpoint')
    add_common_arguments(parser)
    parser.add_argument('--out', help='save the predictions to this .pkl file')
    parser.add_argument('--show', action='store_true', help='show predictions in a window')
    parser.add_argument('--show-dir', help='draw ground truth and predictions into this folder')
    parser.add_argument('--wait-time', type=float, default=2, help='seconds per image of --show')
    parser.add_argument(
        '--fast', action='store_true', help='mixed precision where it is native, and convolutions channels last'
    )
    parser.add_argument('--tta', action='store_true', help='use test-time augmentation, by default flip TTA')


def _add_predict(parser: argparse.ArgumentParser) -> None:
    parser.add_argument('config', help=CONFIG_HELP)
    parser.add_argument('checkpoint', help='checkpoint file')
    parser.add_argument(
        'inputs', nargs='+', metavar='input', help='image, video, folder (searched recursively), glob or camera number'
    )
    parser.add_argument('--out', default='predictions', help='output folder; default %(default)s')
    parser.add_argument('--batch-size', type=_positive, help="images per batch; default: that of the config's test set")
    parser.add_argument('--score-thr', type=_number(float, 0, 1), default=0.3, help='lowest score; default %(default)s')
    parser.add_argument('--classes', nargs='+', metavar='NAME', help='keep the detections of these classes only')
    parser.add_argument('--device', help='for example cpu or cuda:1; default: a GPU if there is one')
    parser.add_argument('--show', action='store_true', help='show predictions in a window; q ends')
    parser.add_argument('--no-pictures', action='store_true', help='write the JSON and CSV files only')
    parser.add_argument(
        '--fast', action='store_true', help='mixed precision where it is native, and convolutions channels last'
    )
    add_config_arguments(parser)


def _add_report(parser: argparse.ArgumentParser) -> None:
    parser.add_argument('work_dir', help='the --work-dir of the training')
    parser.add_argument('--out', type=Path, help='file to write; default WORK_DIR/report.html')
    parser.add_argument('--config', help='default: the config in the work dir')
    parser.add_argument('--checkpoint', help='default: the best checkpoint in the work dir, or else the newest')
    parser.add_argument('--split', choices=['test', 'val'], help='default: test, if the config has one')
    parser.add_argument('--max-images', type=_not_negative, default=8, help='worst images to draw; default %(default)s')
    parser.add_argument(
        '--score-thr',
        type=_number(float, 0, 1),
        help='score of the confusion matrix and the images; default: that of the best F1',
    )
    parser.add_argument('--batch-size', type=_positive, help='images per batch; default: that of the config')
    parser.add_argument('--device', help='for example cpu or cuda:1; default: a GPU if there is one')
    add_config_arguments(parser)


def _add_check_dataset(parser: argparse.ArgumentParser) -> None:
    parser.add_argument('config', help=CONFIG_HELP)
    add_common_arguments(parser)
    parser.add_argument('--split', choices=['train', 'val', 'test'], default='train', help='default %(default)s')
    parser.add_argument('--stride', type=_positive, default=4, help='pixels per heat-map cell; default %(default)s')
    parser.add_argument('--longer-side', type=_positive, help='resize the longer side to this; default: no resize')
    parser.add_argument('--skip-images', action='store_true', help='check the annotations only, open no images')
    parser.add_argument(
        '--limit', type=_not_negative, default=20, help='locations to list per problem, 0: all; default %(default)s'
    )
    parser.add_argument('--show-dir', help='draw ground-truth boxes and target heat maps into this folder')
    parser.add_argument('--number', type=_positive, default=8, help='images to draw; default %(default)s')


def _add_export(parser: argparse.ArgumentParser) -> None:
    parser.add_argument('config', help=CONFIG_HELP)
    parser.add_argument('checkpoint', help='checkpoint file')
    parser.add_argument('--out', required=True, type=Path, help='file to write, .onnx or .pt2')
    parser.add_argument(
        '--size',
        nargs=2,
        type=_positive,
        metavar=('HEIGHT', 'WIDTH'),
        help='of the network input in pixels; with --dynamic the largest. Default: what the test pipeline resizes to',
    )
    parser.add_argument(
        '--dynamic', action='store_true', help='accept every batch size and, in ONNX, input sizes up to --size'
    )
    parser.add_argument(
        '--nms',
        choices=['graph', 'none'],
        default='graph',
        help='none: the outputs are all candidates, not suppressed; default %(default)s',
    )
    parser.add_argument(
        '--opset', type=_number(int, 11, 23), help='of ONNX; default 17, with deformable convolution 19'
    )
    parser.add_argument(
        '--verify', nargs='+', metavar='IMAGE', help='compare the file in ONNX Runtime with torch on these images'
    )
    add_config_arguments(parser)


def _add_convert(parser: argparse.ArgumentParser) -> None:
    parser.add_argument('config', help='the config to convert for; docs/zoo.md lists the config of each file')
    parser.add_argument('checkpoint', help='checkpoint to convert')
    parser.add_argument('out', help='path of the converted checkpoint')
    parser.add_argument('--ignore', type=_pattern, help='skip the names that match this regular expression')
    add_common_arguments(parser)


def _add_show_assignment(parser: argparse.ArgumentParser) -> None:
    parser.add_argument('config', help='path of a config with AutoAssignHead, or name of one of ours')
    parser.add_argument('checkpoint', help='checkpoint file')
    add_common_arguments(parser)
    parser.add_argument(
        '--image', type=_not_negative, default=0, help='index of an image in the training set; default 0'
    )
    parser.add_argument('--out', default='assignment', help='output folder; default %(default)s')


def _add_make_digits(parser: argparse.ArgumentParser) -> None:
    parser.add_argument('folder', help='output folder: COCO files in annotations/, VOC layout in VOC2007/')
    parser.add_argument('--num-train', type=_positive, default=7500, help='training images; default %(default)s')
    parser.add_argument('--num-val', type=_positive, default=300, help='validation images; default %(default)s')
    parser.add_argument('--objects', type=_positive, help='digits per image; default: 1 to 5')
    parser.add_argument('--size', type=int, default=128, help='side of the images in pixels; default %(default)s')
    parser.add_argument('--seed', type=_not_negative, default=0, help='seed of the random numbers; default %(default)s')


def _add_demo(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        '--head', choices=HEADS, default='autoassign', help='the config is demo/<head>_digits.py; default %(default)s'
    )
    parser.add_argument('--folder', help='output folder; default demo_output, with --quick demo_output_quick')
    parser.add_argument(
        '--quick',
        action='store_true',
        help='a few images and one epoch: shows in a minute that everything runs, and detects little',
    )


ADDERS = {  # the doctor has no arguments of its own
    'init': _add_init,
    'train': _add_train,
    'test': _add_test,
    'predict': _add_predict,
    'report': _add_report,
    'check-dataset': _add_check_dataset,
    'export': _add_export,
    'convert': _add_convert,
    'show-assignment': _add_show_assignment,
    'make-digits': _add_make_digits,
    'demo': _add_demo,
}
