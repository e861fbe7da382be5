"""Packages that not everyone needs, and exported files in one of them."""

from importlib import import_module
from pathlib import Path
from typing import Any

from ..errors import InputError
from .runtime import OnnxDetector


def package(name: str, extra: str = 'export') -> Any:
    """A package of an extra of this one.

    Raises:
        InputError: If it is not installed.
    """
    try:
        return import_module(name)
    except ImportError as error:
        raise InputError(f'{error.name} is not installed: pip install "mmdet-kpheads[{extra}]"') from error


def open_onnx(path: Path) -> OnnxDetector:
    """An exported file in ONNX Runtime.

    Raises:
        InputError: If there is no such file, ONNX Runtime is missing or refuses it, or ``export`` did not write it.
    """
    if not path.is_file():  # ONNX Runtime's message about a folder does not say so
        raise InputError(f'{path} is a folder' if path.is_dir() else f'ONNX file not found: {path}')
    package('onnxruntime')
    try:
        return OnnxDetector(path)
    except ValueError as error:
        raise InputError(str(error)) from error
