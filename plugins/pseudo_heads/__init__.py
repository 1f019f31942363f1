"""Pseudo heads: small classifiers on one layer."""
