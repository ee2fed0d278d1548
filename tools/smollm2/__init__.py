"""The demonstration's adapter on SmolLM2-135M-Instruct: how it was made, and how to make it again.

`practice` makes rows of public question-and-passage data and of invented facts, `house` makes them
of a dataset; `read` trains a LoRA on both, `adapter` makes a release's folder of it.
"""

from pathlib import Path

ADAPTER = Path("examples/brackwater/adapter")
"""The adapter that is shipped."""
