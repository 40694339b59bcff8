"""Every figure (matplotlib)."""
