"""Many runs and many pictures, in processes of this machine or on Ray."""
