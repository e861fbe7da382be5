# Mean and standard deviation of pixels, and the order of channels they are for.
imagenet_rgb = dict(mean=[123.675, 116.28, 103.53], std=[58.395, 57.12, 57.375], bgr_to_rgb=True)
caffe_bgr = dict(mean=[102.9801, 115.9465, 122.7717], std=[1.0, 1.0, 1.0], bgr_to_rgb=False)
# COCO's own, as the authors of CornerNet and CenterNet use them (db/coco.py, src/lib/datasets/dataset/coco.py), times 255
coco_bgr = dict(
    mean=[104.0136177, 114.0342201, 119.91659325], std=[73.6027614, 69.8908182, 70.91507925], bgr_to_rgb=False)
