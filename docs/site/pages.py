"""What the site adds to the Markdown files: generated reference pages, and links that leave docs/."""

import argparse
import logging
import re
import runpy
import sys
from pathlib import Path
from typing import Any

from mkdocs.structure.files import File, Files

ROOT = Path(__file__).parents[2]
NAMED = re.compile(r'\[(\w+\.md)\](?=\(\1)')  # a link whose text is the name of a page
REGISTERED = re.compile(r'^@\w+\.register_module\(.*\)\n(?:@.*\n)*class (\w+)', re.MULTILINE)
OUTSIDE = re.compile(r'\[([^\]]+)\]\(\.\./([^)\s]+)\)')
COPIES = {
    'CHANGELOG.md': 'changelog.md',
    'CONTRIBUTING.md': 'contributing.md',
}  # pages at the top of the repository that the site has, too
MODULES = {  # page: its title, what it says first, and the modules on it
    'api': (
        'Python API',
        'The public names of `mmdet_kpheads`. Heads, losses, backbones and necks are registered under the same names.',
        (
            'heads',
            'losses',
            'detectors',
            'hooks',
            'hooks.drawing_hook',
            'backbones',
            'necks',
            'optim',
            'inference',
            'evaluation',
            'report',
            'deploy.runtime',
            'registry',
            'errors',
        ),
    ),
    'functional': (
        'Formulas',
        'Pure functions of tensors: the formulas of the papers, and the steps of the heads.',
        ('functional.*', 'targets.*', 'decoding.*', 'structures', 'ops.*'),
    ),
}


def on_config(config: Any) -> Any:
    """Show the version beside the name, on every page."""
    version = runpy.run_path(str(ROOT / 'mmdet_kpheads/version.py'))['__version__']
    config.site_name = f'{config.site_name} {version}'
    return config


def on_files(files: Files, config: Any) -> Files:
    """Add the generated pages."""
    for name, (title, first, modules) in MODULES.items():
        entries = ''.join(f'\n::: mmdet_kpheads.{module}\n' for pattern in modules for module in _expanded(pattern))
        _add(files, config, f'reference/{name}.md', f'# {title}\n\n{first}\n{entries}')
    _add(files, config, 'reference/commands.md', _commands())
    for source, page in COPIES.items():
        text = re.sub(r'\]\((?!docs/|http)', '](../', (ROOT / source).read_text()).replace('](docs/', '](')
        _add(files, config, page, text)
    return files


def on_page_markdown(markdown: str, page: Any, config: Any, files: Files) -> str:
    """Show titles in place of file names; links out of docs/ lead to the repository, or are plain text without one."""

    def outside(match: re.Match[str]) -> str:
        text, path = match.groups()
        file, *anchor = path.split('#')
        if '/' in page.file.src_uri:  # ../ leads from a folder of docs/ to docs/
            return match[0]
        if file in COPIES:
            return f'[{text}]({"#".join([COPIES[file], *anchor])})'
        return f'[{text}]({config.repo_url}/blob/main/{path})' if config.repo_url else text

    def title(match: re.Match[str]) -> str:
        heading = (ROOT / 'docs' / match[1]).read_text().partition('\n')[0]
        return f'[{heading.removeprefix("# ")}]'

    return OUTSIDE.sub(outside, NAMED.sub(title, markdown))


def on_post_build(config: Any) -> None:
    """Warn of registered classes that the reference lacks; strict builds fail."""
    text = (Path(config.site_dir) / 'reference/api.html').read_text()
    sources = [path.read_text() for path in (ROOT / 'mmdet_kpheads').rglob('*.py')]
    names = {name for source in sources for name in REGISTERED.findall(source)}
    if missing := sorted(name for name in names if f'.{name}"' not in text):
        logging.getLogger('mkdocs').warning('reference/api.md lacks %s', ', '.join(missing))


def _expanded(pattern: str) -> list[str]:
    """The modules of a folder for ``folder.*``, otherwise the name itself."""
    folder, star, _ = pattern.partition('.*')
    names = sorted(path.stem for path in (ROOT / 'mmdet_kpheads' / folder).glob('[!_]*.py'))
    return [f'{folder}.{name}' for name in names] if star else [pattern]


def _add(files: Files, config: Any, path: str, text: str) -> None:
    files.append(File.generated(config, path, content=text))


def _commands() -> str:
    """Every subcommand with its arguments, from the parsers themselves."""
    sys.path.insert(0, str(ROOT))
    from mmdet_kpheads_cli.parsers import ADDERS, DESCRIPTIONS, PROG, SUMMARIES

    parts = ['# Commands\n', f'`{PROG} --help` lists these; `{PROG} NAME --help` prints what is below.\n']
    for name, summary in SUMMARIES.items():
        description = DESCRIPTIONS.get(name, f'{summary[0].upper()}{summary[1:]}.')
        parser = argparse.ArgumentParser(f'{PROG} {name}', description=description)
        if add := ADDERS.get(name):
            add(parser)
        parts.append(f'## {name}\n\n```text\n{parser.format_help()}```\n')
    return '\n'.join(parts)
