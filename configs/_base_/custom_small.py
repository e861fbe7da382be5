# What the templates for small models share: data is loaded by the process that trains, which a CPU does faster.
_base_ = './custom.py'

train_dataloader = dict(num_workers=0, persistent_workers=False)
val_dataloader = train_dataloader
test_dataloader = train_dataloader
