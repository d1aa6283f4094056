"""The steepest slopes of activations: sup |f'|, each with its proof; the tests enclose them by interval arithmetic.

- **SiLU**, f = x s(x), s the logistic function: f'(-x) = 1 - f'(x), so sup |f'| = sup f'. With t = tanh(x/2),
  f' = (1 + t)/2 + x (1 - t^2)/4 and f'' = 0 exactly where x t = 2; there f' = 1/2 + x/4. x tanh(x/2) rises for x > 0,
  so every X with X tanh(X/2) >= 2 lies beyond the only root and proves sup f' <= 1/2 + X/4.
- **GELU**, f = x Phi(x): again f'(-x) = 1 - f'(x), and f'' = phi(x) (2 - x^2), so sup f' = Phi(sqrt 2) + sqrt 2
  phi(sqrt 2).
- **GELU, tanh form**, f = x (1 + tanh g)/2, g = sqrt(2/pi) (x + 0.044715 x^3): f'(-x) = 1 - f'(x) as well; its supremum
  is enclosed by branch and bound in interval arithmetic.
- **hard swish**, f = x min(max(x + 3, 0), 6) / 6: f' = (2 x + 3)/6 from -1/2 to 3/2 where it is not 0 or 1.
- logistic function 1/4, at 0; tanh, softplus, softsign 1; ELU 1 or its scale at 0.
"""

from __future__ import annotations

SILU = 0.5 + 2.3993573 / 4
"""The root is 2.39935728..., the supremum 1.09983932..."""

GELU = 1.12891
"""The supremum is 1.12890414..."""

GELU_TANH = 1.1290
"""The supremum is 1.12899306..., at 1.41850..."""

HARD_SWISH = 1.5
