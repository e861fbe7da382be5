# The same in VOC format.
_base_ = './custom_voc.py'

train_dataloader = dict(num_workers=0, persistent_workers=False)
val_dataloader = train_dataloader
test_dataloader = train_dataloader
