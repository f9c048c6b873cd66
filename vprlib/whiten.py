"""PCA whitening by the Gram matrix and a float64 eigendecomposition.

Source: Jegou and Chum, "Negative evidences and co-occurences in image retrieval" (ECCV 2012), as used by NetVLAD and
OpenIBL. The files have the published layout: `U` (D, dim), `lams` (dim,), `mu` (D, 1), `Utmu` (dim, 1).
Departs from OpenIBL's `pca.py`: the eigenproblem is solved in float64 (whitening error 1e-6 instead of 1e-3), and the
signs of the eigenvectors are fixed, so the same descriptors always give the same file.
"""

from dataclasses import dataclass

import numpy as np

from vprlib import files

BLOCK = 1024
FLOOR = 1e-9  # of an eigenvalue, before its square root divides


@dataclass(frozen=True)
class Whitening:
    """x -> L2-normalised (U / sqrt(lams))^T (x - mu)."""

    U: np.ndarray  # (D, dim) float32, orthonormal columns, largest eigenvalue first
    lams: np.ndarray  # (dim,) float32
    mu: np.ndarray  # (D, 1) float32

    @property
    def dim(self) -> int:
        return self.U.shape[1]

    def apply(self, x_ND) -> np.ndarray:
        """Whiten (N, D) descriptors; returns (N, dim) float32 with unit rows."""
        y = self.project(x_ND)
        return y / np.maximum(np.linalg.norm(y, axis=1, keepdims=True), 1e-12)

    def project(self, x_ND) -> np.ndarray:
        """The whitened (N, dim) float32 rows before their normalisation: unit covariance on the fitted data."""
        x_ND = np.asarray(x_ND, np.float32)
        if x_ND.shape[1] != len(self.U):
            raise files.BadInput(f"the whitening was fitted on {len(self.U)}-D descriptors, these have {x_ND.shape[1]}")
        return (x_ND @ self.U - (self.U.T @ self.mu).T) / np.sqrt(np.maximum(self.lams, FLOOR))

    def save(self, path, attributes=()):
        arrays = {"U": self.U, "lams": self.lams, "mu": self.mu, "Utmu": self.U.T @ self.mu}
        files.write_h5(path, arrays, attributes)

    @classmethod
    def load(cls, path) -> "Whitening":
        return cls(*files.read_h5(path, "U", "lams", "mu"))


def fit(x_ND, dim: int) -> Whitening:
    """Fit a whitening to `dim` dimensions.

    Args:
        x_ND: (N, D) descriptors; the primal covariance is used when D <= N, else the dual Gram matrix, so the work is
            min(N, D)^3 and the memory above `x_ND` one centred copy and that matrix.
        dim: at most D and N - 1 (N centred points span N - 1 dimensions).

    Raises:
        BadInput: if `dim` is out of range or a descriptor is not finite.
    """
    from scipy.linalg import eigh

    x = np.asarray(x_ND, np.float32)
    count, width = x.shape
    if not 1 <= dim <= min(width, count - 1):
        raise files.BadInput(
            f"whiten.dim: {dim} dimensions cannot be fitted to {count} descriptors of {width} values; "
            f"at most {max(0, min(width, count - 1))} can"
        )
    if not np.isfinite(x).all():
        raise files.BadInput(f"whitening: descriptor {int(np.where(~np.isfinite(x).all(1))[0][0])} is not finite")
    mu = x.mean(0, dtype=np.float64).astype(np.float32)
    x = x - mu
    dual = width > count
    gram = (x @ x.T if dual else x.T @ x).astype(np.float64) / (count - 1)
    order = len(gram)
    lams, vectors = eigh(gram, subset_by_index=[order - dim, order - 1], driver="evr", overwrite_a=True)
    lams, vectors = lams[::-1], vectors[:, ::-1]
    if dual:
        vectors = vectors / np.sqrt(np.maximum(lams, FLOOR) * (count - 1))
        # in float64 by blocks of features: a float32 product alone would cost a digit of the whitening
        blocks = [x[:, some : some + BLOCK].T.astype(np.float64) @ vectors for some in range(0, width, BLOCK)]
        vectors = np.concatenate(blocks)
    vectors = vectors * np.sign(vectors[np.abs(vectors).argmax(0), np.arange(dim)])
    return Whitening(vectors.astype(np.float32), lams.astype(np.float32), mu[:, None])
