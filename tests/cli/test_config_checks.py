"""Keys that nothing reads and numbers that make no sense are refused; valid configs of mmdet and of ours are not."""

import ast
from pathlib import Path

import mmdet
import pytest
from mmengine.config import Config

from mmdet_kpheads.cli import config_checks
from mmdet_kpheads.compat.config_bases import configs_root
from mmdet_kpheads.errors import InputError

OF_MMDET = Path(mmdet.__file__).parent / '.mim/configs'


@pytest.mark.parametrize(
    ('key', 'near'),
    [
        ('optim_wraper', 'optim_wrapper'),
        ('trian_cfg', 'train_cfg'),
        ('train_dataloder', 'train_dataloader'),
        ('param_schedulers', 'param_scheduler'),
        ('custom_hook', 'custom_hooks'),
        ('modell', 'model'),
        ('load_form', 'load_from'),
    ],
)
def test_a_misspelled_key_is_named_with_the_nearest(key, near):
    with pytest.raises(InputError, match=f"the key '{key}', which nothing reads; did you mean '{near}'?"):
        config_checks.require_spelling(Config({key: {}}))


def test_no_top_level_name_in_the_configs_of_mmdet_and_of_ours_is_refused(capsys):
    names = set()
    for path in [*configs_root().rglob('*.py'), *OF_MMDET.rglob('*.py')]:
        nodes = ast.walk(ast.Module(ast.parse(path.read_text()).body, []))
        names |= {node.id for node in nodes if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store)}
    assert len(names) > 50
    config_checks.require_spelling(Config(dict.fromkeys(names, 1)))
    assert not capsys.readouterr().err


@pytest.mark.parametrize('path', sorted(configs_root().glob('*/*_custom*.py')), ids=lambda path: path.stem)
def test_templates_give_no_warning(path, capsys):
    config_checks.require_spelling(Config.fromfile(path))
    assert not capsys.readouterr().err


def test_data_of_mmdet_2_is_told_from_a_variable(capsys):
    config_checks.require_spelling(Config({'data': {'metainfo': {}}}))
    assert not capsys.readouterr().err
    config_checks.require_spelling(Config({'data': {'samples_per_gpu': 2}}))
    assert "nothing reads 'data' of mmdet 2" in capsys.readouterr().err


def test_a_variable_with_the_value_of_the_new_key_is_no_key_of_mmdet_2(capsys):
    sgd = {'type': 'SGD', 'lr': 0.1}
    config_checks.require_spelling(Config({'optimizer': sgd, 'optim_wrapper': {'optimizer': sgd}}))
    assert not capsys.readouterr().err
    config_checks.require_spelling(Config({'optimizer': {'type': 'Adam'}, 'optim_wrapper': {'optimizer': sgd}}))
    assert (
        capsys.readouterr().err == "warning: nothing reads 'optimizer' of mmdet 2; it is now optim_wrapper.optimizer\n"
    )


@pytest.mark.parametrize('key', ['model.x', 'train_cfg.max_epochs', 'tta_model.type', 'find_unused_parameters'])
def test_options_that_are_read_pass(key):
    config_checks.require_read([key], [])


@pytest.mark.parametrize(
    ('key', 'given', 'message'),
    [
        ('modle.x', [], "'modle'; did you mean 'model'?"),
        ('xyz', [], "nothing reads the top-level key 'xyz'$"),
        ('image_size', ['image_size'], "'image_size'; it is a variable, and what uses it is set already"),
    ],
)
def test_options_that_nothing_reads_are_refused(key, given, message):
    with pytest.raises(InputError, match=message):
        config_checks.require_read([key], given)
    config_checks.require_read([key], [*given, 'runner_type'])  # another runner may read it


def test_a_validation_is_whole_or_absent():
    keys = ('val_dataloader', 'val_cfg', 'val_evaluator')
    config_checks.require_loop(Config(dict.fromkeys(keys)), 'val')
    config_checks.require_loop(Config({key: {} for key in keys}), 'val')
    with pytest.raises(InputError, match=r'config has no val_cfg, no val_evaluator: set all of'):
        config_checks.require_loop(Config({'val_dataloader': {}}), 'val')


@pytest.mark.parametrize(
    ('section', 'key', 'least'),
    [
        ('train_cfg', 'max_epochs', 1),
        ('train_cfg', 'max_iters', 1),
        ('train_cfg', 'val_interval', 1),
        ('train_dataloader', 'batch_size', 1),
        ('test_dataloader', 'num_workers', 0),
    ],
)
def test_the_least_number_passes_and_what_is_below_does_not(section, key, least):
    config_checks.require_numbers(Config({section: {key: least}}))
    for value in (least - 1, 'two', 1.5, None):
        with pytest.raises(InputError, match=rf'{section}\.{key} must be a whole number of at least {least}, but is '):
            config_checks.require_numbers(Config({section: {key: value}}))


def test_an_optimizer_of_torch_is_known_and_another_is_not():
    config_checks.require_optimizer(Config({'optim_wrapper': {'optimizer': {'type': 'AdamW'}}}))
    config_checks.require_optimizer(Config({'optim_wrapper': {'constructor': 'two optimizers'}}))
    with pytest.raises(InputError, match=r"optim_wrapper\.optimizer: type 'Addam' is not known; did you mean 'Adam'?"):
        config_checks.require_optimizer(Config({'optim_wrapper': {'optimizer': {'type': 'Addam'}}}))
