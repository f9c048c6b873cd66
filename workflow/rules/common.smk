"""What the rules share: the wildcards' values, and the few functions that give a job its files and params."""

MODEL = "results/models/{run}/seed{seed}/gen{gen}"
EVALUATED = "results/{dataset}/{run}/seed{seed}/gen{gen}"
TRAINING_GPUS = 1 if cfg.execution.device == "cpu" else cfg.execution.processes * cfg.execution.nodes
# of several nodes: a task on each, which the script starts itself by srun; `tasks` alone would be counted for each GPU
SEVERAL_NODES = {"nodes": cfg.execution.nodes, "tasks": cfg.execution.nodes, "tasks_per_gpu": 0, "mpi": "srun"}
TRAINING_NODES = SEVERAL_NODES if cfg.execution.nodes > 1 else {}
SEARCH_GPU = {"gpu": 1} if cfg.execution.search == "device" and cfg.execution.device != "cpu" else {}


with_own_pca = {name for name, run in cfg.runs.items() if run.checkpoint and run.checkpoint.whitening == "published"}


def one_of(names):
    """A pattern that matches these names, or nothing if there are none."""
    return "|".join(map(re.escape, sorted(names))) or "(?!)"


wildcard_constraints:
    dataset="|".join(map(re.escape, cfg.dataset_names)),
    train_set="|".join(map(re.escape, cfg.dataset_names)),
    run="|".join(map(re.escape, cfg.runs)),
    backbone=r"[^/]+",
    weights=r"[^/]+",
    height=r"\d+",
    width=r"\d+",
    seed=r"\d+",
    gen=r"\d+",
    rerank=one_of(one.name for one in cfg.rerank),


scattergather:
    extract=cfg.shards,
    search=cfg.search.shards,


def plain(section):
    """A config section as plain data, the only kind of param that Snakemake can compare."""
    return section.model_dump(mode="json")


def once_for(*names):
    """Decorator: a function of wildcards that looks at these only is called once for each of their values."""

    def decorate(function):
        known = {}

        def cached(w):
            key = tuple(w[name] for name in names)
            if key not in known:
                known[key] = function(w)
            return known[key]

        return cached

    return decorate


def of_run(*names):
    """Param function: sections of the wildcards' run."""
    return once_for("run")(lambda w: {name: plain(getattr(cfg.runs[w.run], name)) for name in names})


def dataset(name):
    return catalogue[name]


def raw_files(w):
    """What `index` reads: what `render` makes or `download` fetches, or those of the published files that lie there.

    A missing one is no missing input: the job itself says where to get it, and a dry run needs no data. Once the
    index is there, files that are gone (a disk not mounted) do not make it again.
    """
    declared = dataset(w.dataset)
    paths = [str(declared.root / name) for name in declared.files]
    if declared.render:
        return paths[:1]
    indexed, manifest = (os.path.exists(f"results/{w.dataset}/{name}") for name in ("images.csv", "download.json"))
    there = [path for path in paths if os.path.exists(path)]
    if w.dataset in cfg.custom:  # a photo that is added to a folder changes the folder's own time only
        there += [folder for path in there for folder, _, _ in os.walk(path) if folder != path]
    begun = any(
        (declared.root / name).exists() for name in ("downloads.json", *(f"{r.name}.part" for r in declared.remotes))
    )
    check_own(w.dataset, declared, paths, indexed)
    if declared.remotes and (manifest or (not indexed and (begun or len(there) < len(paths)))):
        return f"results/{w.dataset}/download.json"
    return list(dict.fromkeys(paths + there)) if indexed else there


def check_own(name, declared, paths, indexed):
    """Stop, also a dry run, at a dataset of the user's own that is not where the configuration says."""
    own = cfg.custom.get(name)
    if own and not indexed:
        is_there(f"custom.{name}.{'csv' if own.csv else 'folder'}", paths[0])
    elif name in cfg.roots and not declared.remotes and not indexed:  # a download makes its folder
        is_there(f"roots.{name}", cfg.roots[name])


