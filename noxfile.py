"""Sessions in environments of their own: the matrix of the tests, and what a release must pass.

make matrix              all rows, one after the other, then the tables in docs/environments.md
make matrix ROW=oldest   one row
make release-check       the sdist and the wheel
"""

import hashlib
import json
import runpy
import shutil
import tempfile
import time
import xml.etree.ElementTree as ET
from collections import Counter
from pathlib import Path
from typing import Any

import nox

ROOT = Path(__file__).parent
RESULTS = ROOT / 'build/matrix'
DIST = ROOT / 'build/dist'
ROWS: Any = runpy.run_path(str(ROOT / 'mmdet_kpheads/compat/environments.py'))['ROWS']
WITH_TABLE: Any = runpy.run_path(str(ROOT / 'tests/tables.py'))['with_table']
PAGE = ROOT / 'docs/environments.md'
FAST = ('-n', 'auto', '--dist', 'loadfile', '-m', 'not slow and not overfit')
READING = 'test_a_run_of_another_row_goes_on'

nox.options.default_venv_backend = 'venv'
nox.options.error_on_missing_interpreters = True
nox.options.sessions = ['tests', 'tables']


@nox.session
@nox.parametrize(['python', 'row'], [nox.param(row.python, row, id=row.name) for row in ROWS])
def tests(session: nox.Session, row: Any) -> None:
    """Run the fast tests in one row. Its environment, some 6 GB with CUDA, is removed afterwards."""
    start, report = time.monotonic(), RESULTS / f'{row.name}.xml'
    for old in RESULTS.glob(f'{row.name}.*'):
        old.unlink()
    pins = [f'torch=={row.torch}', f'numpy=={row.numpy}{"" if "." in row.numpy else ".*"}', *row.others]
    if row.torchvision:
        pins.append(f'torchvision=={row.torchvision}')
    try:
        session.install(*pins)
        session.install('--editable', f'.[{row.stack},test]', *pins)
        session.run('python', '-m', 'mmdet_kpheads', 'doctor')
        session.run('python', '-m', 'pytest', *FAST, '--show-capture=no', f'--junitxml={report}', *session.posargs)
    finally:
        shutil.rmtree(session.virtualenv.location, ignore_errors=True)
        if report.exists():
            result = {**_counts(report), 'minutes': round((time.monotonic() - start) / 60, 1)}
            report.with_suffix('.json').write_text(json.dumps(result, indent=1))


@nox.session(python=False)
def tables(session: nox.Session) -> None:
    """Write the results of the rows that ran into docs/environments.md."""
    results = {path.stem: json.loads(path.read_text()) for path in RESULTS.glob('*.json')}
    ran = [row for row in ROWS if row.name in results]
    if len(ran) < len(ROWS):
        session.skip(f'{len(ran)} of {len(ROWS)} rows ran; the tables need all')
    matrix = [
        [
            *(row.name, row.python, row.torch, row.torchvision or 'none', row.numpy, row.stack),
            *(str(results[row.name][key]) for key in ('passed', 'failed', 'skipped', 'minutes')),
        ]
        for row in ROWS
    ]
    header = ['row', 'Python', 'torch', 'torchvision', 'NumPy', 'stack', 'passed', 'failed', 'skipped', 'minutes']
    reads = [[row.name, *(results[row.name]['reads'].get(writer.name, 'no') for writer in ROWS)] for row in ROWS]
    reasons: dict[str, dict[str, int]] = {}
    for row in ROWS:
        for reason, count in results[row.name]['reasons'].items():
            reasons.setdefault(reason, {})[row.name] = count
    skips = [[reason, *(str(of.get(row.name, '')) for row in ROWS)] for reason, of in sorted(reasons.items())]
    names = [row.name for row in ROWS]
    text = WITH_TABLE(PAGE.read_text(), 'matrix', header, matrix)
    text = WITH_TABLE(text, 'skipped', ['reason', *names], skips)
    PAGE.write_text(WITH_TABLE(text, 'checkpoints', ['reads a file of', *names], reads))
    session.log(f'{PAGE} is written')


@nox.session(reuse_venv=True)
def docs(session: nox.Session) -> None:
    """Build the site into build/site, or serve it: ``nox --session docs -- serve``. A broken link is an error."""
    packages = nox.project.load_toml('pyproject.toml')['project']['optional-dependencies']['docs']
    session.install(*packages)
    command = session.posargs or ['build', '--site-dir', 'build/site']
    session.run('mkdocs', *command, env={'NO_MKDOCS_2_WARNING': '1'})


@nox.session
def release(session: nox.Session) -> None:
    """Build the sdist, and the wheel from it, twice: equal bytes, complete metadata."""
    session.install('build==1.6.1', 'twine==7.0.0')
    commit_time = session.run('git', 'log', '-1', '--format=%ct', external=True, silent=True)
    environment = {'SOURCE_DATE_EPOCH': str(commit_time).strip()}
    shutil.rmtree(DIST, ignore_errors=True)
    again = Path(session.create_tmp())
    source = again / 'source'  # what is committed, and nothing else
    session.run('git', 'archive', '--output', f'{source}.tar', 'HEAD', external=True)
    shutil.unpack_archive(f'{source}.tar', source)
    for folder in (DIST, again):
        session.run('python', '-m', 'build', '--outdir', str(folder), str(source), env=environment, silent=True)
    for path in sorted(DIST.iterdir()):
        if path.read_bytes() != (again / path.name).read_bytes():
            session.error(f'{path.name}: a second build has other bytes')
        session.log(f'{path.name}: sha256 {hashlib.sha256(path.read_bytes()).hexdigest()}, twice')
    session.run('twine', 'check', '--strict', *map(str, DIST.iterdir()))
    session.notify('wheel')


@nox.session
def wheel(session: nox.Session) -> None:
    """Use the wheel in an empty folder, without the checkout: doctor, demo, training of a carried config."""
    (row,) = (row for row in ROWS if row.name == 'current')
    (path,) = DIST.glob('*.whl')
    session.install(f'torch=={row.torch}')
    session.install(f'{path}[{row.stack},demo]', f'torch=={row.torch}')
    with tempfile.TemporaryDirectory() as folder, session.chdir(folder):
        session.run('mmdet-kpheads', 'doctor')
        session.run('mmdet-kpheads', 'demo', '--quick')
        session.run('mmdet-kpheads', 'make-digits', 'data/digits', '--num-train', '64', '--num-val', '16')
        session.run(
            *('mmdet-kpheads', 'train', 'demo/autoassign_digits.py', '--work-dir', 'run'),
            *('--cfg-options', 'train_cfg.max_epochs=1'),
        )
        if not Path(folder, 'run/epoch_1.pth').is_file():
            session.error('the training left no checkpoint')


def _counts(report: Path) -> dict[str, Any]:
    """Count the tests of a JUnit report, the reasons of skips, and the checkpoints that were read."""
    cases = list(ET.parse(report).getroot().iter('testcase'))  # noqa: S314 (written by our own run)
    failed = [case for case in cases if case.find('failure') is not None or case.find('error') is not None]
    reasons = Counter(skip.get('message', '') for case in cases if (skip := case.find('skipped')) is not None)
    read = [case.get('name', '') for case in cases if case not in failed and READING in case.get('name', '')]
    return {
        'passed': len(cases) - len(failed) - reasons.total(),
        'failed': len(failed),
        'skipped': reasons.total(),
        'reasons': dict(reasons),
        'reads': {name.split('[')[1].rstrip(']'): 'yes' for name in read},
    }
