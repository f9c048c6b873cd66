"""What nobody but the user brings: it must be where the configuration says, and a dry run says so."""


def brought():
    """(key, file, what is made from it) of each file that the configuration names itself.

    The published datasets are none of them: without data a dry run shows what would be done, and the job that needs
    them says what to fetch.
    """
    for name, run in cfg.runs.items():
        models = tree(MODEL, {name: run})
        if run.checkpoint:
            yield f"runs.{name}.checkpoint.file", run.checkpoint.file, [f"{it}/published.safetensors" for it in models]
        elif run.backbone.file:
            made = f"results/weights/{run.backbone.path}/{run.backbone.weights}.safetensors"
            yield f"runs.{name}.backbone.file", run.backbone.file, [made]
        if name in with_own_pca and "whitened" in run.extract.descriptors:
            yield f"runs.{name}.checkpoint.pca", run.checkpoint.pca, [f"{it}/pca.h5" for it in models]
    fitted_on = {run.train_set for name, run in cfg.runs.items() if name not in with_own_pca}
    for name in sorted({*cfg.datasets} | fitted_on):
        own, made = cfg.custom.get(name), [f"results/{name}/images.csv"]
        if own:
            listed = str(dataset(name).root / dataset(name).files[0])
            yield f"custom.{name}.{'csv' if own.csv else 'folder'}", listed, made
        elif name in cfg.roots and not dataset(name).remotes:  # what is downloaded makes its folder
            yield f"roots.{name}", cfg.roots[name], made


def lacking():
    """A line for each file that is not where the configuration says, though something is still to be made from it."""
    there = os.path.exists
    needed = [(key, path) for key, path, made in brought() if path and not there(path) and not all(map(there, made))]
    return [f"{key}: {path}: no such file or folder" for key, path in needed]


if workflow.is_main_process and (faults := lacking()):
    sys.exit(f"error: config: {configuration.together(faults)}")
