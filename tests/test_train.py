"""Run as a program, `test_train.py ROOT FOLDER`, it trains on the mini dataset of ROOT: the process that is killed."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

from vprlib import files
from vprlib.config import Aggregator, Backbone, Image, Train
from vprlib.datasets.csvfile import dataset
from vprlib.model import build, load_checkpoint, write_weights
from vprlib.train import Job, Sources, pick, train

SECTIONS = {
    "image": Image(height=24, width=32),
    "backbone": Backbone(options={"width": 1 / 16}),
    "aggregator": Aggregator(clusters=4),
}
SETTINGS = {"epochs": 4, "negatives": 2, "negative_pool": 3, "tuples_per_step": 2, "queries_per_refresh": 4}
SETTINGS |= {"learning_rate": 0.05, "decay_every": 3, "best_by": 1}
OUTPUTS = ("last.safetensors", "best.safetensors", "history.csv")


def run(root, folder, *, seed=0, generation=0, teacher=None, **settings):
    sources = {name: root / file for name, file in (("images", "images.csv"), ("weights", "w"), ("centroids", "c.h5"))}
    train(
        folder=folder,
        dataset=dataset(root / "own.csv", 10.0, None, "10 m"),
        sources=Sources(**sources, teacher=teacher),
        **SECTIONS,
        settings=Train(**SETTINGS | settings),
        generation=generation,
        seed=seed,
        job=Job(torch.device("cpu"), batch=4, workers=0, checkpoint_minutes=1e-9),
    )
    return {name: (folder / name).read_bytes() for name in OUTPUTS}


def state_of(path):
    return load_checkpoint(path)[0].state_dict()


@pytest.fixture(scope="module", autouse=True)
def one_thread():
    """Sums are then added in the same order here and in the process that is killed."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="module")
