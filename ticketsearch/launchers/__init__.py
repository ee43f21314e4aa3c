"""Launchers: where and how the runs of a sweep are started (`hydra/launcher=NAME`)."""
