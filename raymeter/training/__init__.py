"""One model at a time, in plain torch: split, trainer, optimizer, augmentation; no Ray."""
