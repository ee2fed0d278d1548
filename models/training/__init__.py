"""The steps of `models/training/finetune.py`: its base, rows, estimate, passes, run and replies."""
