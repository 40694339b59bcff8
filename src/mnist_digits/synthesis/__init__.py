"""What the networks learn from beside MNIST, all of it made by programs (torch).

Digits drawn stroke by stroke, pictures of other things, and scenes with their truth: `scene`.
"""
