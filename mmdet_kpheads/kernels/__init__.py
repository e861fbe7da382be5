"""Faster versions of the formulas in ``functional/``, one module per backend; ``mmdet_kpheads.backends`` chooses.

Each module has a table ``VERSIONS`` from the name of a formula to its version, which has the same signature and, up to
rounding, the same values and gradients. The folder can be deleted: the package then runs the formulas themselves.
A version stays only while a benchmark shows what it buys (docs/benchmarks.md).
"""

from . import compiled, cpu, exportable

VERSIONS = {'cpu': cpu.VERSIONS, 'compiled': compiled.VERSIONS, 'export': exportable.VERSIONS}

__all__ = ['VERSIONS']
