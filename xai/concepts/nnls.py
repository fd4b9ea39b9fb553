"""Coefficients of activations in a basis of concepts, and their exact gradients."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Any

import numpy as np

from xai.inputs import is_tensor, widest

if TYPE_CHECKING:
    from torch import Tensor

ROWS = 2**13
"""Rows solved at once: each takes up to r² numbers."""
MOST_EXCHANGES = 100
"""Rounds of exchanges, beside one for each concept; five to ten are enough but for ties."""
CORRECTIONS = 3
"""Of a solution, until it solves its equations: one is enough, but for concepts that are sums of
others, of whose inverses rounding leaves four digits."""
RIDGE = 1e-12
"""Of each concept's squared length: keeps equal ones apart, far below any coefficient."""


def coefficients(A: Any, W: Any, *, signed: bool = False) -> Any:
    """Solve ``U = argmin_{U ≥ 0} ½‖A − UW‖²`` exactly, row by row; differentiable in A.

    Parameters
    ----------
    A : (n, C) activations; W : (r, C) concepts
        Arrays, or tensors on one device: then U has gradients in A.
    signed : bool
        Whether coefficients may be negative: plain least squares.

    Returns
    -------
    (n, r), in A's dtype; float64 where A holds integers, NaN in rows that hold NaN or inf

    Raises
    ------
    ValueError
        A and W that have not the same number of channels.

    Notes
    -----
    Block principal pivoting (Kim & Park 2011, Algorithm 2), on all rows at once. On the set
    S = {i : u_i > 0} the solution is linear (implicit function theorem on its KKT conditions;
    Fel et al. 2023, §3.3)::

        u_S = (W_S W_Sᵀ)⁻¹ W_S a,    ∂u_S/∂a = (W_S W_Sᵀ)⁻¹ W_S,    ∂u_i/∂a = 0 elsewhere.

    Examples
    --------
    >>> import numpy as np
    >>> W = np.array([[1.0, 1.0, 0.0], [0.0, 1.0, 1.0]])
    >>> coefficients(np.array([[2.0, 2.0, 0.0], [0.0, 0.0, 3.0]]), W).round(3)
    array([[2. , 0. ],
           [0. , 1.5]])
    """
    import torch

    tensors = is_tensor(A)
    if not tensors:
        A, W = (torch.tensor(a, device="cpu") for a in (A, W))
    if A.ndim != 2 or W.ndim != 2 or A.shape[1] != W.shape[1]:
        shapes = f"{tuple(A.shape)} and {tuple(W.shape)}"
        raise ValueError(
            f"activations and concepts have shapes {shapes}: expected (n, C) and (r, C)"
        )
    place = A.device if widest(A.device) == torch.float64 else "cpu"  # single ones would not do
    own = A.to(place) if A.is_floating_point() else A.to(place, torch.float64)
    out = _solve().apply(own, W.to(place), signed)
    return out.to(A.device) if tensors else out.numpy()


@cache
def _solve() -> Any:
    """The solution as an autograd function; torch is not imported before it is needed."""
    import torch

    class Solve(torch.autograd.Function):
        @staticmethod
        def forward(ctx: Any, A: Tensor, W: Tensor, signed: bool) -> Tensor:
            basis, gram = W.double(), _gram(W)
            target = A.double() @ basis.T
            if signed:
                u, active = torch.linalg.solve(gram, target, left=False), None
            else:
                parts = [_pivot(gram, part) for part in torch.split(target, ROWS)]
                u = torch.cat([part for part, _ in parts])
                active = torch.cat([part for _, part in parts])
                u[~target.isfinite().all(1)] = torch.nan  # they have no active set
            ctx.save_for_backward(basis, gram, active)
            out: Tensor = u.to(A.dtype)
            return out

        @staticmethod
        def backward(ctx: Any, *cotangents: Tensor) -> tuple[Tensor | None, ...]:
            basis, gram, active = ctx.saved_tensors
            (v,) = cotangents
            wide = v.double()
            if active is None:
                z = torch.linalg.solve(gram, wide, left=False)
            else:
                pairs = zip(torch.split(wide, ROWS), torch.split(active, ROWS), strict=True)
                z = torch.cat([_on(gram, part, own) for part, own in pairs])
            gradient: Tensor = (z @ basis).to(v.dtype)
            return gradient, None, None

    return Solve


def _gram(W: Tensor) -> Tensor:
    import torch

    basis = W.double()
    gram = basis @ basis.T
    own = gram.diagonal()
    out: Tensor = gram + torch.diag(RIDGE * torch.where(own > 0, own, 1))
    return out


def _on(gram: Tensor, v: Tensor, active: Tensor) -> Tensor:
    """Solutions (n, r) of ``G_S z_S = v_S``, 0 off S; one factor for all rows with the same S."""
    import torch

    sets, place = torch.unique(active, dim=0, return_inverse=True)
    both = sets[:, :, None] & sets[:, None, :]
    alone = torch.diag_embed((~sets).to(gram.dtype) * gram.diagonal().mean())
    inverse = torch.linalg.inv(torch.where(both, gram, 0.0) + alone)[place]
    left, z = torch.where(active, v, 0.0), torch.zeros_like(v)
    rounding = 1e-11 * left.abs().amax(1, keepdim=True)
    for _ in range(CORRECTIONS):
        z = z + torch.where(active, (inverse @ left[:, :, None])[:, :, 0], 0.0)
        left = torch.where(active, v - z @ gram, 0.0)
        if (left.abs() <= rounding).all():
            break
    return z


def _pivot(gram: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
    """Solutions (n, r) and where they are positive; ``target`` is A Wᵀ.

    Every row exchanges all places that violate its KKT conditions while that helps, and the last
    one of them where it does not: that ends (Kim & Park 2011, after Kostreva 1978).
    """
    import torch

    n, r = target.shape
    lengths = gram.diagonal().sqrt()
    slack = 1e-10 * target.abs().amax(1, keepdim=True)
    active = target > slack
    u = torch.zeros_like(target)
    best, patience = (torch.full((n,), a, device=target.device) for a in (r + 1, 3))
    left = torch.arange(n, device=target.device)
    last = torch.arange(r, device=target.device)
    for _ in range(MOST_EXCHANGES + r):
        own, aim = active[left], target[left]
        now = _on(gram, aim, own)
        u[left] = now
        residual = now @ gram - aim
        wrong = torch.where(own, now * lengths < -slack[left] / lengths, residual < -slack[left])
        count = wrong.sum(1)
        better = count < best[left]
        best[left] = torch.where(better, count, best[left])
        patience[left] = torch.where(better, 3, patience[left] - 1)
        single = torch.where(wrong, last, -1).amax(1, keepdim=True) == last
        flip = torch.where((patience[left] >= 0)[:, None], wrong, single & wrong)
        active[left] = own ^ flip
        left = left[count > 0]
        if len(left) == 0:
            break
    else:  # concepts that are sums of others: rounding decides, and the exchange may go on forever
        u[left] = _one_by_one(gram, target[left])
        active[left] = u[left] > 0
    return u.clamp_(min=0), active & (u > 0)


def _one_by_one(gram: Tensor, target: Tensor) -> Tensor:
    """Solutions by Lawson & Hanson's active sets, which never go on forever."""
    import torch
    from scipy.optimize import nnls

    root = torch.linalg.cholesky(gram).cpu()
    aims = torch.linalg.solve_triangular(root, target.cpu().T, upper=False).T
    rows = [nnls(root.T.numpy(), aim.numpy(), maxiter=30 * len(root))[0] for aim in aims]
    return torch.from_numpy(np.stack(rows)).to(target)
