"""Look at a folder with a dataset and write the config to train on it."""

import argparse
import json
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from pprint import pformat

from mmengine.device import get_device

from mmdet_kpheads_cli.parsers import PROG, parse

from ..compat.config_bases import configs_root
from ..data.check import size_range, sizes_of_boxes
from ..data.coco_writer import coco_dict
from ..data.layouts import EVERYTHING, FoundDataset, Split, find_dataset
from ..data.splitting import split_images
from ..errors import InputError, listed
from .arguments import require_checkpoint, require_folder

TEMPLATES = {
    'autoassign': 'autoassign/autoassign_r50_custom.py',
    'centernet': 'centernet/centernet_r18_custom.py',
    'cornernet': 'cornernet/cornernet_r18_custom.py',
}
FROM_SCRATCH = TEMPLATES | {'autoassign': 'autoassign/autoassign_r18_custom.py'}  # the other one has a frozen stem
SMALL = {head: f'{head}/{head}_small_custom.py' for head in TEMPLATES}
FINE_TUNING_RATE, FROM_SCRATCH_RATE = 2e-4, 1e-3  # for 16 images per step
FROM_SCRATCH_EPOCHS = 100
SMALL_PASSES, SMALL_EPOCHS = 6000, range(10, 301, 5)  # images that a training of the small model sees; limits of epochs
MAX_DETECTIONS = 100  # of the templates
LINE_LENGTH = 120
HEADER = """\
# {title} on {data}, written by `{prog} init`. Next:
#   {prog} check-dataset {out} && {prog} train {out}
"""


def check_arguments(args: argparse.Namespace) -> None:
    """Check the size, the checkpoint and the output file; set the default of --out.

    Raises:
        InputError: If one of them cannot be used.
    """
    if args.image_size and len(args.image_size) > 2:
        raise InputError(f'--image-size takes one or two numbers, but got {args.image_size}')
    if args.checkpoint:
        require_checkpoint(args.checkpoint)
    name = re.sub(r'\W+', '_', args.data.resolve().name)
    args.out = args.out or Path(f'{args.head}_{name}.py')
    if args.out.suffix != '.py':
        raise InputError(f'--out must end in .py, but is {args.out}')
    require_folder('--out', args.out.parent)
    if args.out.exists():
        raise InputError(f'{args.out} exists: delete it, or name another file with --out')


def complete(found: FoundDataset, seed: int) -> dict[str, Split]:
    """The splits that a training needs: training, validation, and test if there is one.

    Without training or validation images, all images but those for testing are split.

    Raises:
        InputError: If there are not enough images.
    """
    splits = found.splits
    if not {'train', 'val'} <= splits.keys():
        name = next((name for name in ('train', EVERYTHING, 'val') if name in splits), 'test')
        train, val = split_images(splits[name].images, seed)
        made = {'train': Split(train, splits[name].folder), 'val': Split(val, splits[name].folder)}
        splits = splits | made
        print(f'no split into training and validation: a fifth of {len(train + val)} images is for validation')
    return {name: splits[name] for name in ('train', 'val', 'test') if name in splits}


def write_annotations(splits: Mapping[str, Split], classes: Sequence[str], folder: Path) -> None:
    """Write a COCO file for each split that has none."""
    for name, split in splits.items():
        if not split.coco_file:
            folder.mkdir(parents=True, exist_ok=True)
            split.coco_file = folder / f'{name}.json'
            split.coco_file.write_text(json.dumps(coco_dict(split.images, classes, split.folder)))


def summary(splits: Mapping[str, Split], classes: Sequence[str]) -> str:
    """What was found: images, boxes and classes of each split, the smallest box and the largest."""
    lines = []
    for name, split in splits.items():
        counts = Counter(label for image in split.images for label in image.names)
        most = ', '.join(f'{label} {count}' for label, count in counts.most_common(10))
        more = f', {len(counts) - 10} more classes' if len(counts) > 10 else ''
        boxes = f'{counts.total()} boxes of {len(counts)} classes'
        lines.append(f'  {name}: {len(split.images)} images, {boxes}: {most}{more}')
    trained = {label for image in splits['train'].images for label in image.names}
    if missing := [label for label in classes if label not in trained]:
        lines.append(f'  {len(missing)} of {len(classes)} classes have no training box: {listed(missing)}')
    sizes = sizes_of_boxes(image for split in splits.values() for image in split.images)
    if not sizes:
        raise InputError('the dataset has no box that can be trained on')
    lines.append(f'  boxes: {size_range(sizes)}')
    return '\n'.join(lines)


