# The same with 512 in place of 384.
_base_ = './voc0712_square_384.py'
image_size = (512, 512)

train_pipeline = _base_.train_pipeline
train_pipeline[3].scale = train_pipeline[4].crop_size = image_size
test_pipeline = _base_.test_pipeline
test_pipeline[1].scale = image_size
test_pipeline[2].test_pad_mode = ['size_divisor', 512]

train_dataloader = _base_.train_dataloader  # changed in place: a list in a config replaces the list of its base
train_dataloader.dataset.dataset.datasets[0].pipeline = train_pipeline
train_dataloader.dataset.dataset.datasets[1].pipeline = train_pipeline
val_dataloader = dict(dataset=dict(pipeline=test_pipeline))
test_dataloader = val_dataloader
