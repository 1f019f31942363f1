"""What UKD ships: projectors, terms, heads, output spaces and methods.

Every file is a whole plug-in as a stranger would write it: it imports only public names of `ukd_core`, and is
registered in `ukd_plugins.plugin` through the same hooks. Copy one into your own package to start your own.
"""
