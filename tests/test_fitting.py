"""What of a checkpoint fits a model."""

import pytest
import torch
from mmengine.model import BaseTTAModel, MMDistributedDataParallel
from torch import nn

from mmdet_kpheads.errors import InputError
from mmdet_kpheads.fitting import Fit, inner_model, load_fitting, load_whole, weights_of


def network():
    return nn.Sequential(nn.Linear(2, 3), nn.BatchNorm1d(3))


def filled(value=7.0):
    return {name: torch.full_like(tensor, value) for name, tensor in network().state_dict().items()}


def test_all_fits_and_is_loaded():
    model = network()
    assert load_fitting(model, filled()) == Fit([], [], {})
    assert all((value == 7).all() for value in model.state_dict().values())
    assert Fit([], [], {}).differences() == ''


def test_what_does_not_fit_is_named_and_the_rest_is_loaded():
    model, weights = network(), filled()
    before = model[0].bias.clone()
    weights['0.bias'], weights['2.weight'] = torch.ones(4), torch.ones(1)
    del weights['1.running_mean']
    fit = load_fitting(model, weights)
    assert fit == Fit(['1.running_mean'], ['2.weight'], {'0.bias': '(4,) and must be (3,)'})
    assert fit.differences() == (
        "1 missing, ('1.running_mean'); 1 unexpected, ('2.weight'); 1 with another shape, "
        "('0.bias is (4,) and must be (3,)')"
    )
    assert torch.equal(model[0].bias, before) and (model[0].weight == 7).all()


def test_counters_and_averages_of_mmdet_2_do_not_count():
    weights = filled() | {'ema_0_weight': torch.ones(1), '9.num_batches_tracked': torch.ones(())}
    del weights['1.num_batches_tracked']
    assert load_fitting(network(), weights) == Fit([], [], {})


@pytest.mark.parametrize('value', ['text', None, 3, [1.0]])
def test_a_value_that_is_no_tensor_does_not_fit(value):
    fit = load_fitting(network(), filled() | {'0.weight': value})
    assert fit.shapes == {'0.weight': '() and must be (3, 2)'} and not fit.missing


def test_names_that_a_module_renames_fit():
    class Renamed(nn.Linear):
        def _load_from_state_dict(self, state_dict, prefix, *args):
            if f'{prefix}old' in state_dict:
                state_dict[f'{prefix}weight'] = state_dict.pop(f'{prefix}old')
            super()._load_from_state_dict(state_dict, prefix, *args)

    assert load_fitting(Renamed(2, 1, bias=False), {'old': torch.ones(1, 2)}) == Fit([], [], {})


def test_weights_are_found_under_both_forms():
    assert weights_of({'a': 1}) == weights_of({'state_dict': {'module.a': 1}, 'meta': {}}) == {'a': 1}


def test_the_model_inside_a_wrapper_is_compared():
    class TTA(BaseTTAModel):
        def merge_preds(self, data_samples_list):
            return data_samples_list

    class Data(nn.Module):
        data_preprocessor = None

        def test_step(self, data):
            return data

    inner = Data()
    assert inner_model(TTA(inner)) is inner and inner_model(inner) is inner
    wrapped = MMDistributedDataParallel.__new__(MMDistributedDataParallel)
    nn.Module.__init__(wrapped)
    wrapped.module = inner
    assert inner_model(wrapped) is inner


def test_a_checkpoint_that_must_fit_is_refused_by_name():
    load_whole(network(), {'state_dict': filled()}, 'a.pth', 'c.py')
    message = (
        r"^checkpoint a\.pth does not fit c\.py: 1 missing, \('0\.bias'\)\. Take the config that it was trained with$"
    )
    weights = filled()
    del weights['0.bias']
    with pytest.raises(InputError, match=message):
        load_whole(network(), {'state_dict': weights}, 'a.pth', 'c.py')
    with pytest.raises(InputError, match='does not fit the config: 1 unexpected'):
        load_whole(network(), filled() | {'more': torch.ones(1)}, 'a.pth', None)
