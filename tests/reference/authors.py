# mypy: ignore-errors
# modules are made under names that are put together, which mypy cannot follow
"""The models of the original repositories, written anew from their structure, under their parameter names.

Only what their ``state_dict`` and forward need; widths are arguments, so that tests can be small.
"""

import torch
import torch.nn.functional as F
from mmcv.ops import ModulatedDeformConv2d
from torch import nn

# ---- parts ----


def conv_norm(before, after, kernel=3, stride=1):
    return [nn.Conv2d(before, after, kernel, stride, kernel // 2, bias=False), nn.BatchNorm2d(after)]


class Deformable(ModulatedDeformConv2d):
    """DCNv2 as CenterNet's repository has it: with a bias, offsets and mask from ``conv_offset_mask``."""

    def __init__(self, before, after):
        super().__init__(before, after, 3, padding=1, bias=True)
        self.conv_offset_mask = nn.Conv2d(before, 27, 3, padding=1)

    def forward(self, x):
        first, second, mask = self.conv_offset_mask(x).chunk(3, 1)
        return super().forward(x, torch.cat((first, second), 1), mask.sigmoid())


def output(before, between, after):
    return nn.Sequential(nn.Conv2d(before, between, 3, padding=1), nn.ReLU(), nn.Conv2d(between, after, 1))


def centernet_outputs(before, between, classes):
    return {name: output(before, between, after) for name, after in (('hm', classes), ('wh', 2), ('reg', 2))}


# ---- CenterNet with DLA ----


class Block(nn.Module):
    def __init__(self, before, after, stride):
        super().__init__()
        self.conv1, self.bn1 = conv_norm(before, after, 3, stride)
        self.conv2, self.bn2 = conv_norm(after, after)

    def forward(self, x, residual=None):
        out = self.bn2(self.conv2(F.relu(self.bn1(self.conv1(x)))))
        return F.relu(out + (x if residual is None else residual))


class Root(nn.Module):
    def __init__(self, before, after):
        super().__init__()
        self.conv, self.bn = conv_norm(before, after, 1)

    def forward(self, *children):
        return F.relu(self.bn(self.conv(torch.cat(children, 1))))


class Tree(nn.Module):
    def __init__(self, levels, before, after, stride=1, level_root=False, root_dim=0):
        super().__init__()
        root_dim = (root_dim or 2 * after) + (before if level_root else 0)
        self.levels, self.level_root, self.stride = levels, level_root, stride
        if levels == 1:
            self.tree1, self.tree2 = Block(before, after, stride), Block(after, after, 1)
            self.root = Root(root_dim, after)
        else:
            self.tree1 = Tree(levels - 1, before, after, stride)
            self.tree2 = Tree(levels - 1, after, after, root_dim=root_dim + after)
        self.project = nn.Sequential(*conv_norm(before, after, 1)) if before != after else None

    def forward(self, x, residual=None, children=None):
        children = [] if children is None else children
        bottom = F.max_pool2d(x, self.stride) if self.stride > 1 else x
        residual = self.project(bottom) if self.project else bottom
        if self.level_root:
            children.append(bottom)
        x1 = self.tree1(x, residual)
        if self.levels == 1:
            return self.root(self.tree2(x1), x1, *children)
        return self.tree2(x1, children=[*children, x1])


class Base(nn.Module):
    def __init__(self, channels):
        super().__init__()
        self.base_layer = nn.Sequential(*conv_norm(3, channels[0], 7), nn.ReLU())
        self.level0 = nn.Sequential(*conv_norm(channels[0], channels[0]), nn.ReLU())
        self.level1 = nn.Sequential(*conv_norm(channels[0], channels[1], stride=2), nn.ReLU())
        for level, depth in ((2, 1), (3, 2), (4, 2), (5, 1)):
            tree = Tree(depth, channels[level - 1], channels[level], 2, level_root=level > 2)
            setattr(self, f'level{level}', tree)
        self.fc = nn.Conv2d(channels[-1], 10, 1)

    def forward(self, x):
        x = self.base_layer(x)
        levels = []
        for level in range(6):
            x = getattr(self, f'level{level}')(x)
            levels.append(x)
        return levels


def upsampling(channels, factor):
    return nn.ConvTranspose2d(channels, channels, 2 * factor, factor, factor // 2, groups=channels, bias=False)


class DeformableLayer(nn.Module):
    def __init__(self, before, after):
        super().__init__()
        self.actf = nn.Sequential(nn.BatchNorm2d(after), nn.ReLU())
        self.conv = Deformable(before, after)

    def forward(self, x):
        return self.actf(self.conv(x))


class DeformableIDA(nn.Module):
    def __init__(self, after, channels, factors):
        super().__init__()
        for i in range(1, len(channels)):
            setattr(self, f'proj_{i}', DeformableLayer(channels[i], after))
            setattr(self, f'node_{i}', DeformableLayer(after, after))
            setattr(self, f'up_{i}', upsampling(after, factors[i]))

    def forward(self, layers, start, end):
        """Changes ``layers`` in place."""
        for i in range(start + 1, end):
            n = i - start
            layers[i] = getattr(self, f'up_{n}')(getattr(self, f'proj_{n}')(layers[i]))
            layers[i] = getattr(self, f'node_{n}')(layers[i] + layers[i - 1])


class PlainIDA(nn.Module):
    def __init__(self, after, channels, factors):
        super().__init__()
        for i, (before, factor) in enumerate(zip(channels, factors, strict=True)):
            same = before == after
            proj = nn.Identity() if same else nn.Sequential(*conv_norm(before, after, 1), nn.ReLU())
            setattr(self, f'proj_{i}', proj)
            setattr(self, f'up_{i}', nn.Identity() if factor == 1 else upsampling(after, factor))
            if i:
                setattr(self, f'node_{i}', nn.Sequential(*conv_norm(2 * after, after), nn.ReLU()))

    def forward(self, layers):
        layers = [getattr(self, f'up_{i}')(getattr(self, f'proj_{i}')(layer)) for i, layer in enumerate(layers)]
        x, joined = layers[0], []
        for i in range(1, len(layers)):
            x = getattr(self, f'node_{i}')(torch.cat((x, layers[i]), 1))
            joined.append(x)
        return joined


def ida_stages(kind, channels):
    """ida_0, ida_1, ...: from the coarsest pair to all maps."""
    stages, widths, scales = nn.Module(), list(channels), [2**i for i in range(len(channels))]
    for i in range(len(channels) - 1):
        j = len(channels) - i - 2
        setattr(stages, f'ida_{i}', kind(channels[j], widths[j:], [scale // scales[j] for scale in scales[j:]]))
        for k in range(j + 1, len(channels)):
            scales[k], widths[k] = scales[j], channels[j]
    return stages


class CenterNetDLA(nn.Module):
    """``dla_34`` of the repository."""

    def __init__(self, channels, classes, head_conv):
        super().__init__()
        self.base = Base(channels)
        self.dla_up = ida_stages(DeformableIDA, channels[2:])
        self.ida_up = DeformableIDA(channels[2], channels[2:5], [1, 2, 4])
        for name, branch in centernet_outputs(channels[2], head_conv, classes).items():
            setattr(self, name, branch)

    def forward(self, image):
        layers = self.base(image)
        out = [layers[-1]]
        for i in range(3):
            getattr(self.dla_up, f'ida_{i}')(layers, len(layers) - i - 2, len(layers))
            out.insert(0, layers[-1])
        y = out[:3]
        self.ida_up(y, 0, 3)
        return self.hm(y[-1]), self.wh(y[-1]), self.reg(y[-1])


class CenterNetPlainDLA(nn.Module):
    """``dlav0_34`` of the repository."""

    def __init__(self, channels, classes, head_conv):
        super().__init__()
        self.base = Base(channels)
        self.dla_up = ida_stages(PlainIDA, channels[2:])
        for name, branch in centernet_outputs(channels[2], head_conv, classes).items():
            setattr(self, name, branch)

    def forward(self, image):
        layers = self.base(image)[2:]
        for i in range(3):
            layers[-i - 1 :] = getattr(self.dla_up, f'ida_{i}')(layers[-i - 2 :])
        return self.hm(layers[-1]), self.wh(layers[-1]), self.reg(layers[-1])


# ---- CenterNet with ResNet ----


class ResBlock(nn.Module):
    def __init__(self, before, after, stride):
        super().__init__()
        self.conv1, self.bn1 = conv_norm(before, after, 3, stride)
        self.conv2, self.bn2 = conv_norm(after, after)
        self.downsample = nn.Sequential(*conv_norm(before, after, 1, stride)) if stride > 1 else None

    def forward(self, x):
        out = self.bn2(self.conv2(F.relu(self.bn1(self.conv1(x)))))
        return F.relu(out + (self.downsample(x) if self.downsample else x))


class CenterNetResNet(nn.Module):
    """``resdcn_18`` (deformable) and ``res_18``."""

    def __init__(self, width, up_channels, classes, head_conv, deformable):
        super().__init__()
        self.conv1, self.bn1 = conv_norm(3, width, 7, 2)
        before = width
        for stage in range(4):
            after = width * 2**stage
            blocks = ResBlock(before, after, 2 if stage else 1), ResBlock(after, after, 1)
            setattr(self, f'layer{stage + 1}', nn.Sequential(*blocks))
            before = after
        layers = []
        for after in up_channels:
            if deformable:
                layers += [Deformable(before, after), nn.BatchNorm2d(after), nn.ReLU()]
                before = after
            layers += [nn.ConvTranspose2d(before, after, 4, 2, 1, bias=False), nn.BatchNorm2d(after), nn.ReLU()]
            before = after
        self.deconv_layers = nn.Sequential(*layers)
        self.fc = nn.Linear(8 * width, 10)
        for name, branch in centernet_outputs(before, head_conv, classes).items():
            setattr(self, name, branch)

    def forward(self, image):
        x = F.max_pool2d(F.relu(self.bn1(self.conv1(image))), 3, 2, 1)
        x = self.deconv_layers(self.layer4(self.layer3(self.layer2(self.layer1(x)))))
        return self.hm(x), self.wh(x), self.reg(x)


# ---- Hourglass: CornerNet and CenterNet ----


class Convolution(nn.Module):
    def __init__(self, before, after, kernel=3, stride=1, with_bn=True):
        super().__init__()
        self.conv = nn.Conv2d(before, after, kernel, stride, kernel // 2, bias=not with_bn)
        self.bn = nn.BatchNorm2d(after) if with_bn else nn.Sequential()

    def forward(self, x):
        return F.relu(self.bn(self.conv(x)))


class Residual(nn.Module):
    def __init__(self, before, after, stride=1):
        super().__init__()
        self.conv1, self.bn1 = conv_norm(before, after, 3, stride)
        self.conv2, self.bn2 = conv_norm(after, after)
        same = stride == 1 and before == after
        self.skip = nn.Sequential() if same else nn.Sequential(*conv_norm(before, after, 1, stride))

    def forward(self, x):
        return F.relu(self.bn2(self.conv2(F.relu(self.bn1(self.conv1(x))))) + self.skip(x))


class Hourglass(nn.Module):
    def __init__(self, depth, dims, blocks):
        super().__init__()
        current, following = dims[:2]
        self.up1 = nn.Sequential(*(Residual(current, current) for _ in range(blocks[0])))
        first = Residual(current, following, 2)
        self.low1 = nn.Sequential(first, *(Residual(following, following) for _ in range(blocks[0] - 1)))
        if depth > 1:
            self.low2 = Hourglass(depth - 1, dims[1:], blocks[1:])
        else:
            self.low2 = nn.Sequential(*(Residual(following, following) for _ in range(blocks[1])))
        last = Residual(following, current)
        self.low3 = nn.Sequential(*(Residual(following, following) for _ in range(blocks[0] - 1)), last)

    def forward(self, x):
        return self.up1(x) + F.interpolate(self.low3(self.low2(self.low1(x))), scale_factor=2)


class Stacks(nn.Module):
    """The trunk that both repositories share."""

    def __init__(self, depth, dims, blocks, stacks):
        super().__init__()
        width = dims[0]
        self.pre = nn.Sequential(Convolution(3, width // 2, 7, 2), Residual(width // 2, width, 2))
        self.kps = nn.ModuleList(Hourglass(depth, dims, blocks) for _ in range(stacks))
        self.cnvs = nn.ModuleList(Convolution(width, width) for _ in range(stacks))
        self.inters = nn.ModuleList(Residual(width, width) for _ in range(stacks - 1))
        self.inters_ = nn.ModuleList(nn.Sequential(*conv_norm(width, width, 1)) for _ in range(stacks - 1))
        self.cnvs_ = nn.ModuleList(nn.Sequential(*conv_norm(width, width, 1)) for _ in range(stacks - 1))

    def features(self, image):
        inter, found = self.pre(image), []
        for i, (kp, cnv) in enumerate(zip(self.kps, self.cnvs, strict=True)):
            found.append(cnv(kp(inter)))
            if i < len(self.kps) - 1:
                inter = self.inters[i](F.relu(self.inters_[i](inter) + self.cnvs_[i](found[-1])))
        return found


def kp_layer(width, after):
    return nn.Sequential(Convolution(width, width, with_bn=False), nn.Conv2d(width, after, 1))


class CenterNetHourglass(Stacks):
    def __init__(self, depth, dims, blocks, stacks, classes):
        super().__init__(depth, dims, blocks, stacks)
        for name, after in (('hm', classes), ('wh', 2), ('reg', 2)):
            setattr(self, name, nn.ModuleList(kp_layer(dims[0], after) for _ in range(stacks)))

    def forward(self, image):
        maps = self.features(image)
        return tuple([layer(x) for layer, x in zip(head, maps, strict=True)] for head in (self.hm, self.wh, self.reg))


class CornerPool(nn.Module):
    def __init__(self, width, pooled, directions):
        super().__init__()
        self.directions = directions
        self.p1_conv1, self.p2_conv1 = Convolution(width, pooled), Convolution(width, pooled)
        self.p_conv1, self.p_bn1 = conv_norm(pooled, width)
        self.conv1, self.bn1 = conv_norm(width, width, 1)
        self.conv2 = Convolution(width, width)

    def forward(self, x):
        one, two = self.directions
        pooled = running_max(self.p1_conv1(x), one) + running_max(self.p2_conv1(x), two)
        return self.conv2(F.relu(self.p_bn1(self.p_conv1(pooled)) + self.bn1(self.conv1(x))))


def running_max(x, direction):
    """Top and left look toward the bottom and the right: the maximum of what lies there."""
    dim, backwards = {'top': (2, True), 'bottom': (2, False), 'left': (3, True), 'right': (3, False)}[direction]
    return x.flip(dim).cummax(dim).values.flip(dim) if backwards else x.cummax(dim).values


class CornerNet(Stacks):
    """The model of princeton-vl/CornerNet."""

    def __init__(self, depth, dims, blocks, stacks, classes, pooled):
        super().__init__(depth, dims, blocks, stacks)
        for corner, directions in (('tl', ('top', 'left')), ('br', ('bottom', 'right'))):
            pools = nn.ModuleList(CornerPool(dims[0], pooled, directions) for _ in range(stacks))
            setattr(self, f'{corner}_cnvs', pools)
            for name, after in (('heats', classes), ('tags', 1), ('regrs', 2)):
                setattr(self, f'{corner}_{name}', nn.ModuleList(kp_layer(dims[0], after) for _ in range(stacks)))

    def forward(self, image):
        outputs = {}
        for i, x in enumerate(self.features(image)):
            for corner in ('tl', 'br'):
                pooled = getattr(self, f'{corner}_cnvs')[i](x)
                for name in ('heats', 'tags', 'regrs'):
                    outputs.setdefault(name, {}).setdefault(corner, []).append(
                        getattr(self, f'{corner}_{name}')[i](pooled)
                    )
        return tuple(outputs[name][corner] for name in ('heats', 'tags', 'regrs') for corner in ('tl', 'br'))


# ---- AutoAssign in cvpods ----


class FrozenNorm(nn.Module):
    def __init__(self, channels):
        super().__init__()
        for name, value in (('weight', 1), ('bias', 0), ('running_mean', 0), ('running_var', 1)):
            self.register_buffer(name, torch.full((channels,), float(value)))

    def forward(self, x):
        return F.batch_norm(x, self.running_mean, self.running_var, self.weight, self.bias)


class NormedConv(nn.Conv2d):
    """A convolution that carries its norm."""

    def __init__(self, before, after, kernel, stride=1):
        super().__init__(before, after, kernel, stride, kernel // 2, bias=False)
        self.norm = FrozenNorm(after)

    def forward(self, x):
        return self.norm(super().forward(x))


class Bottleneck(nn.Module):
    """The stride is in the first convolution, as in the Caffe weights."""

    def __init__(self, before, between, after, stride):
        super().__init__()
        self.conv1, self.conv2 = NormedConv(before, between, 1, stride), NormedConv(between, between, 3)
        self.conv3 = NormedConv(between, after, 1)
        self.shortcut = NormedConv(before, after, 1, stride) if before != after else None

    def forward(self, x):
        out = self.conv3(F.relu(self.conv2(F.relu(self.conv1(x)))))
        return F.relu(out + (x if self.shortcut is None else self.shortcut(x)))


class Pyramid(nn.Module):
    """P6 is computed from C5, or, in cvpods since February 2021, from P5."""

    def __init__(self, width, after, from_p5=False):
        super().__init__()
        self.from_p5 = from_p5
        self.bottom_up, self.top_block = nn.Module(), nn.Module()
        self.bottom_up.stem = nn.Module()
        self.bottom_up.stem.conv1 = NormedConv(3, width, 7, 2)
        before = width
        for stage, depth in zip(range(4), (3, 4, 6, 3), strict=True):
            between, wide = width * 2**stage, 4 * width * 2**stage
            strides = [2 if stage else 1, *[1] * (depth - 1)]
            blocks = [Bottleneck(before if i == 0 else wide, between, wide, stride) for i, stride in enumerate(strides)]
            setattr(self.bottom_up, f'res{stage + 2}', nn.Sequential(*blocks))
            if stage:
                setattr(self, f'fpn_lateral{stage + 2}', nn.Conv2d(wide, after, 1))
                setattr(self, f'fpn_output{stage + 2}', nn.Conv2d(after, after, 3, padding=1))
            before = wide
        self.top_block.p6 = nn.Conv2d(after if from_p5 else before, after, 3, 2, 1)
        self.top_block.p7 = nn.Conv2d(after, after, 3, 2, 1)

    def forward(self, image):
        bottom = self.bottom_up
        x = bottom.res2(F.max_pool2d(F.relu(bottom.stem.conv1(image)), 3, 2, 1))
        c3 = bottom.res3(x)
        c4 = bottom.res4(c3)
        c5 = bottom.res5(c4)
        above, levels = None, []
        for stage, x in ((5, c5), (4, c4), (3, c3)):
            lateral = getattr(self, f'fpn_lateral{stage}')(x)
            above = lateral if above is None else lateral + F.interpolate(above, scale_factor=2)
            levels.insert(0, getattr(self, f'fpn_output{stage}')(above))
        p6 = self.top_block.p6(levels[-1] if self.from_p5 else c5)
        return [*levels, p6, self.top_block.p7(F.relu(p6))]


class Scale(nn.Module):
    def __init__(self):
        super().__init__()
        self.scale = nn.Parameter(torch.ones(1))


class AutoAssign(nn.Module):
    """Megvii's model."""

    STRIDES = (8, 16, 32, 64, 128)

    def __init__(self, width, channels, classes, p6_from_p5=False):
        super().__init__()
        self.register_buffer('pixel_mean', torch.zeros(3, 1, 1))
        self.backbone, self.head = Pyramid(width, channels, p6_from_p5), nn.Module()
        for name in ('cls_subnet', 'bbox_subnet'):
            layers = [
                layer
                for _ in range(4)
                for layer in (nn.Conv2d(channels, channels, 3, padding=1), nn.GroupNorm(32, channels), nn.ReLU())
            ]
            setattr(self.head, name, nn.Sequential(*layers))
        for name, after in (('cls_score', classes), ('bbox_pred', 4), ('obj_score', 1)):
            setattr(self.head, name, nn.Conv2d(channels, after, 3, padding=1))
        self.head.scales = nn.ModuleList(Scale() for _ in self.STRIDES)
        self.mu, self.sigma = nn.Parameter(torch.zeros(classes, 2)), nn.Parameter(torch.ones(classes, 2))

    def forward(self, image):
        classes, boxes, objects = [], [], []
        for x, scale, stride in zip(self.backbone(image), self.head.scales, self.STRIDES, strict=True):
            regression = self.head.bbox_subnet(x)
            classes.append(self.head.cls_score(self.head.cls_subnet(x)))
            boxes.append(F.relu(scale.scale * self.head.bbox_pred(regression)) * stride)
            objects.append(self.head.obj_score(regression))
        return classes, boxes, objects
