"""Stores that live in the process: nothing to install, nothing survives a restart, shared by nobody else."""
