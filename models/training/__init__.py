"""The steps of `models/finetune.py`: its base, rows, estimate, passes, run and replies."""
