"""The loop that both trainings have in common: a step a batch, and a word on the loss now and then."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import torch


def descend(
    name: str,
    losses: Iterable[torch.Tensor],
    parameters: Sequence[torch.nn.Parameter],
    optimiser: torch.optim.Optimizer,
    schedule: torch.optim.lr_scheduler.OneCycleLR,
    every: int,
) -> None:
    """Take a step for each loss, computed only when its turn comes; print the running loss at every so many steps."""
    running = torch.zeros(())
    for done, loss in enumerate(losses, 1):
        optimiser.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(parameters, 1.0)
        optimiser.step()
        schedule.step()
        running = 0.98 * running + 0.02 * loss.detach() if done > 1 else loss.detach()  # no GPU is waited for
        if done % every == 0:
            print(f"{name} {done}/{schedule.total_steps}: loss {running.item():.4f}", flush=True)
