"""What an error means for a config."""

import pytest
import torch
from mmdet.registry import HOOKS, MODELS, OPTIMIZERS
from mmengine.config import Config
from torch import nn

from mmdet_kpheads.cli.explanations import explain, first_line, last_line, unknown_type, where


def raised(function, *arguments):
    with pytest.raises(Exception) as error:
        function(*arguments)
    return error.value


@pytest.mark.parametrize(
    ('name', 'registry', 'hint'),
    [
        ('CornerNetHead', MODELS, "did you mean 'mmdet_kpheads.CornerNetHead'?"),
        ('mmdet.CenterNetHed', MODELS, "did you mean '(mmdet_kpheads.)?CenterNetHead'?"),
        ('CenterNet', MODELS, "default_scope must be 'mmdet'"),
        ('Addam', OPTIMIZERS, "did you mean 'Adam'?"),
        ('EMAHok', HOOKS, "did you mean 'EMAHook'?"),
        ('Zyx', MODELS, 'is the module that registers it in custom_imports?'),
        ('Zyx', None, 'is the module that registers it in custom_imports?'),
    ],
)
def test_an_unknown_type_is_named_with_the_nearest(name, registry, hint):
    text = unknown_type(name, registry)
    assert text.startswith(f'type {name!r} is not known; ')
    assert text.endswith(hint) or '(mmdet_kpheads.)?' in hint


def test_the_place_of_an_unknown_type_is_named():
    cfg = Config({'model': {'bbox_head': {'type': 'Zyx'}, 'necks': [{'type': 'FPN'}, {'type': 'Xyz'}]}})
    assert explain(raised(MODELS.build, dict(type='Zyx')), cfg).startswith("model.bbox_head: type 'Zyx' is not known")
    assert explain(raised(MODELS.build, dict(type='Xyz')), cfg).startswith("model.necks.1: type 'Xyz' is not known")


@pytest.mark.parametrize(
    ('head', 'text'),
    [
        ({'type': 'mmdet_kpheads.CenterNetHead', 'feat_levle': 0}, "'feat_levle'; did you mean 'feat_level'?"),
        ({'type': 'mmdet_kpheads.CenterNetHead', 'in_chanels': 0}, "'in_chanels'; did you mean 'in_channels'?"),
        (
            {'type': 'mmdet_kpheads.CenterNetHead', 'anchor_generator': 0},
            "'anchor_generator'; if a base config sets it, write bbox_head=dict(_delete_=True, ...)",
        ),
    ],
)
def test_an_unknown_argument_is_named_with_its_place(head, text):
    cfg = Config({'model': {'backbone': {'type': 'ResNet'}, 'bbox_head': head}})
    key = next(key for key in head if key != 'type')
    error = TypeError(f"HeatmapOptions.__init__() got an unexpected keyword argument '{key}'")
    assert explain(error, cfg) == f'model.bbox_head: mmdet_kpheads.CenterNetHead does not take {text}'


def test_both_forms_of_mmengines_message_are_known():
    for registry in ('mmdet::parameter scheduler', 'parameter scheduler'):
        error = KeyError(f'LinearLRR is not in the {registry} registry. Please check whether ...')
        assert explain(error, Config()) == "type 'LinearLRR' is not known; did you mean 'LinearLR'?"


def test_the_dict_of_the_type_that_complains_comes_first():
    cfg = Config({'model': {'first': {'type': 'A', 'x': 1}, 'second': {'type': 'scope.B', 'x': 1}}})
    error = TypeError("B.__init__() got an unexpected keyword argument 'x'")
    assert explain(error, cfg).startswith("model.second: scope.B does not take 'x'")


def test_the_layer_of_another_number_of_channels_is_named():
    class Model(nn.Module):
        def __init__(self):
            super().__init__()
            self.neck = nn.Sequential(nn.ReLU(), nn.Conv2d(3, 4, 1))

        def forward(self, x):
            return self.neck(x)

    model = Model()
    text = explain(raised(model, torch.zeros(1, 5, 2, 2)), Config())
    assert text == 'neck.1 of the model takes 3 channels, but gets 5: set in_channels of model.neck'
    text = explain(raised(model, 'text'), Config())
    assert text.startswith('TypeError in neck.0 of the model: relu(): ')


def test_a_long_message_is_one_line_of_limited_length():
    assert explain(ValueError('a ' * 1000 + '\nb'), Config()) == f'ValueError: {"a " * 147}[...]'
    assert explain(ValueError(''), Config()) == 'ValueError: no message'


def test_first_and_last_lines():
    error = RuntimeError('Caught in worker\n\nTraceback\n  no a.jpg\n')
    assert (first_line(error), last_line(error)) == ('Caught in worker', 'no a.jpg')
    assert first_line(KeyError('a')) == 'a'
    assert first_line(SyntaxError('never closed', ('f', 3, 1, 'a = ('))) == 'never closed'


def test_file_and_line_of_a_config_are_named(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / 'base.py').write_text('a = 1\n\nb = a.c\n')
    (tmp_path / 'broken.py').write_text('a = 1\nb = (\n')
    (tmp_path / 'own.py').write_text("_base_ = 'base.py'\n")
    (tmp_path / 'over.py').write_text("_base_ = 'broken.py'\n")
    assert where(raised(Config.fromfile, 'own.py')) == 'base.py, line 3: '
    assert where(raised(Config.fromfile, 'over.py')) == 'broken.py, line 2: '
    assert where(raised(Config.fromfile, 'nowhere.py')) == ''
    assert where(raised(compile, 'a = (', '<unknown>', 'exec')) == ''