def is_there(key, path):
    """Whether a file is there that a key of the configuration names; if not, the main process says so and stops.

    It is asked for what a planned job reads, and for nothing else: what is there can be finished without the others.
    """
    found = os.path.exists(path)
    if not found and workflow.is_main_process and "--unlock" not in sys.argv:
        sys.exit(f"error: config: {key}: {path}: no such file or folder")
    return found


def made_from(*names, clustered=False):
    """Param function: sections of the runs that share the wildcards' weights, trunk or centroids file."""

    def sections(w):
        known = {name: w[name] for name in ("backbone", "weights", "train_set") if name in w.keys()}
        size = (int(w.height), int(w.width)) if "height" in w.keys() else None
        run = cfg.sharing(**{"weights": "pretrain"} | known, size=size, clustered=clustered)
        return {name: plain(getattr(run, name)) for name in names}

    return sections


def trunk_of(run):
    """The cached activations of a run's frozen layers; [] if it wants none."""
    folder = f"results/trunk/{run.train_set}/{run.backbone.path}/{run.backbone.weights}"
    return f"{folder}/{run.image.height}x{run.image.width}.h5" if run.cache_trunk == "auto" else []


def trunk(w):
    run = cfg.runs[w.run]
    return [] if run.checkpoint else trunk_of(run)


def trunk_to_cluster(w):
    return trunk_of(cfg.sharing(backbone=w.backbone, weights=w.weights, train_set=w.train_set, clustered=True))


def weights(w):
    backbone = cfg.runs[w.run].backbone
    return f"results/weights/{backbone.path}/{backbone.weights}.safetensors"


def centroids(w):
    return centroids_of(cfg.runs[w.run], w.seed) or []


def teacher(w):
    """The previous generation's model, the last or the best; the first generation has no teacher."""
    gen = int(w.gen)
    chosen = cfg.runs[w.run].generation(gen).teacher
    return f"results/models/{w.run}/seed{w.seed}/gen{gen - 1}/{chosen}.safetensors" if gen else []


def training_images(w):
    return f"results/{cfg.runs[w.run].train_set}/images.csv"


def training_judged(w):
    judge = dataset(cfg.runs[w.run].train_set).protocols[0]
    return {"radius_m": judge.radius} | ({"differs": judge.differs} if judge.differs else {})


def whitening(w):
    """The whitening, for runs that evaluate whitened descriptors."""
    return f"{MODEL.format(**w)}/pca.h5" if "whitened" in cfg.runs[w.run].extract.descriptors else []


@once_for("run", "gen")
def identity(w):
    return cfg.runs[w.run].identity(int(w.gen))


@once_for("run", "gen")
def generation(w):
    """Param function: the `train` section of the wildcards' generation."""
    return plain(cfg.runs[w.run].generation(int(w.gen)))


network = of_run("image", "backbone", "aggregator")


@once_for("run", "gen")
def recipe(w):
    """Param function: what a checkpoint says of itself and must agree with; a published one says what it wants."""
    if cfg.runs[w.run].checkpoint:
        return {}
    return network(w) | {"train": generation(w)}


def own_weights(w):
    """The file that `backbone.file` names."""
    made = f"results/weights/{w.backbone}/{w.weights}.safetensors"
    return named_input("backbone.file", cfg.sharing(backbone=w.backbone, weights=w.weights).backbone.file, made)


def published(*names):
    """Param function: those keys of the checkpoint that a run evaluates instead of training one."""
    return lambda w: {name: getattr(cfg.runs[w.run].checkpoint, name) for name in names}


def named_file(key, made):
    """Input function: a file that a key of `checkpoint` names."""

    def find(w):
        return named_input(f"runs.{w.run}.checkpoint.{key}", getattr(cfg.runs[w.run].checkpoint, key), made.format(**w))

    return find


