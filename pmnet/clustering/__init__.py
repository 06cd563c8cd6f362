"""How a prototype memory is found: P3DH K-Means (Algorithm 1)."""
