"""What the notebooks teach with: patterns that run, and exercises that are checked."""
