"""Export a detector to ONNX or to torch.export's .pt2."""

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from mmengine.config import Config, ConfigDict

from mmdet_kpheads_cli.parsers import parse

from ..data.annotations import MAX_IMAGE_BYTES, read_bytes
from ..data.image_files import decode
from ..deploy.files import Export, require_format, write
from ..deploy.graph import DetectorGraph, require_head
from ..deploy.input_rule import input_rule
from ..deploy.onnx_packages import open_onnx, package
from ..deploy.verification import verify
from ..errors import InputError, listed
from ..inference import load_model
from . import arguments, config_checks
from .failures import config_errors
from .test import inner_dataset


def build(cfg: Config, checkpoint: str, backend: str) -> Any:
    """The detector of a config with the weights of a checkpoint, on the CPU, its head with that backend.

    Raises:
        InputError: As ``load_model``, or if there is no head of this package.
    """
    require_head(cfg.model)
    cfg.model.bbox_head.backend = backend
    return load_model(cfg, checkpoint, 'cpu')


def main(argv: list[str] | None = None) -> int:
    """Export. The exit code is 1 if ``--verify`` finds a difference, else 0.

    Raises:
        InputError: If an input is missing or wrong, or the model cannot be exported.
    """
    args = parse('export', argv)
    require_format(args.out)
    if args.verify and args.out.suffix != '.onnx':
        raise InputError(f'--verify compares ONNX files, but --out is {args.out}')
    cfg = arguments.read_config(args)
    config_checks.require_keys(cfg, 'model', 'test_dataloader')
    arguments.require_checkpoint(args.checkpoint)
    arguments.require_folder('--out', args.out.parent)
    require_verifiable(args.verify or ())
    with config_errors(cfg):
        export(cfg, args)
        return report(args, build(cfg, args.checkpoint, 'auto')) if args.verify else 0


def require_verifiable(images: Sequence[str]) -> None:
    """Find out before the file is written whether ``--verify`` can compare it.

    Raises:
        InputError: If an image cannot be read, or ONNX Runtime is not installed.
    """
    for image in images:
        try:
            decode(read_bytes(Path(image), 'image', MAX_IMAGE_BYTES))
        except InputError as error:
            raise InputError(f'--verify {image}: {error}') from error
    if images:
        package('onnxruntime')


def export(cfg: Config, args: argparse.Namespace) -> None:
    """Build the detector, write the file and print what it is.

    Raises:
        InputError: As :func:`main`.
    """
    test_cfg = cfg.model.setdefault('test_cfg', ConfigDict())
    as_given = test_cfg.to_dict()
    if args.nms == 'none':
        test_cfg.update(nms=None, max_per_img=0)
    model = build(cfg, args.checkpoint, 'export')
    pipeline = inner_dataset(cfg.test_dataloader.dataset).pipeline
    metadata = {
        'head': type(model.bbox_head).__name__,
        'classes': model.dataset_meta['classes'],
        **input_rule(pipeline, model.data_preprocessor, args.size, args.dynamic and args.out.suffix == '.onnx'),
        'nms': args.nms,
        'test_cfg': as_given,
    }
    write(Export(DetectorGraph(model).eval(), metadata, args.dynamic, args.opset), args.out)
    size = ' x '.join(map(str, metadata['size']))
    limit = 'at most ' if metadata['dynamic'] else ''
    print(f'{args.out}: {args.out.stat().st_size / 1e6:.1f} MB, input {limit}{size}, {listed(metadata["classes"], 4)}')


def report(args: argparse.Namespace, model: Any) -> int:
    """Print how far the file and the detector are apart, and return the exit code.

    Raises:
        InputError: If ONNX Runtime refuses the file.
    """
    differences = verify(open_onnx(args.out), model, args.verify)
    for image, found in zip(args.verify, differences, strict=True):
        print(f'{image}: {found}')
    return 1 if any(found.unpaired for found in differences) else 0
