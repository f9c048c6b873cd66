"""`python -m benchmarks [names...] [--full] [--json FILE]`: figures beside their limits, measured in the same run."""

import argparse
import json
import logging
import os
from dataclasses import asdict
from pathlib import Path


def main():
    # torch reads it when it is imported: threads that spin while they wait cost a busy machine a multiple of the work
    os.environ.setdefault("OMP_WAIT_POLICY", "passive")
    import torch

    from benchmarks.measure import HEAD, machine
    from benchmarks.suite import SUITE

    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("names", nargs="*", help=f"some of: {', '.join(SUITE)} (default: all)")
    parser.add_argument("--full", action="store_true", help="search at D=4096, and more repetitions: long")
    parser.add_argument("--json", metavar="FILE", type=Path, help="write the rows to a file as well")
    asked = parser.parse_args()
    if unknown := set(asked.names) - set(SUITE):
        parser.error(f"no benchmark {unknown.pop()!r}; there are {', '.join(SUITE)}")
    logging.getLogger("faiss").setLevel(logging.WARNING)
    torch.backends.cudnn.allow_tf32 = torch.backends.cuda.matmul.allow_tf32 = False
    on = machine()
    print(f"{on['cpu']}, {on['threads']} threads; GPU: {on['gpu'] or 'none'}; torch {on['torch']}")
    print(f"float32, TF32 off; threads wait: {os.environ['OMP_WAIT_POLICY']}")
    if on["load"] and on["load"] > 0.5:
        print(f"The machine is busy (load {on['load']:.1f}): times are too long, and ratios noisy; `cpu` is less so.")
    print("Medians; ratio: of wall time (or rate) to the limit's, cpu: of CPU time.", HEAD, sep="\n\n", flush=True)
    rows = []
    for name, run in SUITE.items():
        for row in run(asked.full) if name in asked.names or not asked.names else ():
            print(row, flush=True)
            rows.append(asdict(row))
    if asked.json:
        asked.json.write_text(json.dumps({"machine": on, "rows": rows}, indent=1) + "\n")


if __name__ == "__main__":
    main()
