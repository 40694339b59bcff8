"""The two networks that detect and name digits in pictures, their training and export (torch)."""
