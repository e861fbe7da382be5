"""What ends a run early, as one line with the last good checkpoint."""

import contextlib
import os
import signal
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType

from mmengine.config import Config

from ..errors import InputError, RunStoppedError
from .explanations import explain, first_line, last_line
from .resuming import newest_checkpoint

ENDED = 'another process ended; its own message gives the reason'
SILENT = (
    'another process did not answer within {timeout}, the limit in env_cfg.dist_cfg.timeout: it hangs, or the network '
    'is down; set a longer limit if it is only slow'
)
OTHER_PROCESSES = {  # in torch's errors, and what may be the reason
    'DataLoader worker': 'a worker was killed, out of memory?',
    'Timed out waiting': SILENT,
    'Connection closed by peer': ENDED,
    'Connection reset by peer': ENDED,
    'Broken pipe': ENDED,
}
TRACEBACK_FILE = 'traceback.txt'


class Terminated(BaseException):
    """SIGTERM arrived."""


def _raise(number: int, frame: FrameType | None) -> None:
    """Handle a signal in the process that trains."""
    raise KeyboardInterrupt if number == signal.SIGINT else Terminated


def _leave_to_main() -> None:
    """Let SIGTERM kill a forked worker at once, also while it waits for a lock; leave Ctrl-C to the main process."""
    if signal.getsignal(signal.SIGTERM) is _raise:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        signal.signal(signal.SIGINT, signal.SIG_IGN)


if hasattr(os, 'register_at_fork'):
    os.register_at_fork(after_in_child=_leave_to_main)


@contextmanager
def _signals_raise() -> Iterator[None]:
    """SIGTERM raises ``Terminated`` and Ctrl-C ``KeyboardInterrupt``, in this process and not in its workers."""
    before = {number: signal.signal(number, _raise) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@contextmanager
def ending_well(cfg: Config) -> Iterator[None]:
    """Turn what stops a training into one line that names the last good checkpoint.

    Args:
        cfg: Of the run; its work dir is searched for the checkpoint.

    Raises:
        RunStoppedError: For Ctrl-C (exit code 130), SIGTERM (143), a full disk, missing permission, or another process
            that was killed or does not answer (3), and with its own code where a hook raised it.
    """
    try:
        with _signals_raise(), other_processes_named(cfg):
            yield
    except KeyboardInterrupt:
        raise _stopped(cfg, 'stopped by Ctrl-C', 128 + signal.SIGINT) from None
    except Terminated:
        raise _stopped(cfg, 'stopped by SIGTERM', 128 + signal.SIGTERM) from None
    except OSError as error:
        raise _stopped(cfg, f'{type(error).__name__}: {last_line(error)}') from error
    except RunStoppedError as error:
        raise _stopped(cfg, str(error), error.exit_code) from error


@contextmanager
def other_processes_named(cfg: Config) -> Iterator[None]:
    """Turn an error that another process has caused into one line.

    Args:
        cfg: Of the run; its timeout is named.

    Raises:
        RunStoppedError: For another process that was killed or does not answer.
    """
    try:
        yield
    except RuntimeError as error:
        reason = other_process(error)
        if not reason:
            raise
        timeout = cfg.get('env_cfg', {}).get('dist_cfg', {}).get('timeout')
        limit = f'{timeout} s' if timeout else "torch's default"
        raise RunStoppedError(f'{reason.format(timeout=limit)} ({first_line(error)})') from error


def other_process(error: Exception) -> str | None:
    """What another process has done to cause an error; None if it has another cause."""
    reasons = (reason for text, reason in OTHER_PROCESSES.items() if text in str(error))
    return next(reasons, None) if isinstance(error, RuntimeError) else None


def _stopped(cfg: Config, reason: str, *exit_code: int) -> RunStoppedError:
    saved, _ = newest_checkpoint(cfg)
    where = f'last good checkpoint: {saved.path}; go on with --resume' if saved else 'no checkpoint was saved'
    return RunStoppedError(f'{reason}; {where}', *exit_code)


@contextmanager
def config_errors(cfg: Config, started: Callable[[], bool] = lambda: False) -> Iterator[None]:
    """Turn what a wrong config raises into one line. With a work dir, the traceback is written there.

    Args:
        cfg: The config that is built or run.
        started: Whether its first step is done; an error after that keeps its traceback.

    Raises:
        InputError: For an error before the first step.
    """
    try:
        yield
    except (InputError, RunStoppedError):
        raise
    except Exception as error:  # mmengine, mmdet, torch and OpenCV raise every kind
        of_system = isinstance(error, OSError) and not isinstance(error, FileNotFoundError)
        if started() or of_system or other_process(error):
            raise
        raise InputError(f'the config does not work: {explain(error, cfg)} ({_traceback_place(cfg)})') from error


def _traceback_place(cfg: Config) -> str:
    """Write the traceback of the error to the work dir, and say where it is; without one, say how to see it."""
    if cfg.get('work_dir'):
        path = Path(cfg.work_dir) / TRACEBACK_FILE
        with contextlib.suppress(OSError):
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(traceback.format_exc())
            return f'traceback: {path}'
    return '--traceback shows where'
