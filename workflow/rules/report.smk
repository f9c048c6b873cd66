"""The page that a person reads: one file, of all tables and of what each query was answered."""


def campaign_params():
    """What the page must know of the configuration, as plain data."""
    asked = zip(networks(), identities(), strict=True)
    return {
        "networks": [[*network, identity] for network, identity in asked],
        "judged": {name: [asdict(protocol) for protocol in dataset(name).protocols] for name in cfg.datasets},
        "configfile": os.path.relpath(workflow.configfiles[-1]) if workflow.configfiles else "",
    }


def page_inputs(w):
    """Everything that the page is made from, but what each job took."""
    tables = ["images.csv", "verification.json", "differences.csv", "thresholds.csv", "precision.csv"]
    tables += ["sizes.csv"] if cfg.sized else []
    rankings = ["ranking.h5", *(f"rerank/{one.name}.h5" for one in cfg.rerank)]
    answers = ["recalls.csv", "queries.csv", *rankings]
    paths = [f"results/{name}/{table}" for name in cfg.datasets for table in tables]
    paths += [path for name in cfg.datasets for file in answers for path in tree(f"{EVALUATED}/{file}", dataset=name)]
    return paths + tree(f"{MODEL}/history.csv", cfg.trained)


rule report:
    input:
        page_inputs,
    output:
        "results/report.html",
    log:
        "logs/report.log",
    params:
        **campaign_params(),
        report=plain(cfg.report),
    script:
        "../scripts/report.py"


rule preview:
    # has neither inputs nor outputs: asked for, it runs at once, on what is there
    log:
        "logs/preview.log",
    params:
        **campaign_params(),
        report=plain(cfg.report),
    script:
        "../scripts/preview.py"