def root(tmp_path_factory, photo):
    """12 tiny photos a role: 7 places of train and 5 of val, 50 m apart; the last train query is far from all."""
    root, rows = tmp_path_factory.mktemp("mini"), ["path,split,role,east,north"]
    for place in range(12):
        for number, role in enumerate(("database", "query")):
            name = f"{role}_{place}.png"
            photo(root / name, seed=100 * number + place // 2)
            east = 50 * place + 3 * number + 30 * (role == "query" and place == 6)
            rows.append(f"{name},{'train' if place < 7 else 'val'},{role},{east},0")
    (root / "own.csv").write_text("\n".join(rows))
    files.write_csv(root / "images.csv", dataset(root / "own.csv", 10.0, None, "10 m").table())
    with torch.random.fork_rng():
        torch.manual_seed(0)
        write_weights(root / "w", build(**SECTIONS).backbone.state_dict(), {})
    rng = np.random.default_rng(0)
    descriptors = rng.normal(size=(50, 32)).astype(np.float32)
    files.write_h5(root / "c.h5", {"centroids": descriptors[:4] / 2, "descriptors": descriptors})
    return root


@pytest.fixture(scope="module")
def undisturbed(root, one_thread, tmp_path_factory):
    folder = tmp_path_factory.mktemp("undisturbed")
    return run(root, folder), folder


def test_training_again_gives_the_same_bytes_and_another_seed_others(root, undisturbed, tmp_path):
    first, _ = undisturbed
    assert run(root, tmp_path / "a") == first
    other = run(root, tmp_path / "b", seed=1)
    assert all(other[name] != first[name] for name in ("last.safetensors", "history.csv"))
    assert not list((tmp_path / "a").glob("*resume*"))


def test_a_history_tells_every_epoch_and_best_is_the_first_with_the_highest_recall(root, undisturbed):
    _, folder = undisturbed
    history = pd.read_csv(folder / "history.csv")
    assert history.epoch.tolist() == [0, 1, 2, 3, 4]
    np.testing.assert_allclose(history.learning_rate[1:], [0.05, 0.05, 0.05, 0.025])
    assert history.loss[1:].between(0, 1).all()
    assert history.violating[1:].between(0, 1).all()
    assert list(history.columns[4:]) == ["val_recall@1", "val_recall@5"]  # its database has 5 photos
    best, last = (load_checkpoint(folder / f"{name}.safetensors")[1] for name in ("best", "last"))
    assert last["epoch"] == 4
    assert best["epoch"] == 1 + int(np.argmax(history["val_recall@1"][1:]))
    assert (best["seed"], best["generation"], best["train"]["margin"]) == (0, 0, Train().margin)
    assert best["sources"]["weights"] == files.digest(root / "w")


def test_only_what_lies_behind_the_cut_is_trained(root, undisturbed):
    model, _ = load_checkpoint(undisturbed[1] / "last.safetensors")
    with torch.random.fork_rng():
        torch.manual_seed(0)
        before = build(**SECTIONS).backbone.state_dict()
    for name, tensor in model.backbone.state_dict().items():
        assert torch.equal(tensor, before[name]) == (int(name.split(".")[1]) < 24), name


@pytest.mark.parametrize("epoch", [0, 2])
def test_a_killed_training_goes_on_to_the_same_bytes(root, undisturbed, tmp_path, repository, refused, epoch):
    """Stopped in the middle of an epoch it holds its folder; killed there, another process finishes its work."""
    environment = os.environ | {"PYTHONPATH": str(repository), "OMP_NUM_THREADS": "1"}
    command = [sys.executable, __file__, root, tmp_path]
    with subprocess.Popen(command, env=environment, stderr=subprocess.DEVNULL) as process:
        try:
            reached, patience = False, time.monotonic() + 120
            while not reached and process.poll() is None and time.monotonic() < patience:
                time.sleep(0.002)
                if (tmp_path / "resume.pt").exists():
                    process.send_signal(signal.SIGSTOP)
                    progress = torch.load(tmp_path / "resume.pt", weights_only=True)["progress"]
                    reached = progress["epoch"] >= epoch
                    if not reached:
                        process.send_signal(signal.SIGCONT)
            assert reached, f"ended with {process.returncode} before epoch {epoch}"
            assert progress["epoch"] < SETTINGS["epochs"]
            with refused(tmp_path, "another process"):
                run(root, tmp_path)
        finally:
            process.kill()
    assert not (tmp_path / "history.csv").exists()
    assert run(root, tmp_path) == undisturbed[0]
    assert not list(tmp_path.glob("*resume*"))


def test_the_state_of_another_recipe_is_not_resumed(root, undisturbed, tmp_path, caplog):
    with pytest.raises(ValueError, match="loss"):
        run(root, tmp_path, learning_rate=1e30)  # leaves its state behind
    assert torch.load(tmp_path / "resume.pt", weights_only=True)["progress"]["step"] == 1
    with caplog.at_level("INFO"):
        assert run(root, tmp_path) == undisturbed[0]
    assert "another recipe" in caplog.text


def test_a_loss_that_is_no_number_ends_training_with_where(root, tmp_path, refused):
    with refused("loss is nan", "epoch 1", "step 2", root / "query_", "train.learning_rate"):
        run(root, tmp_path, learning_rate=1e30)
    assert not (tmp_path / "last.safetensors").exists()


def test_no_epochs_keep_the_initial_network(root, tmp_path):
    run(root, tmp_path, epochs=0)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = build(**SECTIONS)
    model.aggregator.initialise(*files.read_h5(root / "c.h5", "centroids", "descriptors"))
    for name in ("last", "best"):
        state = state_of(tmp_path / f"{name}.safetensors")
        assert all(torch.equal(tensor, model.state_dict()[key]) for key, tensor in state.items())
        assert load_checkpoint(tmp_path / f"{name}.safetensors")[1]["epoch"] == 0
    assert pd.read_csv(tmp_path / "history.csv").epoch.tolist() == [0]


def test_a_later_generation_starts_from_its_teacher_or_from_the_weights(root, undisturbed, tmp_path):
    teacher = undisturbed[1] / "last.safetensors"
    for start in ("previous", "weights"):
        run(root, tmp_path / start, epochs=0, generation=1, start=start, teacher=teacher)
    taught = state_of(teacher)
    previous, initial = (state_of(tmp_path / start / "last.safetensors") for start in ("previous", "weights"))
    assert all(torch.equal(tensor, taught[name]) for name, tensor in previous.items())
    assert not torch.equal(initial["aggregator.centroids"], taught["aggregator.centroids"])


def test_queries_without_positives_are_reported_by_number(root, tmp_path, caplog):
    with caplog.at_level("INFO"):
        run(root, tmp_path, epochs=1)
    assert "1 of 7 queries have no positive within 10 m" in caplog.text


if __name__ == "__main__":
    torch.set_num_threads(1)
    run(Path(sys.argv[1]), Path(sys.argv[2]))


def test_a_photo_that_occurs_twice_gets_the_same_gradient_in_every_run():
    threads = torch.get_num_threads()
    torch.set_num_threads(4)
    try:
        make = torch.Generator().manual_seed(0)
        x_BD = torch.randn(6, 4096, generator=make).requires_grad_()
        positions_TI = torch.randint(6, (8, 12), generator=make)
        weight_TID = torch.randn(8, 12, 4096, generator=make) * torch.logspace(-3, 3, 12)[:, None]
        torch.testing.assert_close(pick(x_BD, positions_TI), x_BD[positions_TI], rtol=0, atol=0)
        gradients = []
        for _ in range(30):
            (gradient,) = torch.autograd.grad((pick(x_BD, positions_TI) * weight_TID).sum(), x_BD)
            gradients.append(gradient)
        assert all(torch.equal(gradients[0], other) for other in gradients)
    finally:
        torch.set_num_threads(threads)
