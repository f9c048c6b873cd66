from vprlib.datasets.base import Protocol
from vprlib.evaluate import searched
from vprlib.job import job
from vprlib.sheets import gallery

if __name__ == "__main__":
    with job(snakemake):
        protocol = Protocol(**snakemake.params.judged[0])
        found = searched(images=snakemake.input.images, ranking=snakemake.input.ranking, protocol=protocol)
        gallery(
            snakemake.output[0],
            query=found.query,
            database=found.database,
            ranking_QK=found.shown,
            positives=found.positives,
            unit=protocol.unit,
            title="{dataset}, {run}, seed {seed}, generation {gen}".format(**snakemake.wildcards)
            + f"; a hit is within {protocol.reach}",
        )
