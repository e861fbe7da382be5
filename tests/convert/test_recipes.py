"""The authors' full-size models match their recipes in every parameter name and shape."""

import pytest
import torch
from mmdet.registry import MODELS
from mmengine.config import Config

from mmdet_kpheads.compat.config_bases import configs_root
from mmdet_kpheads.convert import convert
from mmdet_kpheads.errors import InputError
from mmdet_kpheads.fitting import load_whole
from tests.reference import authors

DLA_34 = (16, 32, 64, 128, 256, 512)
HOURGLASS_104 = dict(depth=5, dims=(256, 256, 384, 384, 384, 512), blocks=(2, 2, 2, 2, 2, 4), stacks=2)
COCO, VOC = 80, 20
RECIPES = {
    'centernet/untrained/centernet_dla34-dcnv2_8xb16-140e_coco.py': lambda: authors.CenterNetDLA(DLA_34, COCO, 256),
    'centernet/untrained/centernet_dla34-dcnv2_8xb16-230e_coco.py': lambda: authors.CenterNetDLA(DLA_34, COCO, 256),
    'centernet/untrained/centernet_dla34-dcnv2_1xb32-70e_voc0712-384.py': lambda: authors.CenterNetDLA(
        DLA_34, VOC, 256
    ),
    'centernet/untrained/centernet_dla34-dcnv2_1xb32-70e_voc0712-512.py': lambda: authors.CenterNetDLA(
        DLA_34, VOC, 256
    ),
    'centernet/untrained/centernet_dla34_8xb16-140e_coco.py': lambda: authors.CenterNetPlainDLA(DLA_34, COCO, 256),
    'centernet/untrained/centernet_r18-dcnv2_4xb28-140e_coco.py': lambda: resnet(COCO, True),
    'centernet/untrained/centernet_r18-dcnv2_1xb32-70e_voc0712-384.py': lambda: resnet(VOC, True),
    'centernet/untrained/centernet_r18-dcnv2_1xb32-70e_voc0712-512.py': lambda: resnet(VOC, True),
    'centernet/untrained/centernet_r18-deconv_4xb28-140e_coco.py': lambda: resnet(COCO, False),
    'centernet/untrained/centernet_hourglass104_5xb5-50e_coco.py': lambda: authors.CenterNetHourglass(
        **HOURGLASS_104, classes=COCO
    ),
    'cornernet/untrained/cornernet_hourglass104_10xb5-crop511-210e_coco-princeton.py': lambda: authors.CornerNet(
        **HOURGLASS_104, classes=COCO, pooled=128
    ),
    'autoassign/untrained/autoassign_r50_8xb2-1x_coco-cvpods.py': lambda: authors.AutoAssign(64, 256, COCO),
}


def resnet(classes, deformable):
    channels = (256, 128, 64) if deformable else (256, 256, 256)
    return authors.CenterNetResNet(64, channels, classes, 64, deformable)


def both_models(recipe, original):
    """Build the original model and ours; the large ones on the meta device, which deformable convolutions lack."""
    with torch.device('meta' if 'hourglass' in recipe else 'cpu'):
        return RECIPES[original](), MODELS.build(Config.fromfile(configs_root() / recipe).model)


@pytest.mark.usefixtures('mmdet_scope')
def test_autoassign_weights_with_p6_from_p5_fit_the_recipe_with_one_option():
    recipe = 'autoassign/untrained/autoassign_r50_8xb2-1x_coco-cvpods.py'
    cfg = Config.fromfile(configs_root() / recipe)
    with torch.device('meta'):
        converted = convert(authors.AutoAssign(64, 256, COCO, p6_from_p5=True).state_dict())
        model = MODELS.build(cfg.model)
    option = 'model.neck.add_extra_convs=on_output'
    assert f'the config needs {option})' in converted.report()
    refusal = r'neck.fpn_convs.3.conv.weight is \(256, 256, 3, 3\) and must be \(256, 2048, 3, 3\)'
    with pytest.raises(InputError, match=refusal):
        load_whole(model, converted.weights, 'foreign.pth', recipe)
    cfg.merge_from_dict(dict([option.split('=')]))
    with torch.device('meta'):
        load_whole(MODELS.build(cfg.model), converted.weights, 'foreign.pth', recipe)


@pytest.mark.usefixtures('mmdet_scope')
@pytest.mark.parametrize('recipe', RECIPES)
def test_recipe_accepts_the_authors_weights(recipe):
    theirs, ours = both_models(recipe, recipe)
    load_whole(ours, convert(theirs.state_dict()).weights, 'foreign.pth', recipe)


@pytest.mark.usefixtures('mmdet_scope')
def test_another_recipe_refuses_them():
    recipe, other = (
        'centernet/untrained/centernet_r18-dcnv2_4xb28-140e_coco.py',
        'centernet/untrained/centernet_dla34_8xb16-140e_coco.py',
    )
    theirs, ours = both_models(recipe, other)
    with pytest.raises(InputError, match=r'does not fit .* missing, .* unexpected'):
        load_whole(ours, convert(theirs.state_dict()).weights, 'foreign.pth', recipe)
