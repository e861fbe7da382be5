"""Train, resume and load with strict loaders; refuse files that try to run code."""

import os
import pickle
import re
import tempfile
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch
from mmengine.logging import HistoryBuffer, MessageHub
from mmengine.optim.scheduler.param_scheduler import OneCycleParamScheduler
from mmengine.runner import checkpoint as mmengine_checkpoint
from mmengine.runner import load_checkpoint

from mmdet_kpheads.compat import checkpoint_loading, environments
from tests.compat.runners import SCHEDULES, Model, Score, runner

# Files that the rows of the matrix wrote. WRITE_CHECKPOINTS=1 lets the installed row write its own again.
STORED = Path(__file__).parent / 'stored'
ONE_CYCLE = SCHEDULES[4]  # with functions of a class in the file


@pytest.fixture(autouse=True)
def own_message_hubs():
    """Remove the experiments after each test."""
    before = dict(MessageHub._instance_dict)
    yield
    MessageHub._instance_dict.clear()
    MessageHub._instance_dict.update(before)


@pytest.fixture(autouse=True)
def numpy_score(monkeypatch):
    from mmengine.evaluator import Evaluator

    monkeypatch.setattr(Evaluator, 'process', Score.process)
    monkeypatch.setattr(Evaluator, 'evaluate', Score.evaluate)


@pytest.mark.parametrize('schedule', SCHEDULES, ids=lambda s: f'{s["type"]} {s.get("anneal_strategy", "")}')
def test_train_resume_and_load(tmp_path, schedule):
    first = runner(tmp_path, schedule, epochs=1)
    first.train()
    saved = tmp_path / 'epoch_1.pth'
    plain = torch.load(saved, weights_only=True)
    assert {'state_dict', 'optimizer', 'param_schedulers', 'message_hub', 'ema_state_dict'} <= set(plain)
    assert plain['message_hub']['runtime_info']['best_score'] == 0.5
    again = runner(tmp_path / 'more', schedule, epochs=2, load_from=str(saved), resume=True)
    again.train()
    assert again.epoch == 2
    assert len(again.message_hub.get_scalar('train/loss').data[0]) == 4  # 2 of the first run, 2 of the second
    model = Model()
    load_checkpoint(model, str(tmp_path / 'more' / 'epoch_2.pth'))
    torch.testing.assert_close(model.state_dict(), torch.load(tmp_path / 'more' / 'epoch_2.pth')['state_dict'])


def kinds(value):
    """The types in a checkpoint, by key."""
    if isinstance(value, dict):
        return {key: kinds(item) for key, item in value.items()}
    return [kinds(item) for item in value] if isinstance(value, list | tuple) else type(value)


def test_the_stored_file_is_what_this_row_writes(tmp_path):
    here = environments.installed()
    row = environments.nearest(here)
    if environments.differences(here, row):
        pytest.skip('not a row of the matrix')
    runner(tmp_path, ONE_CYCLE, epochs=2).train()  # mmengine writes the end of the schedule into the file
    stored = STORED / f'{row.name}.pth'
    if os.environ.get('WRITE_CHECKPOINTS'):
        content = torch.load(tmp_path / 'epoch_1.pth', weights_only=True)
        info = content['message_hub']['runtime_info']
        info.update({key: Path(info[key]).name for key in ('last_ckpt', 'best_ckpt') if key in info})  # no folders
        torch.save(content, stored)
    written, kept = (torch.load(path, weights_only=True) for path in (tmp_path / 'epoch_1.pth', stored))
    assert kinds({**written, 'meta': {}}) == kinds({**kept, 'meta': {}})


