"""Learning, on PyTorch: recipes, networks, the loop, evaluation, runs on disk, export."""
