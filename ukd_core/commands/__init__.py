"""The commands of ``ukd``, a file a subject; `ukd_core.cli` names them."""
