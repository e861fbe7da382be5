"""Write a detector's graph with its metadata: ONNX, or the ``.pt2`` of torch.export."""

import io
import json
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ..compat.onnx_exporter import BY_TRACING
from ..errors import InputError
from .graph import DetectorGraph
from .onnx_packages import package
from .runtime import METADATA_KEY

OUTPUTS = ('boxes', 'scores', 'labels')
OPSET = 17
DEFORM_CONV_OPSET = 19  # the first with DeformConv
MMCV_DOMAIN = 'mmcv'
DEFORM_CONVS = {'MMCVModulatedDeformConv2d', 'MMCVDeformConv2d'}


@dataclass(frozen=True)
class Export:
    """What is written, and how.

    Args:
        graph: In evaluation mode, in which the exporter leaves it.
        metadata: Stored in the file under ``METADATA_KEY``; its ``dynamic`` makes height and width variable.
        dynamic_batch: Accept every batch size.
        opset: Of ONNX; None for 17, and with deformable convolutions 19.
    """

    graph: DetectorGraph
    metadata: Mapping[str, Any]
    dynamic_batch: bool = False
    opset: int | None = None


def write(export: Export, path: Path) -> None:
    """Write a file in the format that the path ends in.

    Raises:
        InputError: For another ending, or if a package is missing or does not support the model.
    """
    require_format(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    images = torch.zeros(2 if export.dynamic_batch else 1, 3, *export.metadata['size'])  # torch.export fixes a 1
    with torch.no_grad(), warnings.catch_warnings():
        export.graph(images)  # raises what a trace cannot see, such as strides that do not fit
        warnings.simplefilter('ignore')  # about every size that becomes a constant: as intended
        WRITERS[path.suffix](export, images, path)


def require_format(path: Path) -> None:
    """Raise ``InputError`` unless a path ends as a format does."""
    if path.suffix not in WRITERS:
        raise InputError(f'--out must end in {" or ".join(WRITERS)}, but is {path}')


def write_onnx(export: Export, images: Tensor, path: Path) -> None:
    """Write ONNX by tracing: the one exporter that torch 2.4 and newer have in common."""
    onnx = package('onnx')
    axes = {name: {0: 'batch'} for name in ('images', *OUTPUTS)} if export.dynamic_batch else {}
    if export.metadata['dynamic']:
        axes['images'] |= {2: 'height', 3: 'width'}
    deforms = any('DeformConv' in type(module).__name__ for module in export.graph.modules())
    opset = export.opset or (DEFORM_CONV_OPSET if deforms else OPSET)
    if deforms and opset < DEFORM_CONV_OPSET:
        raise InputError(f'--opset must be {DEFORM_CONV_OPSET} or more for deformable convolutions, but is {opset}')
    to_onnx: Any = torch.onnx.export  # its annotations leave out buffers
    buffer = io.BytesIO()
    to_onnx(
        export.graph,
        (images,),
        buffer,
        input_names=['images'],
        output_names=list(OUTPUTS),
        dynamic_axes=axes,
        opset_version=opset,
        custom_opsets={MMCV_DOMAIN: 1} if deforms else None,
        **BY_TRACING,
    )
    model = onnx.load_from_string(buffer.getvalue())
    use_onnx_deform_conv(onnx, model)
    onnx.helper.set_model_props(model, {METADATA_KEY: json.dumps(export.metadata)})
    onnx.checker.check_model(model)
    onnx.save(model, str(path))


def use_onnx_deform_conv(onnx: Any, model: Any) -> None:
    """Replace mmcv's deformable convolutions in an ONNX model by ONNX's own, which has the same offsets."""
    for node in model.graph.node:
        if node.op_type not in DEFORM_CONVS:
            continue
        options = {item.name: onnx.helper.get_attribute_value(item) for item in node.attribute}
        modulated = node.op_type == 'MMCVModulatedDeformConv2d'
        x, offset, *mask, weight = node.input[: 4 if modulated else 3]
        bias = node.input[4] if modulated and len(node.input) > 4 else ''
        pad_y, pad_x = options['padding']
        replacement = onnx.helper.make_node(
            'DeformConv',
            [x, weight, offset, bias, *mask],
            node.output,
            name=node.name,
            strides=options['stride'],
            pads=[pad_y, pad_x] * 2,
            dilations=options['dilation'],
            group=options['groups'],
            offset_group=options['deform_groups'],
        )
        node.CopyFrom(replacement)
    opsets = [item for item in model.opset_import if item.domain != MMCV_DOMAIN]
    del model.opset_import[:]
    model.opset_import.extend(opsets)


def write_pt2(export: Export, images: Tensor, path: Path) -> None:
    """Write torch.export's format; only the batch size can vary."""
    shapes = {'images': {0: torch.export.Dim('batch')}} if export.dynamic_batch else None
    program = torch.export.export(export.graph, (images,), dynamic_shapes=shapes, strict=False)
    torch.export.save(program, str(path), extra_files={METADATA_KEY: json.dumps(export.metadata)})


WRITERS = {'.onnx': write_onnx, '.pt2': write_pt2}
