"""Reports what of a checkpoint does not fit the model that it is loaded into."""

from typing import Any

from mmengine.hooks import Hook
from mmengine.model import is_model_wrapper
from mmengine.runner import Runner

from ..errors import InputError, listed
from ..registry import HOOKS

COUNTER = 'num_batches_tracked'  # of batch norm; old checkpoints lack it


@HOOKS.register_module()
class LoadingReportHook(Hook):
    """Names the weights that keep their initial values, in one line of the log; mmengine only prints them."""

    def after_load_checkpoint(self, runner: Runner, checkpoint: dict[str, Any]) -> None:
        """Compare names and shapes before mmengine loads the weights.

        Raises:
            InputError: If no weight fits.
        """
        given = {
            name.removeprefix('module.'): value for name, value in checkpoint.get('state_dict', checkpoint).items()
        }
        model = runner.model.module if is_model_wrapper(runner.model) else runner.model
        own = {name: value.shape for name, value in model.state_dict().items() if not name.endswith(COUNTER)}
        initial = [name for name, shape in own.items() if getattr(given.get(name), 'shape', None) != shape]
        if len(initial) == len(own):
            raise InputError(
                f'no weight of the checkpoint {runner._load_from} fits the {type(model).__name__} of the config: it '
                f'has {listed(given, 2)}, and the model {listed(own, 2)}; weights of a backbone go into its init_cfg'
            )
        if initial:
            fitting = len(own) - len(initial)
            runner.logger.info(f'{fitting} of {len(own)} weights are loaded; not loaded: {listed(initial)}')