def named_input(key, named, made):
    """What a job reads of a file that a key of the configuration names: nothing if it names none. Once `made` is there,
    a file that is gone (a disk not mounted) does not make it again."""
    return [named] if named and (os.path.exists(made) or is_there(key, named)) else []


def evaluated_checkpoint(w):
    """The model of a generation that is evaluated."""
    run = cfg.runs[w.run]
    return f"{MODEL.format(**w)}/{'published' if run.checkpoint else run.extract.checkpoint}.safetensors"


def chosen_on(w):
    """Where the evaluated epoch was chosen; a published network tells its own source."""
    return [] if cfg.runs[w.run].checkpoint else training_images(w)


def chosen(w):
    """Param function: which network of a training is evaluated, and where its val split is."""
    run = cfg.runs[w.run]
    return {"checkpoint": run.extract.checkpoint, "train_set": "" if run.checkpoint else run.train_set}


@once_for("dataset")
def judged(w):
    """Param function: how a dataset's hits are judged."""
    return [asdict(protocol) for protocol in dataset(w.dataset).protocols]


def candidates(w):
    """Param function: how many candidates a search keeps, so that `search.depth` places are among them."""
    return cfg.search.depth * max(protocol.views_per_place or 1 for protocol in dataset(w.dataset).protocols)


def index_wanted():
    """Param: the kind of index, and the bytes that it may take."""
    return {"kind": cfg.search.index, "memory": cfg.search.memory_gb * 1e9 * (cfg.search.index != "flat")}


def scopes(w):
    """Param function: what bounds a dataset's searches."""
    return sorted({protocol.scope for protocol in dataset(w.dataset).protocols})


def framings(w):
    """Param function: how a dataset's query photos are fitted to the network's size."""
    return sorted({protocol.framing for protocol in dataset(w.dataset).protocols})


def reranking(w):
    """Param function: the settings of the wildcards' re-ranker."""
    return plain(next(one for one in cfg.rerank if one.name == w.rerank))


def sized(w):
    """The tables of descriptor sizes of a dataset: of each run's last generation."""
    last = {run: len(cfg.runs[run].generations) - 1 for run in cfg.sized}
    return [
        f"{EVALUATED}/sizes.csv".format(dataset=w.dataset, run=run, seed=seed, gen=gen)
        for run, gen in last.items()
        for seed in seeds_of(run)
    ]


def generations(runs):
    """Every (run, generation) of some runs."""
    return [(name, gen) for name, run in runs.items() for gen in range(len(run.generations))]


def seeds_of(run):
    """The seeds of a run; of a published network, which is one, the first, if nothing of it is fitted here."""
    return cfg.seeds[:1] if run in with_own_pca else cfg.seeds


def networks():
    """(run, seed, generation) of every network, in the order of `tree`."""
    return [(run, seed, gen) for run, gen in generations(cfg.runs) for seed in seeds_of(run)]


def identities():
    """The fingerprint of every network's recipe, in the order of `tree`."""
    return [cfg.runs[run].identity(gen) for run, _, gen in networks()]


def tree(pattern, runs=cfg.runs, **wildcards):
    """A pattern for every run, seed and generation of some runs."""
    return [
        pattern.format(run=run, seed=seed, gen=gen, **wildcards)
        for run, gen in generations(runs)
        for seed in seeds_of(run)
    ]


def centroids_of(run, seed):
    """The centroids that a run starts from; None if its aggregator is not NetVLAD."""
    folder = f"results/centroids/{run.train_set}/{run.backbone.path}/{run.backbone.weights}"
    return f"{folder}/seed{seed}.h5" if run.aggregator.name == "netvlad" else None


def last(pattern, runs=cfg.runs, **wildcards):
    """A pattern for the last generation and the first seed of some runs."""
    gens = {run: len(cfg.runs[run].generations) - 1 for run in runs}
    return [pattern.format(run=run, seed=seeds_of(run)[0], gen=gens[run], **wildcards) for run in runs]
