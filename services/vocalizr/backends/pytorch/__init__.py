"""What the backends on PyTorch share: the device, the random numbers, where weights lie, and one mend."""
