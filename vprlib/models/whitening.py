"""PCA whitening by the Gram matrix and a float64 eigendecomposition.

Source: Jegou and Chum, "Negative evidences and co-occurences in image retrieval" (ECCV 2012), as used by NetVLAD and
OpenIBL. The files have the published layout: `U` (D, dim), `lams` (dim,), `mu` (D, 1), `Utmu` (dim, 1). The same
projection is also published as a linear layer, W = (U / sqrt(lams))^T with the offset -Utmu / sqrt(lams).
Departs from OpenIBL's `pca.py`: the eigenproblem is solved in float64 (whitening error 1e-6 instead of 1e-3), and the
signs of the eigenvectors are fixed, so that the same descriptors always give the same file.

Axes: N descriptors, D dimensions before whitening, M dimensions after it.
"""

import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from vprlib.exceptions import InputError
from vprlib.io.files import open_h5, read_finite_h5, write_h5
from vprlib.io.fingerprints import sha256_of_file

BLOCK = 1024
FLOOR = 1e-9  # smallest eigenvalue whose square root divides; smaller ones are replaced by it
LAYOUT = ("U", "lams", "mu", "Utmu")


@dataclass(frozen=True)
class Whitening:
    """Maps x to the L2-normalised (U / sqrt(lams))^T (x - mu)."""

    U: NDArray[np.float32]  # (D, dim), orthonormal columns, largest eigenvalue first
    lams: NDArray[np.float32]  # (dim,)
    mu: NDArray[np.float32]  # (D, 1)
    Utmu: NDArray[np.float32]  # (dim, 1), U^T mu

    @property
    def dim(self) -> int:
        """Return the dimension of a whitened descriptor."""
        return self.U.shape[1]

    def apply(self, x_ND: ArrayLike) -> NDArray[np.float32]:
        """Whiten (N, D) descriptors; return (N, dim) float32 with unit rows."""
        y = self.project(x_ND)
        return y / np.maximum(np.linalg.norm(y, axis=1, keepdims=True), 1e-12)

    def project(self, x_ND: ArrayLike) -> NDArray[np.float32]:
        """Return the whitened (N, dim) float32 rows before normalisation; they have unit covariance on the fitted data.

        The product is computed in float64. The centred descriptor may be a hundredth of the descriptor, and is divided
        by the roots of small eigenvalues: a float32 product has errors of 2e-6 in unit rows with values of 1e-1.

        Raises:
            InputError: if the descriptors have another dimension than those that the whitening was fitted on.
        """
        x_ND = np.asarray(x_ND, np.float32)
        if x_ND.shape[1] != len(self.U):
            raise InputError(f"the whitening was fitted on {len(self.U)}-D descriptors, these have {x_ND.shape[1]}")
        y_NM = matmul_float64(x_ND, self.U)
        y_NM -= self.Utmu.T
        y_NM /= self.scale
        return y_NM.astype(np.float32)

    @property
    def scale(self) -> NDArray[np.float32]:
        """Return sqrt(lams), (dim,), with a floor."""
        return np.sqrt(np.maximum(self.lams, FLOOR))

    def layer(self) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Return the projection as a linear layer: weight (dim, D) and bias (dim,), float32."""
        return (self.U / self.scale).T, -self.Utmu[:, 0] / self.scale

    def save(
        self, path: str | os.PathLike[str], attributes: Mapping[str, Any] | Iterable[tuple[str, Any]] = ()
    ) -> None:
        """Write a file of the published layout, with HDF5 attributes."""
        write_h5(path, vars(self), attributes)

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> "Whitening":
        """Read a file of the published layout.

        Raises:
            InputError: if the file has another layout, its shapes do not agree, or a value is not finite.
        """
        arrays = [np.asarray(array, np.float32) for array in read_finite_h5(path, *LAYOUT)]
        width, dim = arrays[0].shape if arrays[0].ndim == 2 else (0, 0)
        shapes: tuple[tuple[int, ...], ...] = ((width, dim), (dim,), (width, 1), (dim, 1))
        for name, array, shape in zip(LAYOUT, arrays, shapes, strict=True):
            if array.shape != shape or not array.size:
                raise InputError(f"{path}: {name} is {array.shape}, with U (D, n) it must be {shape}")
        return cls(*arrays)

    @classmethod
    def of_layer(cls, weight: ArrayLike, bias: ArrayLike) -> "Whitening":
        """Return the whitening that a linear layer followed by an L2 normalisation computes.

        From the weight of a PCA this recovers U and lams; from any other weight, columns of unit length that compute
        the same. `mu` is the smallest solution of U^T mu = Utmu, or the nearest to one if the rows are linearly
        dependent; nothing in this library uses it.

        Args:
            weight: (dim, D).
            bias: (dim,).
        """
        from scipy.sparse.linalg import lsmr

        weight, bias = np.array(weight, np.float64), np.asarray(bias, np.float64)
        square = np.einsum("nd,nd->n", weight, weight)
        # an eigenvalue below the floor would not divide, so its column is longer instead; a row of zeros stays zero
        lams = np.maximum(1 / np.where(square > 0, square, 1), FLOOR)
        weight *= np.sqrt(lams)[:, None]  # in place: from 32768 to 4096 dimensions it is a gigabyte
        Utmu = -bias * np.sqrt(lams)
        mu = lsmr(weight, Utmu, atol=1e-9, btol=1e-9)[0]
        return cls(*(np.ascontiguousarray(x, np.float32) for x in (weight.T, lams, mu[:, None], Utmu[:, None])))


def fit(x_ND: ArrayLike, dim: int) -> Whitening:
    """Fit a whitening to `dim` dimensions.

    Args:
        x_ND: (N, D) descriptors. The primal covariance is used if D <= N, otherwise the dual Gram matrix. So the work
            is min(N, D)^3, and the memory beyond `x_ND` is one centred copy and twice that matrix.
        dim: at most D and N - 1 (N centred points span N - 1 dimensions), and at most the dimensions that the
            descriptors span: fewer if photos are equal.

    Raises:
        InputError: if `dim` is out of range or a descriptor is not finite.
    """
    from scipy.linalg import eigh

    x = np.asarray(x_ND, np.float32)
    count, width = x.shape
    if not 1 <= dim <= min(width, count - 1):
        raise InputError(
            f"whiten.dim: {dim} dimensions cannot be fitted to {count} descriptors of {width} values; "
            f"at most {max(0, min(width, count - 1))} can"
        )
    if not np.isfinite(x).all():
        raise InputError(f"whitening: descriptor {int(np.where(~np.isfinite(x).all(1))[0][0])} is not finite")
    mu = x.mean(0, dtype=np.float64).astype(np.float32)
    x = x - mu
    dual = width > count
    gram = (x @ x.T if dual else x.T @ x).astype(np.float64)
    gram /= count - 1
    order, trace = len(gram), float(np.trace(gram))
    lams, vectors = eigh(gram, subset_by_index=[order - dim, order - 1], driver="evr", overwrite_a=True)
    del gram  # the projection needs its memory
    lams, vectors = lams[::-1], vectors[:, ::-1]
    check_rank(lams, trace, count)
    U = primal_vectors(x, lams, vectors) if dual else vectors.astype(np.float32)
    U *= np.sign(U[np.abs(U).argmax(0), np.arange(dim)])
    Utmu = matmul_float64(mu[None], U).T.astype(np.float32)
    return Whitening(U, lams.astype(np.float32), mu[:, None], Utmu)


def primal_vectors(x_ND: NDArray, lams: NDArray, vectors: NDArray) -> NDArray[np.float32]:
    """Return the eigenvectors of the covariance, (D, dim), from those of the Gram matrix of N centred descriptors."""
    U = np.empty((x_ND.shape[1], len(lams)), np.float32)
    vectors = vectors / np.sqrt(np.maximum(lams, FLOOR) * (len(x_ND) - 1))
    # in float64 by blocks of features: a float32 product alone would cost a digit of the whitening
    for start in range(0, len(U), BLOCK):
        U[start : start + BLOCK] = x_ND[:, start : start + BLOCK].T.astype(np.float64) @ vectors
    return U


def check_rank(lams: NDArray[np.float64], trace: float, count: int) -> None:
    """Check that the eigenvalues that a whitening divides by are not the rounding of its float32 covariance.

    Divided by the root of such a value, noise would be the largest part of every whitened descriptor. Of copied
    descriptors, the rounding measured was at most 0.2 of float32's epsilon times the trace.

    Args:
        lams: the largest eigenvalues, in decreasing order.
        trace: of the covariance.
        count: number of descriptors.

    Raises:
        InputError: with the largest dimension that the descriptors span.
    """
    usable = int((lams > np.finfo(np.float32).eps * trace).sum())
    if usable < len(lams):
        raise InputError(
            f"whiten.dim: {len(lams)} dimensions cannot be fitted to {count} descriptors that span only {usable}, "
            f"because many are equal or nearly so; set whiten.dim to at most {usable}"
        )


def matmul_float64(x_ND: NDArray[np.float32], U_DM: NDArray[np.float32]) -> NDArray[np.float64]:
    """Return x U in float64, (N, M), from float32 matrices.

    Neither is copied to float64 as a whole: the copy of U may be a gigabyte.
    """
    y_NM = np.zeros((len(x_ND), U_DM.shape[1]))
    for first in range(0, len(U_DM), BLOCK):
        block = slice(first, first + BLOCK)
        y_NM += x_ND[:, block].astype(np.float64) @ U_DM[block].astype(np.float64)
    return y_NM


def l2_normalize(x_ND: NDArray) -> NDArray:
    """Divide vectors, along the last axis, by their length; a zero vector stays zero."""
    return x_ND / np.maximum(np.linalg.norm(x_ND, axis=-1, keepdims=True), 1e-12)


def apply_whitening(project: Whitening, raw: NDArray) -> NDArray[np.float32]:
    """Whiten descriptors (n, D), or those of crops (n, 5, D)."""
    return project.apply(raw.reshape(-1, raw.shape[-1])).reshape(*raw.shape[:-1], project.dim)


def load_whitening(checkpoint: str | os.PathLike[str], path: str | os.PathLike[str]) -> Whitening:
    """Load the whitening of a checkpoint.

    Raises:
        InputError: if it was fitted for another checkpoint.
    """
    whitening = Whitening.load(path)
    with open_h5(path, verify=()) as file:  # its arrays were compared when they were read
        if file.attrs.get("checkpoint") != sha256_of_file(checkpoint):
            raise InputError(
                f"{path}: was fitted for another checkpoint than {checkpoint}; run again with `-R fit_whitening`"
            )
    return whitening
