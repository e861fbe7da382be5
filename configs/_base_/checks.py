# Imports the package, checks classes, ground truth and losses, and saves the random state in checkpoints.
custom_imports = dict(imports=['mmdet_kpheads'], allow_failed_imports=False)  # for mmdet's own scripts
custom_hooks = [
    dict(type='mmdet_kpheads.ClassCheckHook'),
    dict(type='mmdet_kpheads.GroundTruthCheckHook'),
    dict(type='mmdet_kpheads.FiniteLossHook'),
    dict(type='mmdet_kpheads.ResumeHook'),
]
