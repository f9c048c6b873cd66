"""Made-up tables of recalls, and a comparison of figures."""

import numpy as np
import pandas as pd


def recalls(dataset="city", runs=("vlad", "netvlad"), seeds=1, gens=1, forms=("raw", "whitened"), ks=(1, 5, 10)):
    """A recalls.csv with random, growing recalls."""
    rng, rows = np.random.default_rng(0), []
    for run, gen, seed, form in [(r, g, s, f) for r in runs for g in range(gens) for s in range(seeds) for f in forms]:
        for k, recall in zip(ks, np.sort(rng.uniform(0.1, 0.9, len(ks))), strict=True):
            rows.append({"dataset": dataset, "run": run, "seed": seed, "gen": gen, "descriptor": form, "dim": 256})
            rows[-1] |= {
                "rerank": "none",
                "condition": "all",
                "k": k,
                "recall": recall,
                "low": recall - 0.05,
                "high": recall + 0.05,
            }
            rows[-1] |= {
                "chance": 0.01 * k,
                "queries": 1300,
                "places": 54,
                "groups": 54,
                "design_effect": 1.5,
                "database": 480,
                "protocol": "10 m",
            }
    return pd.DataFrame(rows)


def written(tmp_path, draw):
    """The bytes of two runs of `draw`, and its figure."""
    figures = [draw(tmp_path / name) for name in ("a.svg", "b.svg")]
    return [(tmp_path / name).read_bytes() for name in ("a.svg", "b.svg")], figures[0]


def same_files(tmp_path, draw):
    """The figure of `draw`, once two runs of it have given the same bytes."""
    (first, again), fig = written(tmp_path, draw)
    assert first == again
    return fig
