"""The tiny base: a Llama-shaped model that copies out of its context, and knows nothing else.

It proves the path from rows to a served adapter on two CPU cores; it is no measure of answer
quality. `python -m tools.tiny.make` makes it anew; `tools/tiny/base/` holds the one we made.
"""

from pathlib import Path

BASE = Path(__file__).parent / "base"
"""The asset: weights, tokenizer, configuration and manifest."""
