"""Memory that is freed stays in the process; imports run without garbage collection."""

import gc
import resource
import subprocess
import sys

import pytest

from mmdet_kpheads_cli import memory

FAULTS = """
import ctypes, resource
from mmdet_kpheads_cli.memory import keep_freed_memory
libc = ctypes.CDLL(None)
libc.malloc.restype, libc.malloc.argtypes, libc.free.argtypes = ctypes.c_void_p, [ctypes.c_size_t], [ctypes.c_void_p]
libc.memset.argtypes = [ctypes.c_void_p, ctypes.c_int, ctypes.c_size_t]
def faults_of_a_step():
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    blocks = [libc.malloc(20 << 20) for _ in range(8)]
    for block in blocks: libc.memset(block, 1, 20 << 20)
    for block in blocks: libc.free(block)
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before
steps = [faults_of_a_step() for _ in range(3)]
assert keep_freed_memory()
kept = [faults_of_a_step() for _ in range(3)]
print(steps[-1], kept[-1])
"""


@pytest.mark.skipif(sys.platform != 'linux', reason='of glibc')
def test_a_second_step_finds_the_pages_of_the_first():
    """Eight blocks of 20 MiB: without the setting their pages come from the system in every step."""
    found = subprocess.run([sys.executable, '-c', FAULTS], capture_output=True, text=True, check=True).stdout
    without, kept = map(int, found.split())
    pages = 8 * (20 << 20) // resource.getpagesize()
    assert kept < pages / 100
    assert without > 10 * max(kept, 1)


@pytest.mark.parametrize('name', memory.SETTINGS)
def test_a_setting_of_the_user_stands(name, monkeypatch):
    monkeypatch.setenv(name, '1')
    assert not memory.keep_freed_memory()


def test_another_c_library_is_left_alone(monkeypatch):
    monkeypatch.setattr(memory.ctypes, 'CDLL', lambda _: object())
    assert not memory.keep_freed_memory()


def test_imports_collect_no_garbage_and_the_rest_does():
    with memory.no_garbage_collection():
        assert not gc.isenabled()
        made: list[list[int]] = [[] for _ in range(100)]
    assert gc.isenabled()
    assert not any(made[0] is kept for kept in gc.get_objects())  # frozen
    gc.unfreeze()


def test_a_failed_import_turns_the_collection_on_again():
    with pytest.raises(ImportError, match='no module'), memory.no_garbage_collection():
        raise ImportError('no module')
    assert gc.isenabled()
    gc.unfreeze()
