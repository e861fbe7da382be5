# What the templates for small models share: no workers, which would take a core of a small machine from the network.
_base_ = './custom.py'

train_dataloader = dict(num_workers=0, persistent_workers=False)
val_dataloader = train_dataloader
test_dataloader = train_dataloader
