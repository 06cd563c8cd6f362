"""PM-Net: 3D human reconstruction of rare poses with a prototype memory."""
