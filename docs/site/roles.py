"""Docstrings name objects as Sphinx does, ``:func:`nms```; the site shows the name as code."""

import re
from typing import Any

import griffe

ROLE = re.compile(r':\w+:`(~?)([\w.]+)`')


class PlainRoles(griffe.Extension):
    """Replaces roles in every docstring."""

    def on_object(self, *, obj: griffe.Object, **_: Any) -> None:
        """Called for each object that was read."""
        if obj.docstring:
            obj.docstring.value = ROLE.sub(_name, obj.docstring.value)


def _name(match: re.Match[str]) -> str:
    short, path = match.groups()
    return f'`{path.rsplit(".", 1)[-1] if short else path}`'
