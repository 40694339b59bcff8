"""The data set: its files, checked, and its digits as tensors."""
