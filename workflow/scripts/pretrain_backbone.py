from vprlib.compute.device import compute_device
from vprlib.config import BackboneConfig, ImageConfig, PretrainConfig
from vprlib.jobs.job import snakemake_job
from vprlib.training.pretrain import pretrain_backbone

if __name__ == "__main__":
    with snakemake_job(snakemake) as config:
        pretrain_backbone(
            snakemake.output[0],
            backbone=BackboneConfig(**snakemake.params.made_from["backbone"]),
            image=ImageConfig(**snakemake.params.made_from["image"]),
            settings=PretrainConfig(**snakemake.params.pretrain),
            device=compute_device(config)[0],
            workers=snakemake.threads,
        )
