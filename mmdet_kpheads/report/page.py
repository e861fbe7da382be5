"""Puts the parts of a report into one HTML file without a script and without a link to the network."""

import base64
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple
from xml.etree import ElementTree

import cv2
import numpy as np
from jinja2 import Environment, StrictUndefined

from ..version import __version__

LARGE_PX = 600
TEMPLATE = Path(__file__).with_name('page.html')


class Image(NamedTuple):
    """A picture as a data URI, with its size and a text for those who do not see it."""

    source: str
    width: int
    height: int
    alt: str

    @property
    def is_large(self) -> bool:
        """Whether details are lost in a column of the page or on a phone, so that it scrolls instead."""
        return self.width > LARGE_PX


class Figure(NamedTuple):
    """A plot with a sentence that says how to read it."""

    title: str
    reading: str
    image: Image


class Captioned(NamedTuple):
    """A picture of an image."""

    caption: str
    image: Image


class Group(NamedTuple):
    """Pictures of one image."""

    title: str
    text: str
    pictures: Sequence[Captioned]


class Cell(NamedTuple):
    """A number of a table, with a bar of this share in percent unless it is None."""

    text: str
    share: int | None = None


class Row(NamedTuple):
    """A row of a table."""

    name: str
    cells: Sequence[Cell]


class Table(NamedTuple):
    """A table; its first row is the sum of the others."""

    columns: Sequence[str]
    rows: Sequence[Row]


@dataclass
class Part:
    """A section of the page; what is empty is not shown."""

    id: str
    title: str
    text: str = ''
    note: str = ''
    tiles: Sequence[tuple[str, str]] = ()
    facts: Sequence[tuple[str, str]] = ()
    table: Table | None = None
    figures: Sequence[Figure] = ()
    key: Sequence[tuple[str, str]] = ()
    groups: Sequence[Group] = ()
    details: Sequence[tuple[str, str]] = field(default_factory=tuple)


def svg_image(data: bytes, alt: str) -> Image:
    """A picture from an SVG file of Matplotlib, whose size is in points."""
    root = ElementTree.fromstring(data)  # noqa: S314  (written here)
    width, height = (round(float(root.attrib[side].removesuffix('pt')) * 4 / 3) for side in ('width', 'height'))
    return Image(data_uri('svg+xml', data), width, height, alt)


def jpeg_image(data: bytes, alt: str) -> Image:
    """A picture from a JPEG file."""
    decoded: Any = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)
    height, width = decoded.shape[:2]
    return Image(data_uri('jpeg', data), width, height, alt)


def data_uri(kind: str, data: bytes) -> str:
    """A file as the address of an image."""
    return f'data:image/{kind};base64,{base64.b64encode(data).decode()}'


def render(title: str, subtitle: str, parts: Sequence[Part], footer: str) -> str:
    """The page. Every text is escaped."""
    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    template = environment.from_string(TEMPLATE.read_text(encoding='utf-8'))
    return template.render(title=title, subtitle=subtitle, parts=parts, footer=footer, version=__version__)
