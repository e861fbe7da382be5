"""Keeps off the terminal what other packages say and nobody can act on. The log file has it.

Shown is all that this package and the user's own modules print, log and warn of. Of installed packages, mmengine and
mmdet among them, shown are errors, logged warnings that are not in ``NOISE``, the Python warnings of
``WARNING_SOURCES``, and the records of ``RECORD_SOURCES``.
"""

import logging
import os
import re
import site
import sys
import sysconfig
import warnings
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from importlib import import_module
from pathlib import Path
from types import FrameType
from typing import Any

OWN = tuple(f'{Path(__file__).parents[1] / name}{os.sep}' for name in ('mmdet_kpheads', 'mmdet_kpheads_cli'))
STACK = ('mmengine', 'mmcv', 'mmdet')  # may be installed in editable mode, from anywhere
NOISE = re.compile(
    r""""FileClient"\ will\ be\ deprecated|"HardDiskBackend"\ is\ the\ alias  # mmengine calls them itself
    |.*\ is\ skipped\ since\ its\ requires_grad=False                         # one per frozen parameter
    |init_weights\ of\ \w+\ has\ been\ called\ more\ than\ once
    |.*\ is\ not\ a\ meta\ file,\ simply\ parsed                              # a class name
    |The\ prefix\ is\ not\ set\ in\ metric\ class
    |The\ model\ and\ loaded\ state\ dict\ do\ not\ match\ exactly\s+unexpected\ key[^\n]*\s*$  # nothing is missing
    |The\ previous\ best\ checkpoint\ .*\ is\ removed
    |Exp\ name:\ |.*_mAP_copypaste:\ """,
    re.VERBOSE,
)
RECORD_SOURCES = {  # module: the functions whose records of level INFO are shown
    'mmengine.hooks.logger_hook': ('after_train_iter', 'after_val_epoch', 'after_test_epoch'),
    'mmengine.hooks.checkpoint_hook': ('_save_best_checkpoint',),
    'mmengine.hooks.early_stopping_hook': ('after_val_epoch',),
    'mmengine.runner.runner': ('scale_lr', 'resume'),
    'mmdet.evaluation.metrics.coco_metric': ('compute_metrics',),
    'mmdet.evaluation.functional.mean_ap': ('print_map_summary',),
}
TABLES = 'mmdet.evaluation.'  # of which only what begins on a new line is shown
WARNING_SOURCES = (  # in files of installed packages: drivers, workers, what the config says
    'torch/cuda/',
    'torch/utils/data/',
    'mmengine/config/',
    'mmengine/hooks/early_stopping_hook.py',
    'mmengine/utils/misc.py',
)
PRINTERS = (  # modules that print what belongs into a log; the first one prints during imports
    'mmengine.logging.logger',
    'pycocotools.coco',
    'pycocotools.cocoeval',
    'mmdet.datasets.api_wrappers.coco_api',
    'mmdet.datasets.api_wrappers.cocoeval_mp',
)
RELAYS = (__name__, 'logging', 'mmengine.logging.logger')  # modules that pass on what another one says


def is_foreign(filename: str) -> bool:
    """Whether a source file is of Python or an installed package other than this one."""
    if filename.startswith(OWN):
        return False
    folders = [*site.getsitepackages(), site.getusersitepackages(), *sysconfig.get_paths().values()]
    folders += [os.path.dirname(sys.modules[name].__file__ or '') for name in STACK if name in sys.modules]
    return filename.startswith(('<frozen ', *(folder + os.sep for folder in folders if folder)))


def speaker() -> FrameType:
    """The frame that prints or logs."""
    frame = sys._getframe(1)
    while frame.f_back and frame.f_globals.get('__name__') in RELAYS:
        frame = frame.f_back
    return frame


def is_shown(record: logging.LogRecord) -> bool:
    """Whether a record of mmengine's logger is for the terminal; called while it is logged."""
    text = record.getMessage()
    if record.levelno >= logging.ERROR:
        return True
    if NOISE.match(text):
        return False
    frame = speaker()
    if record.levelno >= logging.WARNING or not is_foreign(frame.f_code.co_filename):
        return True
    module = str(frame.f_globals.get('__name__'))
    is_source = frame.f_code.co_name in RECORD_SOURCES.get(module, ())
    return is_source and (text.startswith('\n') or not module.startswith(TABLES))


class Brief(logging.Formatter):
    """Leaves out the name and level of a logger in ordinary lines.

    Args:
        other: Formats warnings and errors.
    """

    def __init__(self, other: logging.Formatter | None) -> None:
        super().__init__('%(asctime)s  %(message)s', '%m/%d %H:%M:%S')
        self.other = other or self

    def format(self, record: logging.LogRecord) -> str:
        """Format a record."""
        return super().format(record) if record.levelno == logging.INFO else self.other.format(record)


