"""Reports what of a checkpoint does not fit the model that it is loaded into."""

from typing import Any

from mmengine.hooks import Hook
from mmengine.runner import Runner

from ..errors import InputError, listed
from ..fitting import COUNTER, inner_model, load_fitting, weights_of
from ..registry import HOOKS


@HOOKS.register_module()
class LoadingReportHook(Hook):
    """Names the weights that keep their initial values, in one line of the log; mmengine only prints them."""

    def after_load_checkpoint(self, runner: Runner, checkpoint: dict[str, Any]) -> None:
        """Load what fits, as mmengine does next, and name the rest.

        Raises:
            InputError: If no weight fits.
        """
        weights, model = weights_of(checkpoint), inner_model(runner.model)
        fit = load_fitting(model, weights)
        own = [name for name in model.state_dict() if not name.endswith(COUNTER)]
        initial = [name for name in own if name in {*fit.missing, *fit.shapes}]
        if len(initial) == len(own):
            raise InputError(
                f'no weight of the checkpoint {runner._load_from} fits the {type(model).__name__} of the config: it '
                f'has {listed(weights, 2)}, and the model {listed(own, 2)}; weights of a backbone go into its init_cfg'
            )
        if initial:
            fitting = len(own) - len(initial)
            runner.logger.info(f'{fitting} of {len(own)} weights are loaded; not loaded: {listed(initial)}')
