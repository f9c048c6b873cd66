from vprlib.config import Backbone, Image, Pretrain
from vprlib.jobs.job import device, job
from vprlib.training.pretrain import pretrain

if __name__ == "__main__":
    with job(snakemake) as config:
        pretrain(
            snakemake.output[0],
            backbone=Backbone(**snakemake.params.made_from["backbone"]),
            image=Image(**snakemake.params.made_from["image"]),
            settings=Pretrain(**snakemake.params.pretrain),
            device=device(config)[0],
            workers=snakemake.threads,
        )
