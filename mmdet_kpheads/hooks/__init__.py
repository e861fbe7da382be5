"""Hooks that check the data, the model and the loss, and what a run needs to be resumed."""

from .class_check_hook import ClassCheckHook
from .compile_hook import CompileHook
from .finite_loss_hook import FiniteLossHook
from .ground_truth_check_hook import GroundTruthCheckHook
from .loading_report_hook import LoadingReportHook
from .memory_format_hook import MemoryFormatHook
from .pairing_hook import PairingHook
from .resume_hook import ResumeHook

__all__ = [
    'ClassCheckHook',
    'CompileHook',
    'FiniteLossHook',
    'GroundTruthCheckHook',
    'LoadingReportHook',
    'MemoryFormatHook',
    'PairingHook',
    'ResumeHook',
]
