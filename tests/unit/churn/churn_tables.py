"""A made-up table whose truth is known: churn depends on tenure, plan, tickets and on whether the tone is known."""

from __future__ import annotations

from pathlib import Path

import numpy as np


def write_table(path: Path, rows: int, seed: int, *, with_target: bool = True) -> np.ndarray:
    """Write the table and return each row's true probability."""
    random = np.random.default_rng(seed)
    tenure = random.integers(0, 72, rows)
    plan = random.choice(["basic", "plus", "pro"], rows, p=[0.5, 0.3, 0.2])
    tickets = random.poisson(1.5, rows)
    tone = np.where(random.random(rows) < 0.2, np.nan, random.normal(0, 1, rows))
    log_odds = (
        -0.6
        - 0.05 * tenure
        + 0.5 * tickets
        + np.where(plan == "basic", 0.8, 0.0)
        + np.where(np.isnan(tone), 0.9, -0.6 * np.nan_to_num(tone))
    )
    truth = 1 / (1 + np.exp(-log_odds))
    left = random.random(rows) < truth
    lines = ["customer,tenure,plan,tickets,tone" + (",left" if with_target else "")]
    for i in range(rows):
        tone_text = "" if np.isnan(tone[i]) else f"{tone[i]:.4f}"
        lines.append(
            f"cus-{i:06d},{tenure[i]},{plan[i]},{tickets[i]},{tone_text}" + (f",{'Yes' if left[i] else 'No'}" if with_target else "")
        )
    path.write_text("\n".join(lines) + "\n")
    return truth
