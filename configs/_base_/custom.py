# What the templates for custom datasets in COCO format share; the best checkpoint is kept.
_base_ = ['./datasets/custom.py', './schedules/adamw_cosine.py', './default_runtime.py']

default_hooks = dict(logger=dict(interval=10), checkpoint=dict(save_best='auto'))
