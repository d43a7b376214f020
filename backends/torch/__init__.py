"""PyTorch: autograd's ``backward``, its compiler, and gradients derived by hand."""
