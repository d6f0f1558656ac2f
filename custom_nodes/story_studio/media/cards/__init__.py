"""Drawn images: title cards and contact sheets."""
