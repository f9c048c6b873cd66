"""Networks: backbones, aggregators, whitening, checkpoints and the formats of other projects."""
