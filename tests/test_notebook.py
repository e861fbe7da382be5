"""The quickstart notebook runs top to bottom."""

import json
import os
import re
import sys
from pathlib import Path

import pytest

from tests.compat.processes import ROOT

NOTEBOOK = ROOT / 'docs/quickstart.ipynb'
SHORTER = (('--num-train 2500 --num-val 100', '--num-train 32 --num-val 8'),)


def test_the_notebook_has_its_outputs_and_no_error():
    cells = [cell for cell in json.loads(NOTEBOOK.read_text())['cells'] if cell['cell_type'] == 'code']
    assert len(cells) > 8
    assert all(cell['outputs'] for cell in cells if not re.match(r'(\w+ = |%%capture)', ''.join(cell['source'])))
    assert not any(output['output_type'] == 'error' for cell in cells for output in cell['outputs'])


@pytest.mark.slow
def test_the_notebook_runs(tmp_path, monkeypatch):
    """With fewer images."""
    nbformat, nbclient = pytest.importorskip('nbformat'), pytest.importorskip('nbclient')
    text = NOTEBOOK.read_text()
    for long, short in SHORTER:
        assert long in text
        text = text.replace(long, short)
    monkeypatch.setenv('PATH', os.pathsep.join([str(Path(sys.executable).parent), os.environ['PATH']]))
    monkeypatch.setenv('PYTHONPATH', os.pathsep.join([str(ROOT), *sys.path]))
    notebook = nbformat.reads(text, 4)
    nbclient.NotebookClient(notebook, timeout=600, resources={'metadata': {'path': tmp_path}}).execute()
    assert (tmp_path / 'digits.onnx').is_file() and (tmp_path / 'work_dirs/digits/report.html').is_file()
