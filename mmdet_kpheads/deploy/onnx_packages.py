"""The packages of the extra ``export``, which only exported files need."""

from importlib import import_module
from pathlib import Path
from typing import Any

from ..errors import InputError
from .runtime import OnnxDetector


def package(name: str) -> Any:
    """A package of the extra ``export``.

    Raises:
        InputError: If it is not installed.
    """
    try:
        return import_module(name)
    except ImportError as error:
        raise InputError(f'{error.name} is not installed: pip install "mmdet-kpheads[export]"') from error


def open_onnx(path: Path) -> OnnxDetector:
    """An exported file in ONNX Runtime.

    Raises:
        InputError: If ONNX Runtime is not installed or cannot run the file, or ``export`` did not write it.
    """
    package('onnxruntime')
    try:
        return OnnxDetector(path)
    except ValueError as error:
        raise InputError(str(error)) from error
