"""Annotation files that the check before a run has parsed, for the datasets and metrics that read them next.

The check, the dataset and the metric of a run each read a COCO file. Parsing one with 150,000 objects takes 2 s.
"""

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from types import SimpleNamespace
from typing import Any, TextIO

_parsed: dict[tuple[str, int, int], Any] | None = None  # by path, time of the last change and size; None: not shared


def keep(path: str | os.PathLike[str], content: Any) -> None:
    """Keep what was parsed from a file, if annotations are shared now."""
    if _parsed is not None:
        _parsed[_key(path)] = content


def forget() -> None:
    """Free what is kept: datasets and metrics are built."""
    if _parsed is not None:
        _parsed.clear()


@contextmanager
def sharing() -> Iterator[None]:
    """Let pycocotools take the files that are kept meanwhile."""
    from pycocotools import coco

    global _parsed
    before, original = _parsed, coco.json
    _parsed, coco.json = {}, SimpleNamespace(load=_load)
    try:
        yield
    finally:
        _parsed, coco.json = before, original


def _load(file: TextIO) -> Any:
    """What a file holds, as ``json.load``."""
    kept = (_parsed or {}).get(_key(file.name))
    return json.load(file) if kept is None else kept


def _key(path: str | os.PathLike[str]) -> tuple[str, int, int]:
    status = os.stat(path)
    return os.path.realpath(path), status.st_mtime_ns, status.st_size
