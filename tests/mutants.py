"""Mutation testing of one folder: ``make mutants FOLDER=functional``.

mutmut changes one thing at a time and runs the tests that reach the function; ``tests/mutants.toml`` says which tests
belong to a folder and lists the mutants that change nothing. The report names every other mutant that no test noticed.

    python -P tests/mutants.py functional             the whole folder, from the start
    python -P tests/mutants.py functional 'topk*'     some modules of it, in addition to what ran before
    python -P tests/mutants.py functional --again     what was not noticed or not tried, with the `further` tests too
    python -P tests/mutants.py functional --report    no run
"""

import os
import re
import shutil
import sys
from argparse import ArgumentParser
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

import tomllib

PACKAGE = 'mmdet_kpheads'
MUTANTS = Path('mutants')  # where mutmut works, in the current folder
TABLE = Path(__file__).with_suffix('.toml')
NOTICED, NOT_TRIED = ('killed', 'timeout', 'segfault'), 'not checked'
# decorators that do not hide a function from mutmut, which by itself passes over every function that has one
TRANSPARENT = {
    'torch.no_grad()',
    'torch.enable_grad()',
    'torch.compiler.disable',
    'torch.autograd.function.once_differentiable',
    'staticmethod',
    'classmethod',
}


def main() -> None:
    parser = ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('folder', choices=set(table()) - {'arguments'})
    parser.add_argument('modules', nargs='*')
    parser.add_argument('--again', action='store_true')
    parser.add_argument('--report', action='store_true')
    parser.add_argument('--workers', type=int, default=os.cpu_count())
    arguments = parser.parse_intermixed_args()
    configure(arguments.folder, arguments.again)
    if not arguments.report:
        names = [f'{PACKAGE}.{arguments.folder}.{module}' for module in arguments.modules]
        if arguments.again:
            (MUTANTS / 'mutmut-stats.json').unlink(missing_ok=True)  # the tests changed; the results stay
            names = [name for name, _, _ in survivors(arguments.folder)[1]] + of_status(NOT_TRIED)
        elif not names:
            shutil.rmtree(MUTANTS, ignore_errors=True)
        run(names, arguments.workers)
    sys.exit(report(arguments.folder))


def table() -> dict[str, Any]:
    """What ``mutants.toml`` says of each folder."""
    return tomllib.loads(TABLE.read_text())


def configure(folder: str, again: bool = False) -> None:
    """Point mutmut, which has one configuration per project, at a folder and its tests."""
    import libcst
    from mutmut import configuration
    from mutmut.mutation import file_mutation

    os.environ.setdefault('HYPOTHESIS_PROFILE', 'few')
    of_folder, general = table()[folder], configuration.config()
    configuration._config = replace(
        general,
        only_mutate=[f'{PACKAGE}/{folder}/*.py'],
        do_not_mutate=[f'{PACKAGE}/{folder}/{name}' for name in of_folder.get('leave_out', ())],
        pytest_add_cli_args=general.pytest_add_cli_args + of_folder.get('options', []),
        pytest_add_cli_args_test_selection=of_folder['tests'] + again * of_folder.get('further', []),
    )

    class Visitor(file_mutation.MutationVisitor):
        """Also looks into functions whose decorators do not matter."""

        def _skip_node_and_children(self, node: libcst.CSTNode) -> bool:
            if isinstance(node, libcst.FunctionDef):
                code = [libcst.Module([]).code_for_node(decorator.decorator) for decorator in node.decorators]
                bound = (
                    code in (['classmethod'], []) or 'classmethod' not in code
                )  # mutmut binds the class for one alone
                return not (bound and set(code) <= TRANSPARENT)
            return super()._skip_node_and_children(node)

    file_mutation.MutationVisitor = Visitor  # type: ignore[misc]


def run(names: list[str], workers: int) -> None:
    """Test the mutants of these names, all without one."""
    from mutmut.__main__ import _run

    _run(names, workers)


def statuses() -> dict[str, str]:
    """What became of each mutant."""
    from mutmut.__main__ import collect_source_file_mutation_data
    from mutmut.stats import status_by_exit_code

    mutants, _ = collect_source_file_mutation_data(mutant_names=[])
    return {name: status_by_exit_code[code] for _, name, code in mutants}


def of_status(*wanted: str) -> list[str]:
    """Names of the mutants of these statuses."""
    return [name for name, status in statuses().items() if status in wanted]


def changes(name: str) -> list[str]:
    """The lines of a mutant that differ, before and after, without indentation."""
    from mutmut.mutation.diff_apply import get_diff_for_mutant

    lines = get_diff_for_mutant(name).splitlines()[2:]
    return [line[0] + ' ' + line[1:].strip() for line in lines if line[:1] in ('-', '+')]


def is_default(lines: list[str], arguments: Iterable[str]) -> bool:
    """Whether a mutant only leaves out one of these arguments, or passes None or False for it.

    An argument may carry the function that it belongs to, as in ``zip.strict``.
    """
    if len(lines) > 2:
        return False
    before, after = (line[2:] for line in (*lines, '+ ')[:2])  # an argument on a line of its own leaves nothing
    for argument in arguments:
        function, _, name = argument.rpartition('.')
        if function and f'{function}(' not in before:
            continue
        without = re.compile(rf',? *\b{name}=[^,()]*')
        kept, left = (without.sub('', line).replace(', )', ')').strip(', ') for line in (before, after))
        if kept == left and not re.search(rf'\b{name}=[-+]?[\dT]', after):
            return True
    return False


def survivors(folder: str) -> tuple[int, list[tuple[str, str, list[str]]]]:
    """How many that nothing noticed are listed as equivalent; name, status and changed lines of the others."""
    explained = {
        (entry['module'], line) for entry in table()[folder].get('equivalent', ()) for line in entry['becomes']
    }
    equivalent, others = 0, []
    for name, status in statuses().items():
        if status in (*NOTICED, NOT_TRIED):
            continue
        module, lines = name.split('.')[2], changes(name)
        listed = any((module, line.removeprefix('+ ')) in explained for line in lines)
        if listed or is_default(lines, table()['arguments']):
            equivalent += 1
        else:
            others.append((name, status, lines))
    return equivalent, others


def report(folder: str) -> int:
    """Print every unexplained survivor and the counts; 1 if less than 95 % of what changes something was noticed."""
    equivalent, others = survivors(folder)
    for name, status, lines in others:
        print(f'{name.removeprefix(PACKAGE + ".")}: {status}', *lines, sep='\n    ')
    noticed = len(of_status(*NOTICED))
    total = noticed + equivalent + len(others)
    share = noticed / max(1, noticed + len(others))
    print('folder, mutants, noticed, equivalent, survivors, percent')
    print(f'{folder}, {total}, {noticed}, {equivalent}, {len(others)}, {share:.1%}')
    return int(share < 0.95)


if __name__ == '__main__':
    main()
