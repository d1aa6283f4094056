"""Any ``torch.nn.Module`` as a description of layers with proofs: exported, folded, matched, compared."""
