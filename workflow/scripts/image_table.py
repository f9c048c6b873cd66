from vprlib.data.catalogue import get_dataset
from vprlib.data.datasets.synthetic_city import check_rendered
from vprlib.io.files import write_csv
from vprlib.jobs.cut_offs import check_cut_offs, check_train_split
from vprlib.jobs.job import snakemake_job

if __name__ == "__main__":
    with snakemake_job(snakemake) as config:
        dataset = get_dataset(snakemake.wildcards.dataset, config)
        if dataset.render:
            check_rendered(dataset.root, config.city.size)
        table = dataset.table()
        for check in (check_train_split, check_cut_offs):
            check(table, snakemake.wildcards.dataset, config)
        write_csv(snakemake.output[0], table)
