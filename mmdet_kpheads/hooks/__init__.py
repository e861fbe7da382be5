"""Hooks that check the data, the model and the loss, show a run, and what it needs to be resumed."""

from .class_check_hook import ClassCheckHook
from .compile_hook import CompileHook
from .finite_loss_hook import FiniteLossHook
from .ground_truth_check_hook import GroundTruthCheckHook
from .loading_report_hook import LoadingReportHook
from .log_processor import LogProcessor
from .memory_format_hook import MemoryFormatHook
from .pairing_hook import PairingHook
from .progress_hook import ProgressHook
from .resume_hook import ResumeHook

__all__ = [
    'ClassCheckHook',
    'CompileHook',
    'FiniteLossHook',
    'GroundTruthCheckHook',
    'LoadingReportHook',
    'LogProcessor',
    'MemoryFormatHook',
    'PairingHook',
    'ProgressHook',
    'ResumeHook',
]
