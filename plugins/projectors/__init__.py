"""Projectors: which mixture of the teacher's layers each student layer learns from."""
