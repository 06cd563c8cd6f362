"""What a prototype memory is: prototypes, the spaces that compare bodies, the nearest prototype."""
