"""Many runs and many pictures, on Ray."""
