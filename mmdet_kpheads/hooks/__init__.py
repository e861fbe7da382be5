"""Hooks that check the data and the model during training, validation and test."""

from .class_check_hook import ClassCheckHook
from .compile_hook import CompileHook
from .ground_truth_check_hook import GroundTruthCheckHook
from .loading_report_hook import LoadingReportHook
from .memory_format_hook import MemoryFormatHook
from .pairing_hook import PairingHook

__all__ = [
    'ClassCheckHook',
    'CompileHook',
    'GroundTruthCheckHook',
    'LoadingReportHook',
    'MemoryFormatHook',
    'PairingHook',
]
