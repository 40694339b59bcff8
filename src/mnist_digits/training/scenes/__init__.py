"""Pictures of digits made by a program, with their truth: what the detector learns from."""
