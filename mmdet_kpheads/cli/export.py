"""Export a detector to ONNX or to torch.export's .pt2."""

import argparse
from typing import Any

from mmdet.registry import MODELS
from mmengine.config import Config, ConfigDict
from mmengine.model import revert_sync_batchnorm
from mmengine.registry import init_default_scope
from mmengine.runner import CheckpointLoader

from mmdet_kpheads_cli.parsers import parse

from ..data.dataset_sources import dataset_sources
from ..deploy import OnnxDetector
from ..deploy.files import Export, require_format, write
from ..deploy.graph import DetectorGraph, require_head
from ..deploy.input_rule import input_rule
from ..deploy.verification import verify
from ..errors import InputError, listed
from ..fitting import load_whole
from . import arguments, config_checks
from .failures import config_errors
from .test import inner_dataset


def build(cfg: Config, checkpoint: Any, backend: str, name: str = '') -> Any:
    """The detector of a config with the weights of a checkpoint, in evaluation mode, its head with that backend.

    Raises:
        InputError: If the weights do not fit, or there is no head of this package.
    """
    model_cfg = cfg.copy().model
    require_head(model_cfg)
    model_cfg.bbox_head.backend = backend
    model_cfg.backbone.init_cfg = None  # every weight comes from the checkpoint: no download
    model = MODELS.build(model_cfg)
    load_whole(model, checkpoint, name, cfg.filename)
    return revert_sync_batchnorm(model).eval()


def class_names(cfg: Config, checkpoint: Any, num_classes: int) -> list[str]:
    """Names of the classes: those of the checkpoint, else of the config's test dataset, else their numbers."""
    stored = checkpoint.get('meta', {}).get('dataset_meta') or {}
    sources = dataset_sources(cfg.test_dataloader.dataset)
    names = stored.get('classes') or next((source.classes for source in sources), ())
    return list(names) if len(names) == num_classes else [str(label) for label in range(num_classes)]


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
    init_default_scope(cfg.get('default_scope', 'mmdet'))
    with config_errors(cfg):
        checkpoint = CheckpointLoader.load_checkpoint(args.checkpoint, map_location='cpu')
        export(cfg, checkpoint, args)
        return report(args, build(cfg, checkpoint, 'auto', args.checkpoint)) if args.verify else 0


def export(cfg: Config, checkpoint: Any, args: argparse.Namespace) -> None:
    """Build the detector, write the file and print what it is.

    Raises:
        InputError: As :func:`main`.
    """
    test_cfg = cfg.model.setdefault('test_cfg', ConfigDict())
    as_given = test_cfg.to_dict()
    if args.nms == 'none':
        test_cfg.update(nms=None, max_per_img=0)
    model = build(cfg, checkpoint, 'export', args.checkpoint)
    pipeline = inner_dataset(cfg.test_dataloader.dataset).pipeline
    metadata = {
        'head': type(model.bbox_head).__name__,
        'classes': class_names(cfg, checkpoint, model.bbox_head.num_classes),
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
        InputError: If an image cannot be read, or ONNX Runtime is missing or refuses the file.
    """
    try:
        differences = verify(OnnxDetector(args.out), model, args.verify)
    except (ValueError, ImportError) as error:
        raise InputError(f'--verify: {error}') from error
    for image, found in zip(args.verify, differences, strict=True):
        print(f'{image}: {found}')
    return 1 if any(found.unpaired for found in differences) else 0
