"""The index: its contract, its engines, its stores."""
