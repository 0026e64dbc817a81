"""The machine: pure, with commands out and replies in."""
