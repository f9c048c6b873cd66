import h5py
import numpy as np
import pytest

from vprlib.models.whitening import Whitening, fit


def descriptors(count, width, seed=0):
    """Correlated unit rows with an offset mean, as descriptors are."""
    rng = np.random.default_rng(seed)
    x = (
        rng.normal(size=(count, width))
        * np.geomspace(1, 0.05, width)
        @ np.linalg.qr(rng.normal(size=(width, width)))[0]
    )
    x += rng.normal(size=width)
    return (x / np.linalg.norm(x, axis=1, keepdims=True)).astype(np.float32)


@pytest.mark.parametrize(("count", "width", "dim"), [(300, 24, 24), (300, 24, 5), (40, 90, 30), (50, 50, 20)])
def test_the_fitted_data_get_unit_covariance(count, width, dim):
    x = descriptors(count, width)
    found = fit(x, dim)
    y = found.project(x).astype(np.float64)
    np.testing.assert_allclose(y.mean(0), 0, atol=1e-4)
    np.testing.assert_allclose(y.T @ y / (count - 1), np.eye(dim), atol=1e-4)
    np.testing.assert_allclose(found.U.T @ found.U, np.eye(dim), atol=1e-4)
    assert np.all(np.diff(found.lams) <= 0)


def test_primal_and_dual_agree_up_to_sign():
    x = descriptors(60, 40)
    wide = np.hstack([x, np.zeros((60, 40), np.float32)])  # the same points, more dimensions than points
    primal, dual = fit(x, 30), fit(wide, 30)
    np.testing.assert_allclose(np.abs(dual.project(wide)), np.abs(primal.project(x)), atol=1e-3)
    np.testing.assert_allclose(dual.lams, primal.lams, rtol=1e-4)


@pytest.mark.parametrize(("count", "width"), [(100, 20), (20, 100)])
def test_a_smaller_fit_is_the_start_of_a_larger_one(count, width):
    x = descriptors(count, width)
    small, large = fit(x, 4), fit(x, 12)
    np.testing.assert_allclose(small.project(x), large.project(x)[:, :4], atol=1e-4)
    np.testing.assert_array_equal(fit(x, 4).U, small.U)
    assert np.all(np.take_along_axis(small.U, np.abs(small.U).argmax(0)[None], 0) > 0)


def test_apply_is_the_definition():
    x, others = descriptors(200, 16), descriptors(50, 16, seed=1)
    found = fit(x, 6)
    centred = x.astype(np.float64) - x.mean(0, dtype=np.float64)
    lams, U = np.linalg.eigh(centred.T @ centred / 199)
    y = (others - x.mean(0, dtype=np.float64)) @ (U[:, ::-1][:, :6] / np.sqrt(lams[::-1][:6]))
    y /= np.linalg.norm(y, axis=1, keepdims=True)
    applied = found.apply(others)
    np.testing.assert_allclose(applied, y * np.sign((y * applied).sum(0)), atol=1e-4)
    assert applied.dtype == np.float32


def test_a_large_mean_and_small_eigenvalues_cost_no_digit():
    """Unit descriptors that have 0.9 of their square length in common, and eigenvalues over four decades."""
    rng = np.random.default_rng(0)
    U = np.linalg.qr(rng.normal(size=(2048, 256)))[0].astype(np.float32)
    lams = np.geomspace(1e-2, 1e-6, 256)
    mu = rng.normal(size=(2048, 1))
    mu *= np.sqrt(0.9) / np.linalg.norm(mu)
    x = (mu.T + rng.normal(size=(50, 256)) * np.sqrt(lams) @ U.T).astype(np.float32)
    found = Whitening(U, *(part.astype(np.float32) for part in (lams, mu, U.T @ mu)))
    U, lams, Utmu, x = (part.astype(np.float64) for part in (found.U, found.lams, found.Utmu, x))
    y = (x @ U - Utmu.T) / np.sqrt(lams)
    np.testing.assert_allclose(found.apply(x), y / np.linalg.norm(y, axis=1, keepdims=True), atol=1e-7, rtol=0)


