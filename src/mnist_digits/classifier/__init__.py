"""The network that classifies digits: recipes, training, evaluation, export (torch)."""
