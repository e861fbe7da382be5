# PASCAL VOC 2007 + 2012 tested as in CenterNet's repository: the longer side 512, in the middle of a black square.
# Trained on crops of at most 512 x 512, with colors that vary.
_base_ = './voc0712_square_384.py'
image_size = (512, 512)

train_pipeline = _base_.train_pipeline
train_pipeline[3].scale = image_size
train_pipeline[4].crop_size = image_size
test_pipeline = _base_.test_pipeline
test_pipeline[1].scale = image_size
test_pipeline[2].test_pad_mode = ['size_divisor', 512]

# a list is taken as a whole: the data set's parts keep all but their pipeline
train_dataloader = _base_.train_dataloader
train_dataloader.dataset.dataset.datasets[0].pipeline = train_pipeline
train_dataloader.dataset.dataset.datasets[1].pipeline = train_pipeline
val_dataloader = dict(dataset=dict(pipeline=test_pipeline))
test_dataloader = val_dataloader
