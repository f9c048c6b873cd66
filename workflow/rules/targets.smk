"""What is asked for: the targets of `all`, the files of a figure, what the page is made from."""


def pictures(path, caption, category, what):
    """The files of a figure: the one that the report shows, and the same for print and for slides."""
    shown = report(f"{path}.svg", caption=f"../report/{caption}.rst", category=category, labels={"what": what})
    return [shown, f"{path}.pdf", f"{path}.png"]


def variants():
    """The figures of what varies in this configuration."""
    several = {
        "generations": any(len(run.generations) > 1 for run in cfg.runs.values()),
        "seeds": len(cfg.seeds) > 1,
        "conditions": any(cfg.evaluate.by.values()),
    }
    return [name for name, wanted in several.items() if wanted]


def campaign_params():
    """What the page must know of the configuration, as plain data; `execution` changes no number, so no page either."""
    asked = zip(networks(), identities(), strict=True)
    given = workflow.config_settings.config.items()
    return {
        "networks": [[*network, identity] for network, identity in asked],
        "judged": {name: [asdict(protocol) for protocol in dataset(name).protocols] for name in cfg.datasets},
        "asked": {key: value for key, value in config.items() if key != "execution"},
        "configfiles": [os.path.relpath(path) for path in workflow.configfiles],
        "overrides": [f"{key}={value}" for key, value in given if key != "execution"],
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


def everything(w):
    """The targets of `all`."""
    finals = ["results/report.html", "results/comparison.svg", "results/recalls.tex"]
    finals += ["results/training.svg"] if cfg.trained else []
    trained_on = {run.train_set for run in cfg.trained.values()}
    finals += [f"results/{name}/verification.json" for name in sorted(trained_on - set(cfg.datasets))]
    tables, drawn = ("recalls.csv", "differences.csv", "verification.json"), ("recalls", "thresholds", "precision")
    with_words = [name for name, run in cfg.trained.items() if run.aggregator.name == "netvlad"]
    for name in cfg.datasets:
        finals += [f"results/{name}/{file}" for file in (*tables, "contact.png")]
        varying = [figure for figure in variants() if figure != "conditions" or cfg.evaluate.by.get(name)]
        finals += [f"results/{name}/{figure}.svg" for figure in (*drawn, *varying)]
        finals += last(f"{EVALUATED}/gallery.png", dataset=name) + last(f"{EVALUATED}/errors.svg", dataset=name)
        # of the last run only, which take longer; those of the others are made when their file is asked for
        finals += last(f"{EVALUATED}/projection.svg", list(cfg.runs)[-1:], dataset=name)
        finals += last(f"{EVALUATED}/words.png", with_words[-1:], dataset=name)
        finals += [f"results/{name}/sizes.svg"] if cfg.sized else []
    used = {centroids_of(run, seed) for run in cfg.trained.values() for seed in cfg.seeds} - {None}
    return finals + [path.replace(".h5", ".svg") for path in sorted(used)]
