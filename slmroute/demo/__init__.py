"""A support desk's and back office's requests, routed for real: what ``slmroute demo`` runs.

The requests are the project's own; the company, its products and its customers are invented. The small model really
answers what stays local. The frontier is a dry run unless a provider's key is in the environment.
"""
