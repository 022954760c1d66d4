"""The variational autoencoder (Kingma & Welling, 2014)."""
