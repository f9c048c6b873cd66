import contextlib
import json
import os
import signal
import subprocess
import sys
import time

import numpy as np
import pandas as pd
import psutil
import pytest
import torch

from tests.helpers import tiny_training as mini
from tests.helpers.tiny_training import OUTPUTS, SETTINGS, SOFT, run
from vprlib.data.text_table import read_written_table
from vprlib.io.files import file_lock, read_h5
from vprlib.io.fingerprints import sha256_of_file
from vprlib.models.checkpoint import load_checkpoint, read_attributes, write_weights
from vprlib.training.objective import deterministic_gather

GENTLE = {
    "optimiser": {"options": {"lr": 0.005}}
}  # at 0.05 this network turns a last digit into a fourth one within epochs


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
    return mini.make(tmp_path_factory.mktemp("mini"), photo)


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
    history = read_written_table(folder / "history.csv", lambda _: True)
    assert history.epoch.tolist() == [0, 1, 2, 3, 4]
    np.testing.assert_allclose(history.learning_rate[1:], [0.05, 0.05, 0.05, 0.025])
    assert history.loss[1:].between(0, 1).all()
    assert history.violating_share[1:].between(0, 1).all()
    assert list(history.columns[-2:]) == ["val_recall@1", "val_recall@5"]  # its database has 5 photos
    best, last = (load_checkpoint(folder / f"{name}.safetensors")[1] for name in ("best", "last"))
    assert last["epoch"] == 4
    assert best["epoch"] == 1 + int(np.argmax(history["val_recall@1"][1:]))
    assert (best["seed"], best["generation"], best["train"]["loss"]) == (0, 0, {"name": "triplet", "options": {}})
    assert best["sources"]["weights"] == sha256_of_file(root / "w")


def test_only_what_lies_behind_the_cut_is_trained(root, undisturbed):
    model, _ = load_checkpoint(undisturbed[1] / "last.safetensors")
    before = mini.initial().backbone.state_dict()
    for name, tensor in model.backbone.state_dict().items():
        assert torch.equal(tensor, before[name]) == (int(name.split(".")[1]) < 24), name


@pytest.mark.parametrize("epoch", [0, 2])
def test_a_killed_training_goes_on_to_the_same_bytes(root, undisturbed, tmp_path, repository, refused, epoch):
    """Stopped in the middle of an epoch it holds its folder; killed there, another process finishes its work."""
    environment = os.environ | {"PYTHONPATH": str(repository), "OMP_NUM_THREADS": "1"}
    command = [sys.executable, mini.__file__, root, tmp_path, "{}"]
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
            with refused(tmp_path, f"process {process.pid}"):
                run(root, tmp_path)
        finally:
            process.kill()
    assert not (tmp_path / "history.csv").exists()
    assert run(root, tmp_path) == undisturbed[0]
    assert not list(tmp_path.glob("*resume*"))


def test_the_state_of_another_recipe_is_not_resumed(root, undisturbed, tmp_path, caplog):
    with pytest.raises(ValueError, match="loss"):
        run(root, tmp_path, optimiser={"options": {"lr": 1e30}})  # leaves its state behind
    assert torch.load(tmp_path / "resume.pt", weights_only=True)["progress"]["step"] == 1
    with caplog.at_level("INFO"):
        assert run(root, tmp_path) == undisturbed[0]
    assert "another recipe" in caplog.text


def test_a_loss_that_is_no_number_ends_training_with_where_and_what_is_left(root, tmp_path, refused):
    photos = root / "query_", root / "database_"
    with refused("epoch 1/4, part 1/2, step 2", "loss is nan", "train.optimiser", "epoch 0", *photos):
        run(root, tmp_path, optimiser={"options": {"lr": 1e30}})
    assert not (tmp_path / "last.safetensors").exists()


def test_a_network_that_knows_nothing_is_not_trained(root, tmp_path, refused):
    with refused(
        "train.min_initial_recall", "before training", "below 0.920", "chance is 0.200", "weights or centroids"
    ):
        run(root, tmp_path, min_initial_recall=0.9)
    assert not (tmp_path / "last.safetensors").exists()