@pytest.mark.parametrize('writer', [row.name for row in environments.ROWS])
def test_a_run_of_another_row_goes_on(tmp_path, writer):
    """From its file after one epoch to the weights of a run of two."""
    resumed = runner(tmp_path / 'resumed', ONE_CYCLE, 2, load_from=str(STORED / f'{writer}.pth'), resume=True)
    whole = runner(tmp_path / 'whole', ONE_CYCLE, 2)
    for run in (resumed, whole):
        run.train()
    assert resumed.epoch == 2
    assert resumed.optim_wrapper.get_lr() == whole.optim_wrapper.get_lr()
    for key in ('train/loss', 'train/lr'):
        ours, expected = (run.message_hub.get_scalar(key).data[0] for run in (resumed, whole))
        np.testing.assert_allclose(ours, expected, rtol=1e-5)
    for name in ('state_dict', 'ema_state_dict'):
        files = (Path(run.work_dir) / 'epoch_2.pth' for run in (resumed, whole))
        ours, expected = (torch.load(path, weights_only=True)[name] for path in files)
        torch.testing.assert_close(ours, expected, rtol=1e-5, atol=1e-6)


def test_a_history_keeps_its_statistics(tmp_path):
    torch.save({'loss': HistoryBuffer([1.0, 3.0], [1, 1])}, tmp_path / 'a.pth')
    history = checkpoint_loading.load(tmp_path / 'a.pth')['loss']
    assert history.statistics('mean') == 2.0
    assert history.statistics('max') == 3.0


@pytest.mark.parametrize('code', checkpoint_loading.NUMBER_TYPES)
def test_numpy_numbers_and_arrays_of_every_kind(tmp_path, code):
    value = np.ones(3, dtype=code)
    torch.save({'array': value, 'number': value[0]}, tmp_path / 'a.pth')
    loaded = checkpoint_loading.load(str(tmp_path / 'a.pth'))
    np.testing.assert_array_equal(loaded['array'], value)
    assert loaded['number'] == value[0]


@pytest.mark.parametrize('package', [b'numpy.core', b'numpy._core'])
def test_files_of_either_numpy_load(tmp_path, package):
    """NumPy 1 and 2 name the same functions differently; a checkpoint of one must load with the other."""
    torch.save({'array': np.arange(3.0), 'number': np.float64(2.5)}, tmp_path / 'new.pth')
    with zipfile.ZipFile(tmp_path / 'new.pth') as new, zipfile.ZipFile(tmp_path / 'old.pth', 'w') as old:
        for name in new.namelist():
            content = new.read(name)
            if name.endswith('data.pkl'):
                assert len(re.findall(rb'numpy\._?core\.multiarray', content)) == 2
                content = re.sub(rb'numpy\._?core', package, content)
            old.writestr(name.replace('new/', 'old/'), content)
    loaded = checkpoint_loading.load(str(tmp_path / 'old.pth'))
    assert loaded['array'].tolist() == [0, 1, 2]
    assert loaded['number'] == 2.5


class Hostile:
    """A pickle that makes a file when it is loaded."""

    def __init__(self, function, *arguments):
        self.what = function, arguments

    def __reduce__(self):
        return self.what


def write_torch(value, path):
    torch.save({'state_dict': {}, 'meta': value}, path)


def write_legacy(value, path):
    torch.save({'state_dict': {}, 'meta': value}, path, _use_new_zipfile_serialization=False)


def write_pickle(value, path):
    Path(path).write_bytes(pickle.dumps({'state_dict': {}, 'meta': value}, protocol=2))


@pytest.mark.parametrize('write', [write_torch, write_legacy, write_pickle])
@pytest.mark.parametrize(
    ('function', 'named'),
    [(eval, 'eval'), (Path.touch, 'Path|getattr'), (exec, 'exec')],
    ids=['eval', 'touch', 'exec'],
)
@pytest.mark.parametrize('read', [lambda p: load_checkpoint(Model(), p), lambda p: torch.load(p, weights_only=True)])
def test_a_hostile_pickle_is_refused_and_nothing_runs(tmp_path, write, function, named, read):
    marker = tmp_path / 'marker'
    code = f'open({str(marker)!r}, "w").close()'
    path = str(tmp_path / 'hostile.pth')
    write(Hostile(function, marker if function is Path.touch else code), path)
    with pytest.raises((ValueError, pickle.UnpicklingError), match=named):
        read(path)
    assert not marker.exists()


