"""What --amp, --fast and --compile write into a config, and in words what they chose."""

from collections.abc import Iterator

import torch
from mmengine.config import Config, ConfigDict
from torch import nn

from ..hooks.memory_format_hook import to_channels_last
from ..optim.precision import mixed_precision, native_bfloat16

FUSED_OPTIMIZERS = {'Adam', 'AdamW', 'SGD'}  # of torch, on a CPU and on CUDA: one pass over all parameters
FAST_METRIC = 'mmdet_kpheads.CocoMetric'


def add_hook(cfg: Config, kind: str) -> None:
    """Add a custom hook to a config."""
    cfg.custom_hooks = [*(cfg.get('custom_hooks') or []), ConfigDict(type=kind)]


def use_fast_metric(cfg: Config) -> list[str]:
    """Replace mmdet's COCO metric in the evaluators by ours with the same numbers; its type, if there was one."""
    evaluators = [cfg.get(f'{split}_evaluator') or [] for split in ('val', 'test')]
    metrics = [metric for found in evaluators for metric in (found if isinstance(found, list) else [found])]
    coco = [metric for metric in metrics if metric.get('type') == 'CocoMetric']
    for metric in coco:
        metric.type = FAST_METRIC
    return [FAST_METRIC] if coco else []


def speed_up_training(cfg: Config, device: str, amp: str | None, fast: bool, compiled: bool) -> str:
    """Write the arguments of ``train`` into a config.

    Args:
        cfg: Changed in place.
        device: ``'cuda'``, ``'cpu'`` or another device type.
        amp: ``'auto'``, ``'bf16'``, ``'fp16'`` or None.
        fast: Whether to take all that is faster on the device.
        compiled: Whether to compile backbone and neck.

    Returns:
        What was chosen, in words.

    Raises:
        InputError: If ``amp`` would not run or be slower than float32.
    """
    return ', '.join(_training_choices(cfg, device, amp, fast, compiled)) or 'as it was: nothing is faster here'


def _training_choices(cfg: Config, device: str, amp: str | None, fast: bool, compiled: bool) -> Iterator[str]:
    """Write one choice after the other."""
    known = device in ('cuda', 'cpu')
    half = fast and known and (device == 'cuda' or native_bfloat16(device))
    if amp or half:
        yield use_mixed_precision(cfg, amp or 'auto', device)
    if half:  # in float32 on a CPU, training channels last is slower (docs/speed.md)
        add_hook(cfg, 'mmdet_kpheads.MemoryFormatHook')
        yield 'channels last'
    optimizer = cfg.optim_wrapper.get('optimizer', {})
    if fast and known and optimizer.get('type') in FUSED_OPTIMIZERS:
        optimizer.fused = True
        yield f'fused {optimizer.type}'
    if fast and device == 'cuda':
        cfg.train_dataloader.pin_memory = True
        cfg.model.setdefault('data_preprocessor', ConfigDict()).non_blocking = True
        yield 'pinned memory'
    if fast:
        yield from use_fast_metric(cfg)
    if compiled:
        add_hook(cfg, 'mmdet_kpheads.CompileHook')
        yield 'compiled backbone and neck'


def use_mixed_precision(cfg: Config, choice: str, device: str) -> str:
    """Set the optimizer wrapper for a choice of --amp, and return it in words.

    Raises:
        InputError: Where it would not run or be slower than float32.
    """
    if mixed_precision(choice, device) == 'fp16':
        cfg.optim_wrapper.update(type='AmpOptimWrapper', loss_scale='dynamic', dtype='float16')
        return 'float16 autocast with loss scaling'
    for key in ('loss_scale', 'dtype', 'use_fsdp'):  # of a config with AmpOptimWrapper
        cfg.optim_wrapper.pop(key, None)
    cfg.optim_wrapper.type = 'mmdet_kpheads.AutocastOptimWrapper'
    return 'bfloat16 autocast'


def speed_up_test(cfg: Config, device: str) -> str:
    """Write ``test --fast`` into a config, and return in words what it chose."""
    add_hook(cfg, 'mmdet_kpheads.MemoryFormatHook')
    chosen = ['channels last', *use_fast_metric(cfg)]
    if name := faster_format(device):
        cfg.test_cfg.fp16 = True  # mmengine's name for autocast, in the type that is set for the device
        torch.set_autocast_dtype(device, getattr(torch, name))
        chosen.insert(0, f'{name} autocast')
    return ', '.join(chosen)


def faster_format(device: str) -> str | None:
    """The number format in which a device predicts faster than in float32; None if there is none."""
    if not (device == 'cuda' or (device == 'cpu' and native_bfloat16(device))):
        return None
    return 'bfloat16' if mixed_precision('auto', device) == 'bf16' else 'float16'


def speed_up_model(model: nn.Module, device: str) -> tuple[torch.dtype | None, str]:
    """Convert a model for ``predict --fast``.

    Returns:
        The type of autocast or None, and in words what was chosen.
    """
    layout = 'channels last' if to_channels_last(model) else 'contiguous'
    name = faster_format(device)
    return (getattr(torch, name), f'{name} autocast, {layout}') if name else (None, layout)
