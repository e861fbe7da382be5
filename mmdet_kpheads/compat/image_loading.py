"""Names the file if an image cannot be loaded during training: mmcv's transform passes on what the decoder raised."""

from functools import wraps
from pathlib import Path
from typing import Any

from mmcv.transforms import LoadImageFromFile

from ..errors import InputError, shown


def install() -> None:
    """Make ``LoadImageFromFile`` raise ``InputError`` with the path. Safe to repeat."""
    load = LoadImageFromFile.transform
    if hasattr(load, '__wrapped__'):
        return

    @wraps(load)
    def transform(self: LoadImageFromFile, results: dict[str, Any]) -> dict[str, Any] | None:
        try:
            loaded: dict[str, Any] | None = load(self, results)
        except Exception as error:
            reason = ' '.join(str(error).split()) or type(error).__name__
            raise InputError(f'image cannot be loaded: {shown(Path(results["img_path"]))}: {reason}') from error
        return loaded

    LoadImageFromFile.transform = transform