@pytest.mark.parametrize('write', [write_torch, write_legacy, write_pickle])
@pytest.mark.parametrize(
    ('value', 'referenced'),
    [
        (Hostile(eval, '1'), 'eval'),
        (Hostile(os.system, 'true'), 'posix.system'),
        (Score(), 'tests.compat.runners.Score'),
    ],
    ids=['eval', 'system', 'object'],
)
def test_the_error_is_the_same_with_every_torch(tmp_path, write, value, referenced):
    path = str(tmp_path / 'hostile.pth')
    write(value, path)
    with pytest.raises(ValueError) as error:
        load_checkpoint(Model(), path)
    assert str(error.value) == (
        f"checkpoint '{path}' is refused: it references {referenced}, which is not a tensor or plain data. Nothing was "
        'executed. If you trust its origin, first declare that with torch.serialization.add_safe_globals.'
    )


def test_resume_refuses_it_too(tmp_path):
    path = str(tmp_path / 'hostile.pth')
    write_torch(Hostile(eval, '1'), path)
    with pytest.raises(ValueError, match='is refused: it references'):
        runner(tmp_path, SCHEDULES[1], 1, load_from=path, resume=True).train()


@pytest.mark.parametrize(
    ('owner', 'name'),
    [
        (HistoryBuffer, '__init__'),
        (HistoryBuffer, '_statistics_methods'),
        (OneCycleParamScheduler, '__dict__'),
    ],
)
def test_getattr_gives_the_named_functions_only(tmp_path, owner, name):
    write_torch(Hostile(getattr, owner, name), tmp_path / 'a.pth')
    with pytest.raises(ValueError, match=rf'references {owner.__name__}\.{name}, which is not a tensor or plain data'):
        checkpoint_loading.load(str(tmp_path / 'a.pth'))


def test_no_file():
    with pytest.raises(FileNotFoundError, match=r'nowhere\.pth'):
        load_checkpoint(Model(), 'nowhere.pth')


def test_a_broken_file_is_named(tmp_path):
    (tmp_path / 'broken.pth').write_bytes(b'not a checkpoint')
    with pytest.raises(ValueError, match=r"broken.pth' cannot be read: it is not a checkpoint"):
        load_checkpoint(Model(), str(tmp_path / 'broken.pth'))


@pytest.mark.parametrize(
    ('value', 'kind'),
    [
        (np.array([1, 'a'], dtype=object), 'object'),
        (np.zeros(2, [('number', 'f4'), ('anything', 'O')]), 'void96'),
        (np.zeros(2, [('number', 'f4')]), 'void32'),
        (np.array(['2026-01-01'], dtype='M8[D]'), 'datetime64'),
        (np.array('text'), 'str128'),
    ],
    ids=['objects', 'field of objects', 'fields', 'dates', 'text'],
)
@pytest.mark.parametrize('write', [write_torch, write_legacy])
def test_arrays_of_anything_but_numbers_are_refused(tmp_path, write, value, kind):
    """``numpy.dtype`` is a function of the package for ``torch.load``: there is no way to an array of objects."""
    write(value, tmp_path / 'a.pth')
    message = rf'is refused: it references numpy\.dtype\({kind}\), which is not a tensor or plain data'
    with pytest.raises(ValueError, match=message):
        checkpoint_loading.load(str(tmp_path / 'a.pth'))


def test_escape_sequences_in_a_name_are_shown_as_text(tmp_path):
    Path(tmp_path / 'a.pth').write_bytes(b'\x80\x02cos\nsys\x1b[2Jtem\n)R.')
    with pytest.raises(ValueError) as error:
        checkpoint_loading.load(str(tmp_path / 'a.pth'))
    assert str(error.value).isprintable()


