"""The demonstration's adapter on SmolLM2-135M-Instruct: how it was made, and how to make it again.

`practice` makes rows of public question-and-passage data and of invented facts, `centers` of help
centers with labelled questions, `house` of a dataset; `read` trains a LoRA on them by the passes of
`fast`, `adapter` makes a release's folder of it, `evaluate` measures it.
"""

from pathlib import Path

ADAPTER = Path("examples/brackwater/adapter")
"""The adapter that is shipped."""