def test_no_epochs_keep_the_initial_network(root, tmp_path):
    run(root, tmp_path, epochs=0)
    model = mini.initial()
    model.aggregator.initialise(*read_h5(root / "c.h5", "centroids", "descriptors"))
    for name in ("last", "best"):
        state = state_of(tmp_path / f"{name}.safetensors")
        assert all(torch.equal(tensor, model.state_dict()[key]) for key, tensor in state.items())
        assert load_checkpoint(tmp_path / f"{name}.safetensors")[1]["epoch"] == 0
    assert pd.read_csv(tmp_path / "history.csv").epoch.tolist() == [0]


def test_a_later_generation_starts_from_its_teacher_or_from_the_weights(root, undisturbed, tmp_path):
    teacher = undisturbed[1] / "last.safetensors"
    for start in ("previous", "weights"):
        run(root, tmp_path / start, epochs=0, generation=1, initialize_from=start, teacher=teacher)
    taught = state_of(teacher)
    previous, initial = (state_of(tmp_path / start / "last.safetensors") for start in ("previous", "weights"))
    assert all(torch.equal(tensor, taught[name]) for name, tensor in previous.items())
    assert not torch.equal(initial["aggregator.centroids"], taught["aggregator.centroids"])


def test_queries_without_positives_are_reported_by_number(root, tmp_path, caplog):
    with caplog.at_level("INFO"):
        run(root, tmp_path, epochs=1)
    assert "1 of 7 queries have no positive within 10 m" in caplog.text


@pytest.fixture(scope="module")
def taught(root, undisturbed, tmp_path_factory):
    """A generation with SFRS's losses, after the undisturbed one."""
    folder = tmp_path_factory.mktemp("taught")
    return run(root, folder, generation=1, teacher=undisturbed[1] / "last.safetensors", **SOFT), folder


def test_the_teacher_is_a_file_and_its_hash_stands_in_the_checkpoint(undisturbed, taught):
    attributes = load_checkpoint(taught[1] / "last.safetensors")[1]
    assert attributes["sources"]["teacher"] == sha256_of_file(undisturbed[1] / "last.safetensors")
    history = pd.read_csv(taught[1] / "history.csv")
    assert (history.loss_soft[1:] > 0).all()
    np.testing.assert_allclose(history.loss, history.loss_hard + 0.5 * history.loss_soft)


def test_a_checkpoint_says_what_it_was_made_with_its_inputs_included(root, undisturbed, taught):
    first, second = (read_attributes(path / "last.safetensors") for path in (undisturbed[1], taught[1]))
    assert {"image", "backbone", "aggregator", "train"} <= set(first["recipe"])
    assert len(first["recipe"]["train"]) == 1
    assert second["recipe"]["train"][0] == first["recipe"]["train"][0], "what the teacher was trained with"
    assert len(second["recipe"]["train"]) == 2
    assert {read_attributes(undisturbed[1] / f"{name}.safetensors")["saved_as"] for name in ("last", "best")} == {
        "last",
        "best",
    }


def test_a_flipped_bit_of_a_checkpoint_is_told(undisturbed, tmp_path, refused):
    content = (undisturbed[1] / "last.safetensors").read_bytes()
    rng = np.random.default_rng(0)
    for position in rng.integers(8, len(content), 40):
        damaged = bytearray(content)
        damaged[position] ^= 1 << int(rng.integers(8))
        (tmp_path / "last.safetensors").write_bytes(damaged)
        with refused(tmp_path / "last.safetensors"):
            load_checkpoint(tmp_path / "last.safetensors")


def test_another_teacher_teaches_something_else(root, undisturbed, taught, tmp_path):
    teacher = undisturbed[1] / "best.safetensors"
    assert teacher.read_bytes() != (undisturbed[1] / "last.safetensors").read_bytes()
    assert run(root, tmp_path, generation=1, teacher=teacher, **SOFT) != taught[0]