def written_names(classes: Sequence[str]) -> str:
    """Class names as a tuple in Python, as many per line as fit behind ``classes = ``."""
    margin = ' ' * len('classes = ')
    return pformat(tuple(classes), width=LINE_LENGTH - len(margin), compact=True).replace('\n', f'\n{margin}')


def values_of(args: argparse.Namespace, classes: Sequence[str], splits: Mapping[str, Split]) -> dict[str, str]:
    """The first lines of the config: names, or pairs of names, and what they are set to."""
    values = {'classes': written_names(classes)}
    for name, split in splits.items():
        files = f'{str(split.coco_file)!r}, {f"{split.folder}/"!r}'
        values[f'{name}_json, {name}_images'] = files
    if args.image_size:
        values['image_size'] = repr((args.image_size[0], args.image_size[-1]))
    most = max(len(image.boxes) for split in splits.values() for image in split.images)
    values['max_detections'] = str(max(MAX_DETECTIONS, most))
    if args.model == 'small':
        values['max_epochs'] = str(small_epochs(len(splits['train'].images)))
    elif args.from_scratch:
        values |= {'load_from': 'None', 'pretrained': 'None', 'learning_rate': repr(FROM_SCRATCH_RATE)}
        values['max_epochs'] = str(FROM_SCRATCH_EPOCHS)
    if args.checkpoint:
        values |= {'load_from': repr(args.checkpoint), 'pretrained': 'None', 'learning_rate': repr(FINE_TUNING_RATE)}
    given = {'max_epochs': args.epochs, 'batch_size': args.batch_size}
    return values | {name: str(value) for name, value in given.items() if value is not None}


def small_epochs(images: int) -> int:
    """Epochs in which a training of the small model sees enough images; the fewer there are, the more epochs.

    Example:
        >>> [small_epochs(images) for images in (5, 27, 200, 100000)]
        [300, 220, 30, 10]
    """
    return min(SMALL_EPOCHS, key=lambda epochs: abs(epochs - SMALL_PASSES / images))


def template_of(args: argparse.Namespace) -> str:
    """The text of the template for the head, the model and the start."""
    templates = SMALL if args.model == 'small' else FROM_SCRATCH if args.from_scratch else TEMPLATES
    return (configs_root() / templates[args.head]).read_text()


def fill(template: str, header: str, values: Mapping[str, str]) -> str:
    """Replace the header of a template and the values of its first lines; comments stay beside values of one line.

    Raises:
        ValueError: If the template lacks one of the lines.
    """
    _, base, lines = template.partition('_base_ =')
    left = dict(values)

    def new_value(line: re.Match) -> str:
        value = left.pop(line[1], line[2])
        comment = '' if len(value.splitlines()) > 1 else line[3]
        return f'{line[1]} = {value}{comment}'

    text = header + base + re.sub(r'^(\w[\w, ]*) = (.*?)(  #.*|)$', new_value, lines, flags=re.MULTILINE)
    if left:
        raise ValueError(f'the template sets no {", ".join(left)}')
    return text


def main(argv: list[str] | None = None) -> None:
    """Write the config, and COCO files where the dataset has none for its splits.

    Raises:
        InputError: If the folder has no dataset that can be read, or an argument is wrong.
    """
    args = parse('init', argv)
    check_arguments(args)
    found = find_dataset(args.data, args.format)
    print(f'{args.data}: {found.format.upper()}, {len(found.classes)} classes: {listed(found.classes)}')
    splits = complete(found, args.seed)
    print(summary(splits, found.classes))
    write_annotations(splits, found.classes, args.out.with_name(f'{args.out.stem}_annotations'))
    template = template_of(args)
    title = template[2 : template.index(':')]
    header = HEADER.format(title=title, data=args.data, prog=PROG, out=args.out)
    values = values_of(args, found.classes, splits)
    text = fill(template, header, values)
    args.out.parent.mkdir(parents=True, exist_ok=True)
    args.out.write_text(text)
    start = re.search(r'^(?:load_from|pretrained) = (?!None)(.*)$', text, re.MULTILINE)
    print(f'wrote {args.out}; training starts from {start[1] if start else "random weights"}')
    if args.model == 'standard' and get_device() == 'cpu':
        print('no GPU was found: --model small is made for a CPU')
    print(f'next: {PROG} check-dataset {args.out}\n      {PROG} train {args.out}')
