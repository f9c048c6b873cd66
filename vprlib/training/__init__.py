"""Training of networks: mining, losses, the training loop, NetVLAD centroids and pretraining."""
