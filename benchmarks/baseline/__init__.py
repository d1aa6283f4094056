"""The recipe of the paper's published code in plain PyTorch, written anew: what lipscope's speed is measured against.

The order of operations follows the published code (github.com/singlasahil14/SOC): the series of convolutions with
``conv2d`` in the forward pass, kernels made anew at every step, four power iterations of unfoldings for SOC, twenty
steps of Bjorck for BCOP, a Fourier transform of weights and images for Cayley.
"""
