"""The two networks that find and name digits in pictures, their training and export (torch)."""
