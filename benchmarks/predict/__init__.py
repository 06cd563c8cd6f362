"""How fast `pmnet predict` is beside its own encoder, and how well its meshes cover the people."""
