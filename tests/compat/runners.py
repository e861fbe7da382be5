"""A small runner of mmengine whose checkpoints hold everything that mmengine pickles."""

from typing import Any

import numpy as np
import torch
from mmengine.hooks import EMAHook
from mmengine.model import BaseModel
from mmengine.runner import Runner
from torch import nn

SCHEDULES: list[dict] = [
    {'type': 'LinearLR', 'start_factor': 0.1, 'by_epoch': False, 'end': 4},
    {'type': 'MultiStepLR', 'milestones': [1, 2]},
    {'type': 'CosineAnnealingLR', 'T_max': 3},
    {'type': 'PolyLR', 'end': 3},
    {'type': 'OneCycleLR', 'eta_max': 0.1, 'total_steps': 20, 'by_epoch': False},
    {'type': 'OneCycleLR', 'eta_max': 0.1, 'total_steps': 20, 'by_epoch': False, 'anneal_strategy': 'linear'},
    {'type': 'CosineRestartLR', 'periods': [2, 3], 'restart_weights': [1, 1], 'eta_min': 0.0},
    {'type': 'ReduceOnPlateauLR', 'monitor': 'score', 'rule': 'greater'},
]


class Model(BaseModel):
    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(2, 1)

    def forward(self, inputs, data_samples=None, mode='tensor'):
        out = self.layer(inputs)
        return {'loss': out.square().mean()} if mode == 'loss' else [out]


class Score:
    """The methods of an evaluator whose metrics are NumPy numbers."""

    def process(self, data_samples, data_batch=None):
        pass

    def evaluate(self, size):
        return {'score': np.float64(0.5)}


def runner(work_dir, schedule, epochs, **options):
    torch.manual_seed(0)
    data: Any = [{'inputs': torch.randn(2)} for _ in range(4)]
    loader: Any = torch.utils.data.DataLoader(data, batch_size=2)
    return Runner(
        model=Model(),
        work_dir=str(work_dir),
        train_dataloader=loader,
        train_cfg={'by_epoch': True, 'max_epochs': epochs, 'val_interval': 1},
        val_dataloader=loader,
        val_cfg={},
        val_evaluator=[],
        optim_wrapper={'optimizer': {'type': 'AdamW', 'lr': 0.01}},
        param_scheduler=dict(schedule),
        default_hooks={
            'checkpoint': {'type': 'CheckpointHook', 'interval': 1, 'save_best': 'score', 'rule': 'greater'}
        },
        custom_hooks=[EMAHook()],
        default_scope='mmengine',
        experiment_name=f'test_{np.random.default_rng().integers(1 << 60)}',  # message hubs are kept by name
        **options,
    )
