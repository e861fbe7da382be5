# For configs that build on one of mmdet's: the package, and the two checks of default_runtime.py.
custom_imports = dict(imports=['mmdet_kpheads'], allow_failed_imports=False)  # for mmdet's own scripts
custom_hooks = [
    dict(type='mmdet_kpheads.ClassCheckHook'),
    dict(type='mmdet_kpheads.GroundTruthCheckHook'),
]
