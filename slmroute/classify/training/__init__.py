"""Fitting the embedded classifier: labelled prompts, left-out sources, the fit itself. Needs the extra ``lab``."""
