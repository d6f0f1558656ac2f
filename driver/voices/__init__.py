"""Voices: texts without a recording are spoken before anything is rendered."""
