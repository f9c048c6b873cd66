"""Run benchmarks: each figure is printed next to its limit, which is measured in the same run."""

import argparse
import json
import logging
import os
from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the benchmarks that are named, or all of them, and print a table.

    Args:
        arguments: the command line; by default that of this process.
    """
    # torch reads this variable when it is imported; on a busy machine, waiting threads that spin slow the others down
    os.environ.setdefault("OMP_WAIT_POLICY", "passive")
    import torch

    from benchmarks.measure import HEADER, describe_machine
    from benchmarks.suite import SUITE

    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="name", help=f"one of {', '.join(SUITE)}; by default all run")
    sizes = parser.add_mutually_exclusive_group()
    sizes.add_argument("--toy", action="store_true", help="tiny inputs, to check that everything runs; seconds")
    sizes.add_argument("--full", action="store_true", help="the sizes of the papers, and more repetitions; hours")
    parser.add_argument("--json", metavar="FILE", type=Path, help="write the rows to a file as well")
    options = parser.parse_args(arguments)
    if unknown := set(options.names) - set(SUITE):
        parser.error(f"unknown benchmark {min(unknown)!r}; there are {', '.join(SUITE)}")
    logging.getLogger("faiss").setLevel(logging.WARNING)
    torch.backends.cudnn.allow_tf32 = torch.backends.cuda.matmul.allow_tf32 = False
    machine = describe_machine()
    print(f"{machine['cpu']}, {machine['threads']} threads; GPU: {machine['gpu'] or 'none'}; torch {machine['torch']}")
    print(f"float32, TF32 off; OMP_WAIT_POLICY: {os.environ['OMP_WAIT_POLICY']}")
    if machine["load"] and machine["load"] > 0.5:
        print(f"The machine is busy (load {machine['load']:.1f}): times are too long and ratios noisy, `cpu` less so.")
    if options.toy:
        print("Toy sizes: no figure says anything about speed, so no target is checked.")
    print("Medians; ratio: measured / limit in wall time (or rate); cpu: the same in CPU time.", end="\n\n")
    print(HEADER, flush=True)
    rows = []
    for name, run in SUITE.items():
        if options.names and name not in options.names:
            continue
        for row in run("toy" if options.toy else "full" if options.full else "normal"):
            shown = replace(row, target="", ok=None) if options.toy else row
            print(shown, flush=True)
            rows.append(asdict(shown))
    if options.json:
        options.json.write_text(json.dumps({"machine": machine, "rows": rows}, indent=1) + "\n")


if __name__ == "__main__":
    main()
