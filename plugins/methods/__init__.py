"""Methods: named presets of phases, with their sources."""