def test_a_teacher_with_another_trunk_is_refused(root, undisturbed, tmp_path, refused):
    model, attributes = load_checkpoint(undisturbed[1] / "last.safetensors")
    with torch.no_grad():
        model.backbone.layers["0"].weight += 1
    write_weights(tmp_path / "other.safetensors", model.state_dict(), attributes)
    with refused("other.safetensors", "frozen layers"):
        run(root, tmp_path / "out", generation=1, teacher=tmp_path / "other.safetensors", **SOFT)


def test_a_map_that_has_no_quarters_is_refused_before_anything_is_described(root, tmp_path, refused):
    with refused("image: 48 x 64 gives 3 x 4", "even"):
        run(root, tmp_path, height=48, by_region=True)
    assert not (tmp_path / "resume.pt").exists()


def test_a_damaged_state_is_not_used(root, undisturbed, tmp_path, refused):
    with pytest.raises(ValueError, match="loss"):
        run(root, tmp_path, optimiser={"options": {"lr": 1e30}})
    content = bytearray((tmp_path / "resume.pt").read_bytes())
    content[len(content) // 2] ^= 255
    (tmp_path / "resume.pt").write_bytes(content)
    with refused("resume.pt", "is damaged", "remove it"):
        run(root, tmp_path)


@pytest.mark.parametrize(("generation", "seed", "wrong"), [(2, 0, "generation 0, not 1"), (1, 5, "seed 0, not 5")])
def test_a_teacher_that_is_not_the_generation_before_is_refused(
    root, undisturbed, tmp_path, refused, generation, seed, wrong
):
    with refused("last.safetensors", wrong, "remove the file"):
        run(root, tmp_path, generation=generation, seed=seed, teacher=undisturbed[1] / "last.safetensors", **SOFT)


@pytest.mark.parametrize(
    "how",
    [
        {"mining": "partial"},
        {"mining": "random"},
        {"jitter": {"brightness": 0.7, "hue": 0.5}},
        {"cached": True},
        {"cached": True, "precision": "bf16"},
        {"cached": True, "precision": "bf16", "jitter": {"contrast": 0.7, "saturation": 0.5}},
    ],
)
def test_the_other_ways_of_training_repeat_too(root, undisturbed, tmp_path, how):
    first = run(root, tmp_path / "a", epochs=2, **how)
    assert run(root, tmp_path / "b", epochs=2, **how) == first
    assert first != run(root, tmp_path / "c", epochs=2)


@pytest.mark.parametrize("recipe", [{}, SOFT])
def test_small_chunks_change_only_the_last_digits(root, undisturbed, tmp_path, recipe):
    teacher = {"generation": 1, "teacher": undisturbed[1] / "last.safetensors"} if recipe else {}
    losses = []
    for chunk in (1, 64):
        run(root, tmp_path / str(chunk), epochs=2, chunk=chunk, **GENTLE, **teacher, **recipe)
        losses.append(pd.read_csv(tmp_path / str(chunk) / "history.csv").loss[1:])
    np.testing.assert_allclose(*losses, rtol=0, atol=1e-5)


@pytest.mark.parametrize("recipe", [{}, SOFT])
def test_two_processes_have_the_losses_of_one(root, undisturbed, tmp_path, recipe):
    """With the same global batch; the last step of a part has one tuple, so that one process has none."""
    teacher = {"generation": 1, "teacher": undisturbed[1] / "last.safetensors"} if recipe else {}
    both = []
    for processes in (1, 2):
        run(root, tmp_path / str(processes), batch_size=3, processes=processes, **GENTLE, **teacher, **recipe)
        both.append(pd.read_csv(tmp_path / str(processes) / "history.csv"))
    np.testing.assert_allclose(both[0].loss[1:], both[1].loss[1:], rtol=0, atol=1e-5)
    distances = (history.filter(regex="_p[0-9]") for history in both)
    np.testing.assert_allclose(*distances, atol=2e-3)


def test_an_error_in_one_of_two_processes_is_one_line(root, tmp_path, refused):
    with refused("loss is nan", "train.optimiser"):
        run(root, tmp_path, processes=2, optimiser={"options": {"lr": 1e30}})


def test_several_nodes_need_a_slurm_job(root, tmp_path, refused, monkeypatch):
    monkeypatch.delenv("SLURM_JOB_ID", raising=False)
    with refused("execution.nodes", "2", "no SLURM job"):
        run(root, tmp_path, nodes=2)


def test_who_trains_into_a_folder_is_named(root, tmp_path, refused, monkeypatch):
    monkeypatch.setenv("SLURM_JOB_ID", "123")
    with file_lock(tmp_path / "resume.pt"), refused("resume.pt", "SLURM job 123", f"process {os.getpid()}"):
        run(root, tmp_path)


@pytest.mark.parametrize("processes", [1, 2])
def test_sigterm_saves_and_leaves_and_the_rest_is_done_later(root, undisturbed, tmp_path, repository, processes):
    teacher = undisturbed[1] / "last.safetensors"
    arguments = {"generation": 1, "teacher": teacher, "epochs": 16, "patience": 16, **SOFT}
    program = started(repository, root, tmp_path, processes, **arguments)
    while not (tmp_path / "resume.pt").exists():
        time.sleep(0.01)
        assert program.poll() is None
    program.terminate()
    assert program.wait(timeout=10) == 128 + signal.SIGTERM
    assert "ended by SIGTERM" in (tmp_path / "log").read_text()
    left = torch.load(tmp_path / "resume.pt", weights_only=True)["progress"]
    assert left["epoch"] < 16
    again = started(repository, root, tmp_path, processes, **arguments)
    assert again.wait(timeout=300) == 0
    whole = started(repository, root, tmp_path / "whole", processes, **arguments)
    assert whole.wait(timeout=300) == 0
    for name in OUTPUTS:
        assert (tmp_path / name).read_bytes() == (tmp_path / "whole" / name).read_bytes()


def test_several_processes_listen_on_the_loopback_interface_only(root, tmp_path, repository):
    program, heard = started(repository, root, tmp_path, 2), set()
    while program.poll() is None:
        with contextlib.suppress(psutil.Error):
            for process in (own := psutil.Process(program.pid), *own.children(recursive=True)):
                heard |= {one.laddr.ip for one in process.net_connections() if one.status == psutil.CONN_LISTEN}
        time.sleep(0.02)
    assert program.returncode == 0
    assert heard == {"127.0.0.1"}


def started(repository, root, folder, processes, **settings):
    environment = os.environ | {"PYTHONPATH": str(repository), "OMP_NUM_THREADS": "1"}
    command = [sys.executable, mini.__file__, root, folder, json.dumps(settings, default=str), str(processes)]
    return subprocess.Popen(command, env=environment, stderr=subprocess.DEVNULL, start_new_session=True)


def test_a_photo_that_occurs_twice_gets_the_same_gradient_in_every_run():
    threads = torch.get_num_threads()
    torch.set_num_threads(4)
    try:
        make = torch.Generator().manual_seed(0)
        x_BD = torch.randn(6, 4096, generator=make).requires_grad_()
        positions_TI = torch.randint(6, (8, 12), generator=make)
        weight_TID = torch.randn(8, 12, 4096, generator=make) * torch.logspace(-3, 3, 12)[:, None]
        torch.testing.assert_close(deterministic_gather(x_BD, positions_TI), x_BD[positions_TI], rtol=0, atol=0)
        gradients = []
        for _ in range(30):
            (gradient,) = torch.autograd.grad((deterministic_gather(x_BD, positions_TI) * weight_TID).sum(), x_BD)
            gradients.append(gradient)
        assert all(torch.equal(gradients[0], other) for other in gradients)
    finally:
        torch.set_num_threads(threads)
