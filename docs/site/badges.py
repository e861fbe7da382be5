"""Draw the badges of the README from what they state: python docs/site/badges.py."""

import re
import runpy
from pathlib import Path

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / 'docs' / 'images' / 'badges'
GRAY, GREEN, ORANGE = '#555555', '#2e7d32', '#b35900'
SVG = """<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="20" role="img" aria-label="{name}: {value}">
<clipPath id="r"><rect width="{width}" height="20" rx="3"/></clipPath>
<g clip-path="url(#r)"><rect width="{width}" height="20" fill="{color}"/>
<rect width="{left}" height="20" fill="{gray}"/></g>
<g fill="#fff" font-family="Verdana,DejaVu Sans,sans-serif" font-size="11" text-anchor="middle">
<text x="{name_x}" y="14" textLength="{name_width}">{name}</text>
<text x="{value_x}" y="14" textLength="{value_width}">{value}</text></g></svg>
"""


def facts() -> dict[str, tuple[str, str]]:
    """Each badge with its text and color, from the files that the tests compare with the environments."""
    version = runpy.run_path(str(ROOT / 'mmdet_kpheads/version.py'))['__version__']
    rows = runpy.run_path(str(ROOT / 'mmdet_kpheads/compat/environments.py'))['ROWS']
    floor = re.search(r'^fail_under = (\d+)', (ROOT / 'pyproject.toml').read_text(), re.MULTILINE)
    assert floor, 'pyproject.toml has no floor of the coverage'
    gpu = (ROOT / 'benchmarks/results/gpu/gpu_report.json').exists()
    return {
        'version': (version, GREEN),
        'python': (_range({row.python for row in rows}), GREEN),
        'torch': (_range({row.torch for row in rows}), GREEN),
        'coverage': (f'at least {floor[1]} %', GREEN),
        'CUDA': ('measured', GREEN) if gpu else ('not measured', ORANGE),
        'license': ('Apache-2.0', GREEN),
    }


def _range(versions: set[str]) -> str:
    """The oldest and the newest version."""
    ordered = sorted(versions, key=lambda text: [int(part) for part in text.split('.')])
    return f'{ordered[0]} to {ordered[-1]}'


def badge(name: str, value: str, color: str) -> str:
    """One badge, its text fitted to a width that does not depend on the font."""
    name_width, value_width = (round(sum(8 if char.isupper() else 6.4 for char in text)) for text in (name, value))
    left, right = name_width + 12, value_width + 12
    return SVG.format(
        name=name,
        value=value,
        color=color,
        gray=GRAY,
        left=left,
        width=left + right,
        name_width=name_width,
        value_width=value_width,
        name_x=left / 2,
        value_x=left + right / 2,
    )


def drawn() -> dict[str, str]:
    """The badges by the names of their files."""
    return {f'{name.lower()}.svg': badge(name, *fact) for name, fact in facts().items()}


if __name__ == '__main__':
    FOLDER.mkdir(exist_ok=True)
    for file, text in drawn().items():
        (FOLDER / file).write_text(text)