def cut(path):
    torch.save({'state_dict': {'a': torch.ones(1000)}}, path)
    path.write_bytes(path.read_bytes()[:-500])


def write_archive(*names):
    def write(path):
        with zipfile.ZipFile(path, 'w') as archive:
            for name in names:
                archive.writestr(name, 'x')

    return write


@pytest.mark.parametrize(
    ('write', 'reason'),
    [
        (Path.touch, 'the file is empty; copy it again'),
        (cut, 'the file is cut off; copy it again'),
        (lambda path: path.write_text('see readme'), 'it is not a checkpoint; it is another kind of file'),
        (lambda path: path.write_text('<html>'), 'it is not a checkpoint; it is a web page or XML'),
        (lambda path: path.write_text('version https://git-lfs.github.com/spec/v1'), 'a pointer of Git LFS'),
        (lambda path: path.write_bytes(b'\x89HDF\r\n'), 'it is an HDF5 file'),
        (lambda path: path.write_bytes(b'\x1f\x8b\x08'), 'it is compressed: unpack it first'),
        (lambda path: path.write_bytes(b'\x08\x08\x12\x07pytorch'), 'it is an ONNX file, or another one in protobuf'),
        (
            lambda path: path.write_bytes(pickle.dumps({'a': 1})),
            'it is cut off, or a plain pickle; nothing was executed',
        ),
        (write_archive('a.txt'), 'it is another kind of zip archive'),
        (write_archive('x/archive_format', 'x/data.pkl'), r'it is a model in the format \.pt2'),
        (lambda path: torch.jit.save(torch.jit.script(torch.nn.Linear(1, 1)), path), 'it is a TorchScript archive'),
    ],
)
def test_the_kind_of_a_file_that_is_no_checkpoint_is_named(tmp_path, write, reason):
    path = tmp_path / 'a.pth'
    write(path)
    with pytest.raises(ValueError, match=f"checkpoint '.*a.pth' cannot be read: .*{reason}"):
        load_checkpoint(Model(), str(path))


def test_a_torchscript_archive_is_refused_before_torch_opens_it(tmp_path, monkeypatch):
    """torch 2.4 returns the module, whatever ``weights_only`` says."""
    path = tmp_path / 'a.pth'
    torch.jit.save(torch.jit.script(torch.nn.Linear(1, 1)), path)
    monkeypatch.setattr(torch, 'load', lambda *_, **__: torch.jit.load(path))
    with pytest.raises(ValueError, match=r"checkpoint '.*a\.pth' cannot be read: it is a TorchScript archive"):
        load_checkpoint(Model(), str(path))


def test_a_file_without_a_name_is_read(tmp_path):
    with tempfile.TemporaryFile() as file:  # its name is a number
        torch.save({'state_dict': {'a': torch.ones(1)}}, file)
        file.seek(0)
        assert checkpoint_loading.load(file)['state_dict']['a'].item() == 1


@pytest.mark.parametrize(('content', 'kind'), [([1], 'list'), (torch.ones(1), 'Tensor'), ({'state_dict': [1]}, 'list')])
def test_a_file_without_weights_by_name_is_refused(tmp_path, content, kind):
    torch.save(content, tmp_path / 'a.pth')
    with pytest.raises(ValueError, match=f'holds no weights by name, but a {kind}$'):
        checkpoint_loading.load(tmp_path / 'a.pth')


def test_downloads_are_read_as_data(tmp_path, monkeypatch):
    """By default torch.hub runs the pickle of a download."""
    marker = tmp_path / 'marker'
    write_torch(Hostile(eval, f'open({str(marker)!r}, "w").close()'), tmp_path / 'remote.pth')
    monkeypatch.setenv('TORCH_HOME', str(tmp_path / 'home'))
    url = (tmp_path / 'remote.pth').as_uri()
    with pytest.raises(ValueError, match=r'remote.pth.* is refused: it references'):
        mmengine_checkpoint.load_from_http(url)
    assert not marker.exists()