def test_a_saved_whitening_has_the_published_layout_and_loads(tmp_path, refused):
    x = descriptors(100, 16)
    found = fit(x, 6)
    found.save(tmp_path / "pca.h5", {"checkpoint": "abc"})
    with h5py.File(tmp_path / "pca.h5") as file:
        assert {name: file[name].shape for name in file} == {"U": (16, 6), "lams": (6,), "mu": (16, 1), "Utmu": (6, 1)}
        assert file.attrs["checkpoint"] == "abc"
        weight = (file["U"][:] / np.sqrt(file["lams"][:])).T
        offset = -weight @ file["mu"][:]
        np.testing.assert_allclose(file["Utmu"][:], file["U"][:].T @ file["mu"][:], atol=1e-6)
    np.testing.assert_allclose(found.project(x), (weight @ x.T + offset).T, atol=1e-4)
    np.testing.assert_allclose(Whitening.load(tmp_path / "pca.h5").apply(x), found.apply(x), atol=1e-6)
    (tmp_path / "pca.h5").write_bytes(b"")
    with refused(tmp_path / "pca.h5"):
        Whitening.load(tmp_path / "pca.h5")


def test_what_cannot_be_fitted_or_applied_is_refused(refused):
    x = descriptors(20, 16)
    for some, dim, most in ((x, 0, 16), (x, 17, 16), (x[:8], 8, 7)):
        with refused("whiten.dim", f"{dim} dimensions", f"at most {most}"):
            fit(some, dim)
    with refused("16-D", "15"):
        fit(x, 4).apply(x[:, :15])
    x[3, 5] = np.nan
    with refused("descriptor 3", "not finite"):
        fit(x, 4)


LAYERS = {
    "rows at random angles": lambda rng: rng.normal(size=(12, 40)) * rng.uniform(0.01, 30, (12, 1)),
    "more rows than values": lambda rng: rng.normal(size=(40, 12)),
    "rows that repeat": lambda rng: np.repeat(rng.normal(size=(6, 40)), 2, axis=0),
    "a row of zeros": lambda rng: rng.normal(size=(12, 40)) * (np.arange(12) > 0)[:, None],
    "eigenvalues below the floor": lambda rng: rng.normal(size=(12, 40)) * 1e6,
}


@pytest.mark.parametrize("make", LAYERS.values(), ids=list(LAYERS))
def test_any_linear_layer_is_a_whitening(make, tmp_path):
    rng = np.random.default_rng(0)
    weight = make(rng)
    bias, x = rng.normal(size=len(weight)) * np.abs(weight).max(), descriptors(30, weight.shape[1])
    Whitening.of_layer(weight, bias).save(tmp_path / "pca.h5")
    found = Whitening.load(tmp_path / "pca.h5")
    y = x @ weight.T + bias
    np.testing.assert_allclose(found.apply(x), y / np.linalg.norm(y, axis=1, keepdims=True), atol=1e-6)
    again = found.layer()
    np.testing.assert_allclose(again[0], weight, rtol=1e-6)
    np.testing.assert_allclose(again[1], bias, rtol=1e-6)


def test_the_layer_of_a_fit_gives_the_fit_back_and_others_can_read_it():
    found = fit(descriptors(200, 16), 6)
    again = Whitening.of_layer(*found.layer())
    np.testing.assert_allclose(again.U, found.U, atol=1e-5)
    np.testing.assert_allclose(again.lams, found.lams, rtol=1e-4)
    np.testing.assert_allclose(again.Utmu, found.Utmu, atol=1e-6)
    np.testing.assert_allclose(again.U.T @ again.mu, again.Utmu, atol=1e-6)  # OpenIBL computes it anew


@pytest.mark.parametrize("width", [16, 300], ids=["primal", "dual"])
def test_more_dimensions_than_copied_photos_span_are_refused_with_the_largest_possible(width, refused):
    scenes, rng = 9, np.random.default_rng(4)
    for offset in (0, 3):
        x = rng.normal(size=(scenes, width)) + offset
        x = np.repeat(x / np.linalg.norm(x, axis=1, keepdims=True), 20, axis=0).astype(np.float32)
        with refused("whiten.dim", "12 dimensions", f"span only {scenes - 1}", f"at most {scenes - 1}"):
            fit(x, 12)
        assert fit(x, scenes - 1).dim == scenes - 1


def test_photos_that_are_nearly_equal_and_small_eigenvalues_are_no_noise():
    rng = np.random.default_rng(4)
    x = np.repeat(rng.normal(size=(9, 64)), 20, axis=0) + 0.01 * rng.normal(size=(180, 64))
    found = fit((x / np.linalg.norm(x, axis=1, keepdims=True)).astype(np.float32), 60)
    np.testing.assert_allclose(found.project(x / np.linalg.norm(x, axis=1, keepdims=True)).std(0, ddof=1), 1, atol=0.02)