class Terminal:
    """Decides what of prints, warnings and mmengine's log is shown; the rest goes into the log file.

    Args:
        is_main: False in the other processes of a distributed run, which show errors only.
    """

    def __init__(self, is_main: bool) -> None:
        self.is_main = is_main
        self.stdout = sys.stdout
        self.held: list[logging.LogRecord] = []  # until there is a log file
        self.files: list[logging.Handler] = []
        self.consoles: list[tuple[logging.Handler, logging.Formatter | None]] = []

    def print(self, *values: Any, **options: Any) -> None:
        """Replaces ``print`` in modules of ``PRINTERS``."""
        if sys.stdout is not self.stdout or options.get('file'):  # redirected on purpose
            print(*values, **options)
            return
        text, caller, level = ' '.join(map(str, values)), sys._getframe(1), logging.INFO
        if caller.f_code.co_name == 'print_log':  # of mmengine, which prints where it has no logger
            level = caller.f_locals.get('level', level)
        actionable = level >= logging.WARNING and not NOISE.match(text)
        if not actionable and is_foreign(speaker().f_code.co_filename):
            self.write(level, text)
        elif self.is_main:
            print(text, **options)

    def show_warning(
        self,
        message: Warning | str,
        category: type[Warning],
        filename: str,
        lineno: int,
        file: Any = None,
        line: str | None = None,
    ) -> None:
        """Replaces ``warnings.showwarning``."""
        own = category.__module__ == 'mmdet_kpheads.errors'  # raised in any file: mmengine builds the modules
        text = (
            f'{category.__name__}: {message}\n' if own else warnings.formatwarning(message, category, filename, lineno)
        )
        deprecated = issubclass(category, DeprecationWarning | PendingDeprecationWarning | FutureWarning)
        known = not deprecated and any(f'/{source}' in Path(filename).as_posix() for source in WARNING_SOURCES)
        if own or known or not is_foreign(filename):
            if self.is_main:
                sys.stderr.write(text)
        else:
            self.write(logging.WARNING, text.rstrip())

    def write(self, level: int, text: str) -> None:
        """Write a line into the log file, or keep it for the first one."""
        record = logging.LogRecord('mmdet_kpheads', level, __file__, 0, text, (), None)
        for handler in self.files:
            if level >= handler.level:
                handler.handle(record)
        if not self.files:
            self.held.append(record)

    def adopt(self, logger: logging.Logger) -> None:
        """Filter what a logger of mmengine shows, and note its log file."""
        files = [handler for handler in logger.handlers if isinstance(handler, logging.FileHandler)]
        for handler in logger.handlers:
            if handler not in files:
                self.consoles.append((handler, handler.formatter))
                handler.addFilter(is_shown)
                handler.setFormatter(Brief(handler.formatter))
        if files:
            self.files = [*files]
            held, self.held = self.held, []
            for record in held:
                self.write(record.levelno, record.getMessage())

    def release(self) -> None:
        """Leave the loggers as they were."""
        for handler, formatter in self.consoles:
            handler.removeFilter(is_shown)
            handler.setFormatter(formatter)


@contextmanager
def quiet(is_main: bool = True) -> Iterator[Terminal]:
    """Filter warnings, and what is printed while the package is imported; ``quiet_run`` follows."""
    terminal = Terminal(is_main)
    with warnings.catch_warnings():
        warnings.showwarning = terminal.show_warning
        with suppress(ImportError):  # the package reports a broken stack better
            import_module(PRINTERS[0])
        with replaced_print(PRINTERS[:1], terminal.print):
            yield terminal


@contextmanager
def quiet_run(terminal: Terminal) -> Iterator[None]:
    """Filter what is printed in a run, and the loggers of mmengine, those there are and those that are made."""
    from mmengine.logging import MMLogger

    original = MMLogger.__init__

    def init(logger: MMLogger, *args: Any, **options: Any) -> None:
        original(logger, *args, **options)
        terminal.adopt(logger)

    for logger in MMLogger._instance_dict.values():
        terminal.adopt(logger)
    MMLogger.__init__ = init
    own = [] if terminal.is_main else [name for name in sys.modules if name.startswith('mmdet_kpheads.')]
    try:
        with replaced_print(PRINTERS[1:], terminal.print), replaced_print(own, lambda *values, **options: None):
            yield
    finally:
        MMLogger.__init__ = original
        terminal.release()


@contextmanager
def replaced_print(names: Iterable[str], function: Callable) -> Iterator[None]:
    """Give some modules, if they are imported, another ``print``. The builtin one stays: numba registers it."""
    modules = [sys.modules[name] for name in names if name in sys.modules]
    for module in modules:
        vars(module)['print'] = function
    try:
        yield
    finally:
        for module in modules:
            vars(module).pop('print', None)
