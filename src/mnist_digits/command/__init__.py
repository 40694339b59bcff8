"""The command `mnist-digits`."""
