# Imports the package and checks classes and ground truth before training.
custom_imports = dict(imports=['mmdet_kpheads'], allow_failed_imports=False)  # for mmdet's own scripts
custom_hooks = [
    dict(type='mmdet_kpheads.ClassCheckHook'),
    dict(type='mmdet_kpheads.GroundTruthCheckHook'),
]
