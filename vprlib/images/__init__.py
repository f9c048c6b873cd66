"""Photos as tensors: decode, fit to the network's input size, batch, augment and normalize."""
