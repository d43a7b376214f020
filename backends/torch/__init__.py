"""Techniques that use PyTorch: autograd, ``torch.compile``, and gradients derived by hand."""
